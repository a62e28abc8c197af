"""Damaged and foreign folders are refused, each with what is wrong."""

import json
import pathlib
import shutil

import exporting
import numpy as np
import pytest

from tfxml.export.shared import checked_run
from tfxml.run import train_and_evaluate


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of features and of text, that nobody may change."""
    root = tmp_path_factory.mktemp("runs")
    data = exporting.write_texts(root / "data")
    train_and_evaluate.train(
        exporting.features_config("mach"), str(root / "features")
    )
    train_and_evaluate.train(
        exporting.features_config("reranked"), str(root / "reranked")
    )
    config = exporting.text_config("sigmoid")
    train_and_evaluate.train(config, str(root / "text"), str(data))
    return root


@pytest.fixture
def folder(trained, tmp_path):
    """Returns a function that copies a run."""

    def copy(name):
        shutil.copytree(trained / name, tmp_path / name)
        return tmp_path / name

    return copy


@pytest.mark.parametrize("name", ["features", "reranked", "text"])
def test_a_whole_run_is_read(trained, name):
    run = checked_run.read(str(trained / name))
    assert run.facts.is_text == (name == "text")
    path = str(trained / name)
    assert checked_run.metrics(path, run.step)["step"] == run.step
    assert checked_run.metrics(path, 1) == {}


def _json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _checkpoint(folder):
    (step,) = sorted((folder / "checkpoints").iterdir())[-1:]
    return step


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


DAMAGES = {
    "no config": lambda f: (f / "config.json").unlink(),
    "no run.json": lambda f: (f / "run.json").unlink(),
    "config is cut": lambda f: _cut(f / "config.json"),
    "config of something else": lambda f: (f / "config.json").write_text(
        '{"model_type": "bert"}'
    ),
    "facts miss one": lambda f: _json(
        f / "run.json", lambda c: c["facts"].pop("num_labels")
    ),
    "no label counts": lambda f: (f / "label_counts.npy").unlink(),
    "label counts are cut": lambda f: _cut(f / "label_counts.npy"),
    "label counts of others": lambda f: np.save(
        f / "label_counts.npy", np.ones(7)
    ),
    "label names are cut": lambda f: _cut(f / "label_names.jsonl"),
    "a name is missing": lambda f: (f / "label_names.jsonl").write_text(
        '"one"\n'
    ),
    "no hashes": lambda f: (f / "head.json").unlink(),
    "other hashes": lambda f: _json(
        f / "head.json", lambda c: c["hashes"][1].update(a=5)
    ),
    "another hash seed": lambda f: _json(
        f / "config.json", lambda c: c.update(hash_seed=9)
    ),
    "no checkpoint": lambda f: shutil.rmtree(f / "checkpoints"),
    "a wider model": lambda f: _json(
        f / "config.json", lambda c: c.update(hidden_units=[17])
    ),
    "index is gone": lambda f: (_checkpoint(f) / "model.index").unlink(),
    "index is cut": lambda f: _cut(_checkpoint(f) / "model.index"),
    "data are gone": lambda f: next(
        _checkpoint(f).glob("model.data*")
    ).unlink(),
    "data are cut": lambda f: _cut(next(_checkpoint(f).glob("model.data*"))),
    "note is cut": lambda f: _cut(_checkpoint(f) / "checkpoint.json"),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_run_is_refused(damage, folder):
    path = folder("features")
    DAMAGES[damage](path)
    with pytest.raises(ValueError, match="features") as caught:
        checked_run.read(str(path))
    assert _raised_by_us(caught)


TEXT_DAMAGES = {
    "no text features": lambda f: shutil.rmtree(f / "text_features"),
    "vocabulary": lambda f: _flip(f / "text_features" / "vocabulary.txt"),
    "idf": lambda f: _cut(f / "text_features" / "idf.npy"),
    "settings": lambda f: _cut(f / "text_features" / "text_features.json"),
}


@pytest.mark.parametrize("damage", sorted(TEXT_DAMAGES))
def test_damaged_text_features_are_refused(damage, folder):
    path = folder("text")
    TEXT_DAMAGES[damage](path)
    with pytest.raises(ValueError, match="text_features") as caught:
        checked_run.read(str(path))
    assert _raised_by_us(caught)


def test_text_features_of_another_run_are_refused(trained, folder):
    path = folder("text")
    lone = exporting.text_run(hash_buckets=64).text_features
    shutil.rmtree(path / "text_features")
    lone.save(path / "text_features")
    with pytest.raises(ValueError, match="text_features/.*: found"):
        checked_run.read(str(path))


@pytest.mark.parametrize("kind", ["missing", "empty", "file", "saved model"])
def test_a_foreign_folder_is_refused(kind, tmp_path):
    path = tmp_path / "other"
    if kind == "file":
        path.write_text("x")
    elif kind != "missing":
        path.mkdir()
    if kind == "saved model":
        (path / "saved_model.pb").write_bytes(b"\x08\x01")
        (path / "config.json").write_text('{"architectures": ["Bert"]}')
    with pytest.raises(ValueError, match="other"):
        checked_run.read(str(path))


def test_an_output_that_holds_something_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    for path in (tmp_path, tmp_path / "a"):
        with pytest.raises(ValueError, match="`output` must be a new or an"):
            checked_run.check_output(path)
    checked_run.check_output(tmp_path / "new" / "one")
    (tmp_path / "empty").mkdir()
    checked_run.check_output(tmp_path / "empty")


def _raised_by_us(caught) -> bool:
    """Tells whether the command shows the message alone, without a trace."""
    raiser = pathlib.Path(str(caught.traceback[-1].path))
    return "tfxml" in raiser.parts
