"""Paths that users give: expanded, or refused before anything is written."""

import ast
import os
import pathlib
import re

import documents
import pytest
from absl import flags

from tfxml import config as config_lib
from tfxml.run import paths

# Flags that take any text, and name neither a file nor a folder.
_NO_PATHS = {
    *("address", "best_metric", "data_service", "dataset", "dispatcher"),
    *("format", "label_column", "label_separator", "memory", "memory_budget"),
    *("mirror", "name", "repetition_group", "search", "text_column"),
    *("time_budget", "tpu", "weight_column", "weights"),
}


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("", ""),
        ("runs/a", "runs/a"),
        ("/tmp/[a] *?'\"\n\u00e4", "/tmp/[a] *?'\"\n\u00e4"),
        ("~", "/home/me"),
        ("~/runs/a", "/home/me/runs/a"),
        ("./~/a", "./~/a"),
        ("a~", "a~"),
        ("file:///tmp/a%20b", "/tmp/a b"),
        ("file://localhost/tmp/a", "/tmp/a"),
        ("FILE:///tmp/a", "/tmp/a"),
        ("C:x", "C:x"),
        (pathlib.Path("a"), "a"),
    ],
)
def test_a_path_of_this_machine(path, wanted, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert paths.local(path) == wanted


@pytest.mark.parametrize(
    "path",
    [
        "s3://bucket/run",
        "hdfs://host:9000/run",
        "http://host/x",
        "file://host/x",
        "file:x/y",
        "a\0b",
        "a\udcff",
        "~nobody-of-this-name/x",
    ],
)
def test_another_path_is_refused(path):
    if path == "file:x/y":  # a name like any other
        assert paths.local(path) == path
        return
    with pytest.raises(ValueError, match="`workdir` must") as raised:
        paths.local(path, "workdir")
    assert repr(path) in str(raised.value)


def test_a_flag_is_checked_when_it_is_read():
    values = flags.FlagValues()
    paths.define("workdir", "", "Help.", flag_values=values)
    paths.define("input", "-", "Help.", others=("-",), flag_values=values)
    paths.define("ids", None, "Help.", flag_values=values)
    values(["x", "--workdir=~/a"])
    assert values.workdir == os.path.expanduser("~/a")
    assert (values.input, values.ids) == ("-", None)
    values(["x", "--ids=gs:/bucket/x/"])  # nothing is read of it yet
    assert values.ids == "gs://bucket/x"
    paths.define("here", "", "Help.", is_here=True, flag_values=values)
    with pytest.raises(flags.IllegalFlagValueError, match="on this machine"):
        values(["x", "--here=gs://b"])
    with pytest.raises(flags.IllegalFlagValueError, match="s3://b"):
        values(["x", "--ids=s3://b"])


def _text_flags():
    """Yields each flag of a command that takes any text."""
    for path in (documents.ROOT / "tfxml").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and re.fullmatch("DEFINE_(multi_)?string", node.func.attr)
                and isinstance(node.args[0], ast.Constant)
            ):
                yield node.args[0].value
    for field in config_lib.dataclasses.fields(config_lib.Config):
        is_text = isinstance(field.default, str)
        choices, is_path = field.metadata["choices"], field.metadata["is_path"]
        if is_text and not choices and not is_path:
            yield field.name


def test_what_takes_a_path_is_defined_as_one():
    """A flag for text that is new here must say that it is no path."""
    assert set(_text_flags()) <= _NO_PATHS, set(_text_flags()) - _NO_PATHS
