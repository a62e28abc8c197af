"""What a command says before TensorFlow is there: help, and what is mistyped.

Not by the clock, but by what has been imported: TensorFlow is what takes time.
"""

import pathlib
import re

import documents
import pytest
import runs

from tfxml import config as config_lib

ROOT = documents.ROOT
COMMANDS = [
    *(
        f"tfxml.{path.stem}"
        for path in sorted((ROOT / "tfxml").glob("[a-z]*.py"))
        if re.search(r"^def run\(\)", path.read_text(), flags=re.M)
    ),
    "tfxml.export",
]


@pytest.mark.parametrize("module", COMMANDS)
def test_help_starts_no_tensorflow(module):
    code, output, errors, imported = runs.with_imports(module, "--help")
    assert (code, errors, imported) == (0, "", [])
    # By runpy, as by python -m, a package's command is its __main__.
    assert output.startswith(f"usage: python -m {module} [")
    assert "--alsologtostderr" not in output
    assert max(map(len, output.splitlines())) <= 100


def test_help_has_every_flag_of_the_recipe_under_its_group():
    _, output, _, _ = runs.with_imports("tfxml.train", "--help")
    sections = re.split(r"^(\S.*):$", output, flags=re.M)
    by_title = dict(zip(sections[1::2], sections[2::2], strict=True))
    for title, group in config_lib.GROUPS.items():
        title = f"with --{title}" if "=" in title else title
        flags = re.findall(r"^  --(\w+)", by_title[title], flags=re.M)
        assert flags == [f.name for f in config_lib.dataclasses.fields(group)]
    for name in ("workdir", "data_dir", "strategy", "tpu"):
        assert f"  --{name}=" in by_title["where and how"]
    assert "--flagfile" in by_title["every command"]
    # A flag that is on says how it is put off, not how it is put on.
    assert "\n  --use_idf (off: --nouse_idf)\n" in output
    assert "(required)" not in output


def test_help_tells_what_is_required():
    _, output, _, _ = runs.with_imports("tfxml.export", "--help")
    required = re.findall(r"^  --(\w+)=.* \(required\)$", output, re.M)
    assert required == ["workdir", "output", "format"]
    assert "\n  --threshold=...\n" in output


FILE = pathlib.Path(__file__)
MISTAKES = [
    ("train", ["--hidden_units=abc"], "--hidden_units must hold whole numbers"),
    ("train", ["--dropout=2"], "`dropout` must be below 1. Received: dropout="),
    ("train", ["--heda=mach"], "there is no flag --heda. Did you mean --head?"),
    ("train", ["--head=mch"], "--head=mch: value should be one of <sigmoid|"),
    ("train", ["--num_epochs=x"], "--num_epochs must be a whole number. Rec"),
    ("train", ["--dropout=x"], "--dropout must be a number. Received: --dro"),
    ("train", ["--batch_size=0"], "--batch_size=0: 0 is not a positive intege"),
    ("train", ["more"], "more: belongs to no flag"),
    ("train", ["--data_dir=/none"], "/none: found no such folder"),
    (
        "train",
        [f"--workdir={FILE}"],
        f"`workdir` must be a folder.*{FILE.name}",
    ),
    ("train", ["--head=centroid", "--form=dense"], "`form` must be auto"),
    ("train", ["--flagfile=/none"], "Unable to open flagfile: .*'/none'"),
    ("predict", [], "--workdir must be given"),
    ("predict", ["--workdir=/none"], "`workdir` must be a folder that trai"),
    ("evaluate", ["--workdir=/none"], "`workdir` must be a folder that trai"),
    ("grow", ["--workdir=x"], "--output and --data_dir must be given"),
    ("merge", ["--workdir=/none"], "`workdir` must hold all of repetition"),
    ("prepare", ["--data_dir=/none", "--output=x"], "/none: found no such"),
    (
        "export",
        ["--workdir=/none", "--format=keras", "--output=x"],
        "`workdir` must be a folder that training wrote",
    ),
    (
        "drop",
        ["--workdir=/none", "--output=x", "--ids=/none"],
        "`workdir` must be a folder that training wrote",
    ),
    ("report", ["--runs=/none"], "`runs` must be a folder with run direct"),
    ("report", [], "one of --workdir and --runs must be given"),
    ("serve", ["--workdir=/none"], "`workdir` must be a folder that trai"),
    (
        "sweep",
        ["--sweep=x", "--search=num_epoch=1|2", "--validation_fraction=0.1"],
        ".*num_epoch",
    ),
    (
        "sweep",
        [
            *("--sweep=x", "--search=num_epochs=1|2", "--data_dir=/none"),
            "--validation_fraction=0.1",
        ],
        "/none: found no such folder",
    ),
    ("probe", ["--num_steps=1"], "--num_steps=1: 1 is not integer >= 2"),
    ("probe", ["--logical_cpus=9999999"], "--logical_cpus=9999999: 9999999 is"),
    ("plan", ["--num_labels=1", "--num_features=9"], "`num_labels` must be"),
]


@pytest.mark.parametrize(
    ("command", "words", "wanted"),
    MISTAKES,
    ids=[f"{command} {' '.join(words)}"[:40] for command, words, _ in MISTAKES],
)
def test_a_mistake_is_one_paragraph_at_once(command, words, wanted):
    code, output, errors, imported = runs.with_imports(
        f"tfxml.{command}", *words
    )
    assert (code, output, imported) == (1, "", [])
    (line,) = errors.splitlines()
    assert re.match(f"FATAL {wanted}", line), line


def _path_flags(module):
    """Returns the flags of a command whose help says that they take a path."""
    _, output, _, _ = runs.with_imports(module, "--help")
    known = set()
    for path in (documents.ROOT / "tfxml").rglob("*.py"):
        known |= set(re.findall(r'paths\.define\(\s*"(\w+)"', path.read_text()))
    known |= {"word_vectors", "backbone"}
    return sorted(known & set(re.findall(r"^  --(\w+)=", output, re.M)))


@pytest.mark.slow
@pytest.mark.parametrize("module", COMMANDS)
def test_every_command_refuses_paths_of_no_scheme(module):
    for name in _path_flags(module):
        for path, needed in (
            ("s3://bucket/x", "must be a path on this machine"),
            ("~nobody-of-this-name/x", "must name the home folder of a user"),
        ):
            code, _, errors, _ = runs.with_imports(module, f"--{name}={path}")
            assert code == 1, (name, errors)
            assert errors.startswith(f"FATAL --{name}="), errors
            assert f"`{name}` {needed}" in errors
