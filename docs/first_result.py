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
        f"a machine with {os.cpu_count()} cores that had other work too "
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
    ]
    return "\n".join(blocks)


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
