"""Sweeps: what is tried, cut short, resumed; real trainings when slow."""

import json
import signal
import subprocess
import sys
import time

import pytest
import runs

from tfxml import config as config_lib
from tfxml.data import data_errors
from tfxml.sweeping import search_space, sweep_plan

pytest.importorskip("optuna")
from tfxml.sweeping import study  # noqa: E402  needs optuna

BASE = config_lib.Config(validation_fraction=0.2, num_epochs=6)
# As training looks from outside: evaluations, line by line, then a good end.
# A learning rate of x reaches P@1 = 100 x; above 0.5 it fails.
TRAINER = """
import json, pathlib, re, sys, time
words = dict(w[2:].split("=", 1) for w in sys.argv[1:])
folder = pathlib.Path(words["workdir"])
flags = (folder / "trial.cfg").read_text()
rate = float(re.search("--learning_rate=(.*)", flags)[1])
if rate > 0.5:
    sys.exit("too fast")
path = folder / "metrics.jsonl"
begun = len(path.read_text().splitlines()) if path.exists() else 0
(folder / "begun").open("a").write(f"{begun}\\n")
for epoch in range(begun + 1, 7):
    time.sleep(SECONDS)
    with path.open("a") as lines:
        entry = {"step": epoch, "epoch": epoch, "P@1": 100 * rate}
        lines.write(json.dumps(entry) + "\\n")
"""


def _trainer(seconds):
    return sys.executable, "-c", TRAINER.replace("SECONDS", str(seconds))


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (
            "learning_rate=1e-4..0.01:log",
            {"learning_rate": search_space.Range(1e-4, 0.01, True, False)},
        ),
        (
            "batch_size=16..512 head=sigmoid|mach",
            {
                "batch_size": search_space.Range(16, 512, False, True),
                "head": search_space.Choices(("sigmoid", "mach")),
            },
        ),
        (
            "hidden_units=256|512,256 residual=true|false",
            {
                "hidden_units": search_space.Choices(("256", "512,256")),
                "residual": search_space.Choices(("true", "false")),
            },
        ),
    ],
)
def test_a_line_says_what_is_tried(line, wanted):
    space = search_space.of_line(line)
    assert space == wanted
    search_space.check(BASE, space)
    for name, values in space.items():
        for text in values.ends():
            config = search_space.config_of(BASE, {name: text})
            changed = config_lib.differences(config, BASE)
            assert len(changed) <= 1


def test_yaml_says_the_same():
    text = """
        learning_rate: {low: 1.0e-4, high: 1e-2, log: true}
        batch_size: {low: 16, high: 512}
        hidden_units: [256, "512,256", [64, 64]]
        residual: [true, false]
    """
    assert search_space.of_yaml(text) == {
        **search_space.of_line(
            "learning_rate=1e-4..1e-2:log batch_size=16..512 "
            "residual=true|false"
        ),
        "hidden_units": search_space.Choices(("256", "512,256", "64,64")),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "at least one field"),
        ("learning_rate", "name=low..high"),
        ("learning_rate=", "name=low..high"),
        ("learningrate=1..2", "fields of the recipe"),
        ("learning_rate=2..1", "low below high"),
        ("learning_rate=0..1:log", "above 0 on a log scale"),
        ("learning_rate=a..b", "numbers at both ends"),
        ("learning_rate=1..inf", "numbers below 1e"),
        ("learning_rate=nan..1", "numbers below 1e"),
        ("batch_size=1..1e30", "numbers below 1e"),
        ("batch_size=1.5..8", "whole numbers"),
        ("head=a..b", "no number"),
        ("head=sigmoid|other", "other"),
        ("batch_size=-4..8", "batch_size"),
        ("hidden_units=8|x", "whole numbers"),
        ("eval_split=dev|test", "leave the question"),
        ("validation_fraction=0..0.5", "leave the question"),
    ],
)
def test_what_cannot_be_tried(line, words):
    with pytest.raises(Exception, match=words):
        search_space.check(BASE, search_space.of_line(line))


@pytest.mark.parametrize("text", ["[", "a", "head: mach", "head: []", "{}"])
def test_yaml_that_says_nothing(text):
    with pytest.raises(ValueError, match="`search` must have"):
        search_space.of_yaml(text)


@pytest.mark.parametrize(
    "content", [b"junk\n", b"{}\n", b"[]\n", b'{"op_code": 99}\n']
)
def test_a_journal_of_something_else_is_named(content, tmp_path):
    (tmp_path / "journal.log").write_bytes(content)
    with pytest.raises(data_errors.DataError, match="journal.log: found"):
        study.Sweep(tmp_path, _plan("batch_size=8|16"))


