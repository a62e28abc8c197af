"""The public names: where they are, and that they are the documented ones."""

import importlib
import pathlib
import re
import subprocess
import sys

import pytest

import strategies
import tfxml

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _documented():
    """Returns the headings of the API page, with what each documents."""
    text = (ROOT / "docs" / "api.md").read_text()
    entries = re.findall(
        r"^::: (\S+)\n    options:\n      heading: (\S+)$", text, flags=re.M
    )
    assert len(entries) == text.count(":::")
    return {heading: place for place, heading in entries}


def _public():
    """Returns every public name, with where it is defined."""
    places = {f"strategies.{k}": v for k, v in strategies.PUBLIC.items()}
    for name, place in tfxml.PUBLIC.items():
        if isinstance(place, dict):
            places |= {f"tfxml.{name}.{k}": v for k, v in place.items()}
        elif name != "data":
            places[f"tfxml.{name}"] = place
    data = importlib.import_module("tfxml.data")
    for name in data.PUBLIC:
        places[f"tfxml.data.{name}"] = f"tfxml.data.own_pipelines.{name}"
    # The function of the command; the module is called as it is.
    return {**places, "tfxml.train": "tfxml.run.train_and_evaluate.train"}


def _value(path):
    """Returns what a dotted path leads to, by attributes alone."""
    package, *names = path.split(".")
    value = {"tfxml": tfxml, "strategies": strategies}[package]
    for name in names:
        value = getattr(value, name)
    return value


def test_the_api_page_lists_the_public_names():
    assert _documented() == _public()


@pytest.mark.parametrize("name", sorted(_public()))
def test_names_lead_to_their_definitions(name):
    package, _, attribute = _public()[name].rpartition(".")
    if package == "strategies":
        wanted = importlib.import_module(_public()[name])
    else:
        wanted = getattr(importlib.import_module(package), attribute)
    if name == "tfxml.train":
        assert callable(wanted) and callable(tfxml.train)
    else:
        assert _value(name) is wanted


def test_dir_lists_the_public_names():
    assert set(dir(tfxml)) == {*tfxml.PUBLIC, "__version__"}
    assert set(dir(strategies)) == set(strategies.PUBLIC)
    assert set(dir(tfxml.data)) == set(tfxml.data.PUBLIC)
    for name, place in tfxml.PUBLIC.items():
        if isinstance(place, dict):
            assert set(dir(getattr(tfxml, name))) == set(place)


@pytest.mark.parametrize(
    "path",
    ["tfxml.Nothing", "tfxml.heads.Nothing", "tfxml.data.x", "strategies.x"],
)
def test_other_names_are_no_attributes(path):
    with pytest.raises(AttributeError, match=path.rpartition(".")[2]):
        _value(path)


def test_importing_starts_no_tensorflow():
    script = (
        "import sys, strategies, tfxml, tfxml.data\n"
        "dir(tfxml), dir(tfxml.data), dir(tfxml.heads), dir(strategies)\n"
        "strategies.cluster.from_environment(), strategies.launch.Plan(2)\n"
        "tfxml.heads, tfxml.losses, tfxml.metrics, tfxml.encoders\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    packages = {name.split(".")[0] for name in done.stdout.split()}
    assert packages.isdisjoint({"tensorflow", "keras", "numpy", "sklearn"})


def test_strategies_by_name():
    strategy = strategies.create("default")
    assert strategies.describe(strategy).startswith("strategy=default")
