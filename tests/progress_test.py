"""The progress line and the end of a run, without the run."""

import io
import json
import os
import re
import shutil
import sys

import pytest

from tfxml import config as config_lib
from tfxml.evaluation import tables
from tfxml.run import more_epochs, outcome, progress


class _Clock:
    """Seconds that pass when they are told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


class _Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    clock = _Clock()
    monkeypatch.setattr(progress.time, "monotonic", clock.monotonic)
    return clock


def _epoch(shown, clock, first, seconds, is_traced=False, losses=(4.0, 3.0)):
    """Takes two loops of 5 steps each, of so many seconds."""
    shown.start(first)
    for number, loss in enumerate(losses, 1):
        clock.now += seconds
        shown.update(first + 5 * number, loss, is_traced and number == 1)


def test_the_figures_are_those_of_the_definition(clock, capsys):
    shown = progress.Progress(3, 10, 64.0)
    # The first loop makes the graph: only the second tells of the steps.
    shown.start(0)
    clock.now += 50
    shown.update(5, 4.0, is_traced=True)
    assert shown.examples_per_second == 0
    assert "left" not in shown.text(5, 4.0)
    clock.now += 2.5
    shown.update(10, 3.0)
    assert shown.examples_per_second == 64 / 0.5
    clock.now += 7  # evaluation
    shown.start(10)
    clock.now += 2.5
    shown.update(15, 2.0)
    # 5 steps are left of this epoch, then an evaluation and one epoch more.
    text = shown.text(5, 2.0)
    assert text.startswith("epoch 2/3   50 %  128 examples/s  loss 2.0000  ")
    assert re.search(r" GiB  left 0:02, of the run 0:14$", text)
    capsys.readouterr()


def test_a_log_has_a_line_a_minute(clock, capsys):
    shown = progress.Progress(2, 10, 64.0)
    _epoch(shown, clock, 0, 1.0, is_traced=True)
    assert capsys.readouterr().out == "tracing   the first steps\n"
    _epoch(shown, clock, 10, 61.0)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("epoch 2/2   50 %") and "loss 4.0000" in line


def test_others_than_the_chief_are_silent(clock, capsys):
    shown = progress.Progress(2, 10, 64.0, is_shown=False)
    _epoch(shown, clock, 0, 100.0)
    _epoch(shown, clock, 10, 100.0)
    assert capsys.readouterr().out == ""
    assert shown.examples_per_second == 64 / 20


def test_a_terminal_has_one_line_that_goes_away(clock, monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    shown = progress.Progress(2, 10, 64.0)
    _epoch(shown, clock, 0, 1.0, is_traced=True)
    _epoch(shown, clock, 10, 1.0)
    text = terminal.getvalue()
    assert "examples/s" in text and "of the run" in text
    assert text.endswith("\x1b[2K")  # the line is erased


# --- the end ----------------------------------------------------------------

KS = (1, 3)
METRICS = {key: 10.0 + i for i, key in enumerate(tables.headline_keys(KS))}


def test_the_table_has_what_it_is_compared_with():
    alone = outcome.table(METRICS, {}, KS)
    assert alone == tables.format_metrics(METRICS, tables.headline_keys(KS))
    lacking = {"P@1": 3.0}
    lines = outcome.table(
        METRICS, {"most frequent": METRICS, "other": lacking}, KS
    ).splitlines()
    assert [line[:13].strip() for line in lines] == [
        "",
        "this run",
        "most frequent",
    ]
    assert lines[1].split()[2:] == lines[2].split()[2:]
    assert lines[0].split() == tables.headline_keys(KS)


class _Workdir:
    def __init__(self, path):
        self.path = path

    def read_fingerprint(self):
        return {"labels": 3}


def test_the_last_run_on_the_same_data_is_found(tmp_path):
    runs = {"old": 3, "other": 4, "new": 3, "this": 3, "broken": None}
    for number, (name, labels) in enumerate(runs.items()):
        folder = tmp_path / name
        folder.mkdir()
        run = json.dumps({"data": {"labels": labels}}) if labels else "{"
        (folder / "run.json").write_text(run)
        (folder / "result.json").write_text(json.dumps({"P@1": number}))
        os.utime(folder / "result.json", (number, number))
    (tmp_path / "unfinished").mkdir()
    shutil.copytree(tmp_path / "new", tmp_path / "odd")
    (tmp_path / "odd" / "result.json").write_text("[1]")
    shutil.copytree(tmp_path / "new", tmp_path / "odder")
    (tmp_path / "odder" / "result.json").write_text('{"P@1": "x"}')
    assert outcome.last_run(_Workdir(tmp_path / "this")) == {"new": {"P@1": 2}}
    assert outcome.last_run(_Workdir(tmp_path / "new" / "sub")) == {}


def test_the_next_commands_can_be_typed(tmp_path):
    text = outcome.next_steps(f"{tmp_path}/my run", is_text=True)
    assert text.count(f"'--workdir={tmp_path}/my run'") == 3
    for command in ("evaluate", "predict", "export"):
        assert f"python -m tfxml.{command} " in text
    assert """echo '{"text": "..."}' |""" in text
    text = outcome.next_steps(str(tmp_path), is_text=False)
    assert '"feature_ids": [0, 1]' in text


def test_a_schedule_that_cannot_be_continued_is_said():
    old, new = config_lib.Config(num_epochs=2), config_lib.Config(num_epochs=3)
    assert "not as a run of 3 epochs from the start" in (
        more_epochs.describe(old, new)
    )
    new = new.replace(decay="constant")
    assert "not" not in more_epochs.describe(old, new)
