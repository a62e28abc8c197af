"""Walks from a clone to a first result as a new user, and writes it down.

    python docs/first_result.py [--source=.]

clones the project into a folder that goes away, installs it into an environment
of its own, and types what is in STEPS; docs/first-result.md has each command,
what it said and how long it took.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "first-result.md"
ROW = '{"feature_ids": [3, 14, 159], "feature_values": [1, 0.5, 2]}'
SETUP = (
    "git clone --quiet {source} tfxml",
    "{python} -m venv env && . env/bin/activate",
    "pip install --quiet ./tfxml",
)
STEPS = (
    "python -m tfxml.train --workdir=runs/first",
    "python -m tfxml.evaluate --workdir=runs/first --deciles",
    f"echo '{ROW}' | python -m tfxml.predict --workdir=runs/first --k=3",
)
# What a new user stumbled over, what is said now, and the test that holds it.
STUMBLES = (
    (
        "six lines of absl, CUDA and oneDNN first; one of TensorFlow an epoch",
        "our lines alone",
        "train_test.py::test_killed_and_resumed_equals_uninterrupted",
    ),
    (
        "progress without examples a second, memory or the time left; its loss "
        "was not the epoch's",
        "one line with all of them, and the epoch's loss so far",
        "progress_test.py::test_the_figures_are_those_of_the_definition",
    ),
    (
        "an end without a word on what comes next",
        "three commands, filled in",
        "progress_test.py::test_the_next_commands_can_be_typed",
    ),
    (
        "`--help`: 5 s of processor time, for three flags",
        "at once, without TensorFlow, every flag in its group",
        "help_test.py::test_help_starts_no_tensorflow",
    ),
    (
        "`--hidden_units=abc`: a screen of usage, the message last",
        "one paragraph that begins with FATAL",
        "help_test.py::test_a_mistake_is_one_paragraph_at_once",
    ),
    (
        "a missing folder: told after a run directory had been announced",
        "told first",
        "help_test.py::test_a_mistake_is_one_paragraph_at_once",
    ),
    (
        "Ctrl-C: 40 lines of traceback, nothing saved",
        "saved, and how to resume",
        "termination_test.py::test_training_that_is_told_saves_and_resumes",
    ),
    (
        "`evaluate` of a run that has not ended: figures without a word",
        "a note with the command that resumes",
        "termination_test.py::test_training_that_is_told_saves_and_resumes",
    ),
    (
        "more epochs in the same run directory: refused",
        "they continue the run",
        "train_test.py::test_more_epochs_continue_a_finished_run",
    ),
    (
        "other data in it: `Received incompatible tensor`",
        "refused, with what differs",
        "workdir_test.py::test_other_data_in_a_run_directory_are_refused",
    ),
    (
        "extras with an underscore: not found by older versions of pip",
        "hyphens, found by the oldest pip of every Python",
        "packaging_test.py::test_the_oldest_pip_finds_every_extra",
    ),
    (
        "the Colab notebook: no clone cell, a package short, no outputs",
        "all there",
        "notebook_test.py::test_colab_installs_what_the_readme_says",
    ),
    (
        "an export: seven lines of TensorFlow on signatures",
        "our lines alone",
        "export_command_test.py::test_writes",
    ),
    (
        "a predictor that took no string",
        "a string is a request",
        "predict_test.py::test_a_string_is_a_request",
    ),
    (
        "a median step of 400 to 2,000 ms, mostly tracing",
        "the median of steps that made no graph",
        "progress_test.py::test_the_figures_are_those_of_the_definition",
    ),
)
MISTAKES = (
    "python -m tfxml.train --heda=mach",
    "python -m tfxml.train --hidden_units=abc",
    "python -m tfxml.train --data_dir=nowhere",
    "python -m tfxml.predict --workdir=runs/second",
)


@dataclasses.dataclass(frozen=True)
class Said:
    """A command, what it wrote, and its seconds."""

    command: str
    output: str
    seconds: float


def run(command: str, folder: str, typed: str = "") -> Said:
    """Runs a command in bash, in the environment if there is one.

    Args:
        command: to run.
        folder: where.
        typed: what the page shows in its place; empty: itself.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [
            *("bash", "-c"),
            f"[ -e env ] && . env/bin/activate; {command}",
        ],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.perf_counter() - start
    return Said(typed or command, done.stdout, seconds)


def to_block(said: Said) -> str:
    """Returns a command as the page shows it."""
    output = "\n".join(line.rstrip() for line in said.output.splitlines())
    shown = f"$ {said.command}\n{output}".rstrip()
    return f"```text\n{shown}\n```\n\n{said.seconds:.1f} s.\n"


def page(folder: str, source: str) -> str:
    """Returns the page of a walk in an empty folder."""
    python = sys.executable
    setup = [
        run(
            command.format(source=source, python=python),
            folder,
            command.format(source="<address of the project>", python="python3"),
        )
        for command in SETUP
    ]
    for said in setup:  # pip's warnings speak of the machine
        if "error" in said.output.lower():
            raise RuntimeError(said.output)
    setup = [dataclasses.replace(said, output="") for said in setup]
    steps = [run(command, folder) for command in STEPS]
    mistakes = [run(command, folder) for command in MISTAKES]
    first = sum(said.seconds for said in [*setup, steps[0]])
    blocks = [
        "# From clone to first result\n",
        "What a new user types, what is said, and the seconds of the clock, on "
        f"a machine with {os.cpu_count()} cores "
        f"(Python {platform.python_version()}; packages from a mirror "
        "nearby). `docs/first_result.py` walks it again and writes "
        "this page.\n",
        f"**From `git clone` to the first table of metrics: {first:.0f} s.**\n",
        "## Install\n",
        *map(to_block, setup),
        "## Train, evaluate, predict\n",
        *map(to_block, steps),
        "## What is mistyped\n",
        "One paragraph, at once:\n",
        *map(to_block, mistakes),
        stumbles(),
    ]
    return "\n".join(blocks)


def stumbles() -> str:
    """Returns the table of what was mended."""
    rows = [
        f"| {before} | {now} | `{test}` |" for before, now, test in STUMBLES
    ]
    return "\n".join(
        [
            "## What a new user stumbled over\n",
            "| once | now | test, in `tests/` |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", default=str(ROOT))
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = page(folder, words.source)
    PAGE.write_text(text)
    print(PAGE)


if __name__ == "__main__":
    main()