@pytest.mark.parametrize(
    "config",
    [config_lib.Config(), config_lib.Config(eval_split="test")],
)
def test_a_test_split_is_never_looked_at(config, tmp_path):
    plan = sweep_plan.Plan(config, search_space.of_line("batch_size=8|16"))
    with pytest.raises(ValueError, match="never looks at a test split"):
        study.Sweep(tmp_path, plan)
    dev = config_lib.Config(eval_split="dev")
    sweep_plan.Plan(dev, plan.space).check()


def _plan(line, seconds=0.02, **words):
    return sweep_plan.Plan(
        BASE,
        search_space.of_line(line),
        command=_trainer(seconds),
        **words,
    )


def test_the_best_of_the_trials_is_found(tmp_path):
    said = []
    plan = _plan("learning_rate=0.01|0.3|0.2|0.7", 0, num_trials=6)
    sweep = study.Sweep(tmp_path, plan, said.append)
    for rate in ("0.3", "0.7"):
        sweep.study.enqueue_trial({"learning_rate": rate})
    sweep.run()
    best, *_ = sweep.finished()
    assert best.value == 30 and best.params == {"learning_rate": "0.3"}
    assert len(said) == len(sweep.study.trials) == 6
    for line in said:
        if "learning_rate=0.7" in line:
            assert "fail" in line and "exit code 1: too fast" in line
    # As many as there shall be: there is nothing left to do.
    again = study.Sweep(tmp_path, plan, said.append)
    again.run()
    assert len(said) == 6
    with pytest.raises(ValueError, match="a sweep of another space"):
        study.Sweep(tmp_path, _plan("learning_rate=0.1|0.2"))


@pytest.mark.slow
def test_poor_trials_are_cut_short(tmp_path):
    sweep = study.Sweep(
        tmp_path,
        _plan("learning_rate=0.001..0.4", seconds=0.1, num_trials=5),
        lambda line: None,
    )
    for rate in (0.4, 0.39, 0.38, 0.37, 0.001):
        sweep.study.enqueue_trial({"learning_rate": rate})
    sweep.run()
    states = [one.state.name for one in sweep.study.trials]
    assert states == ["COMPLETE"] * 4 + ["PRUNED"]
    lines = (tmp_path / "trials/trial_0004/metrics.jsonl").read_text()
    assert 0 < len(lines.splitlines()) < 6


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    script = f"""
import sys
sys.path.insert(0, {str(runs.__file__.rsplit("/", 1)[0])!r})
import pathlib, sweep_test
from tfxml.sweeping import study
plan = sweep_test._plan(
    "learning_rate=0.1|0.2", 0.3, num_trials=3, num_processes=2
)
study.Sweep(pathlib.Path({str(tmp_path)!r}), plan).run()
"""
    first = tmp_path / "trials/trial_0000/metrics.jsonl"
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        deadline = time.monotonic() + 60
        while not (first.exists() and first.read_text().count("\n") >= 2):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    time.sleep(2)  # what ran goes on to its end by itself, or is resumed
    plan = _plan("learning_rate=0.1|0.2", num_trials=3, num_processes=2)
    sweep = study.Sweep(tmp_path, plan, lambda line: None)
    sweep.run()
    done = sweep.finished()
    assert len(done) == 3
    folders = sorted(one.user_attrs["folder"] for one in done)
    assert folders == ["trial_0000", "trial_0001", folders[2]]
    begun = (tmp_path / "trials/trial_0000/begun").read_text().split()
    assert len(begun) == 2 and int(begun[1]) >= 2  # not from the start


@pytest.mark.slow
def test_the_command(tmp_path):
    """Real trainings, two at once; Ctrl-C, and the same command again."""
    words = runs.command(
        "tfxml.sweep",
        f"--sweep={tmp_path}",
        "--search=learning_rate=1e-6|0.03 hidden_units=8|8,8",
        "--trials=4",
        "--processes=2",
        "--synthetic_labels=30",
        "--synthetic_train=600",
        "--synthetic_test=100",
        "--validation_fraction=0.2",
        "--num_epochs=4",
        "--batch_size=32",
    )
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        next(process.stdout)  # a trial has ended
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    output = runs.run(words)
    assert "best of" in output and "leaderboard: " in output
    workdir = output[output.index("run directory: ") + 15 :].split()[0]
    result = json.loads((tmp_path / workdir / "result.json").read_text())
    best = output.split("P@1 ")[-1].split()
    values = [
        json.loads(path.read_text())["P@1"]
        for path in tmp_path.glob("trials/*/result.json")
    ]
    assert max(values) == result["P@1"]
    assert len(values) <= 4 and best
