"""Paths that users give: expanded, or refused before anything is written."""

import os
import pathlib

import pytest
from absl import flags

from tfxml.run import paths


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
