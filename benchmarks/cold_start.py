"""Measures what a command costs before it does anything: processor time.

    python benchmarks/cold_start.py
    python benchmarks/cold_start.py --before=../tfxml-before

Each case is a process of its own, started `--repeats` times; the table has the
medians of its processor time, user and system, of all its threads. With
`--before` another copy of the project is measured in turn with this one. Two
small runs are trained first, in a folder that goes away: one on the generated
set, one on texts. Compiled loops are in Numba's cache by then.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

from absl import app, flags

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_TRAINING = (
    "--num_epochs=1",
    "--hidden_units=32",
    "--batch_size=32",
)
_WORDS = ("river", "bridge", "court", "law", "fish", "boat", "tax", "budget")
_ROW = '{"feature_ids": [1, 2], "feature_values": [1, 1]}\n'
_TEXT = '{"text": "the law on fish in the river"}\n'


def main(_) -> None:
    values = flags.FLAGS
    trees = {"now": str(_ROOT)}
    if values.before:
        trees = {"before": values.before, **trees}
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            name: _cases(tree, pathlib.Path(folder) / name)
            for name, tree in trees.items()
        }
        print("| | " + " | ".join(f"{name}, s" for name in trees) + " |")
        print("| --- |" + " --- |" * len(trees))
        for case in cases["now"]:
            seconds: dict[str, list[float]] = {name: [] for name in trees}
            for _repeat in range(values.repeats):
                for name, tree in trees.items():
                    words, stdin = cases[name][case]
                    seconds[name].append(_seconds(tree, words, stdin))
            cells = [
                f"{statistics.median(seconds[name]):.2f}" for name in trees
            ]
            print(f"| {case} | {' | '.join(cells)} |", flush=True)


def _cases(tree: str, folder: pathlib.Path) -> dict:
    """Returns words and input of each case; trains what is predicted with."""
    folder.mkdir()
    (folder / "file").touch()
    data = folder / "texts"
    data.mkdir()
    for split, number in (("train", 200), ("test", 40)):
        lines = [
            json.dumps(
                {
                    "text": " ".join(
                        _WORDS[(i * step) % len(_WORDS)] for step in (1, 3, 5)
                    ),
                    "labels": [_WORDS[i % len(_WORDS)]],
                }
            )
            for i in range(number)
        ]
        (data / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    rows, texts = f"{folder / 'rows'}", f"{folder / 'text_run'}"
    train = ["tfxml.train", *_TRAINING]
    _run(
        tree,
        [*train, f"--workdir={rows}", "--synthetic_train=500"],
    )
    _run(tree, [*train, f"--workdir={texts}", f"--data_dir={data}"])
    predict = "tfxml.predict"
    found = {
        "`train --help`": (["tfxml.train", "--help"], ""),
        "a flag that does not exist": (["tfxml.train", "--heda=mach"], ""),
        "a value that is none": (["tfxml.train", "--hidden_units=abc"], ""),
        "a folder that is not there": (["tfxml.train", "--data_dir=/none"], ""),
        "a workdir that is a file": (
            ["tfxml.train", f"--workdir={folder / 'file'}"],
            "",
        ),
        "a workdir without a run": ([predict, "--workdir=/none"], ""),
        "`predict` of one row": ([predict, f"--workdir={rows}"], _ROW),
        "`predict` of one text": ([predict, f"--workdir={texts}"], _TEXT),
    }
    for words, stdin in found.values():  # caches are warm
        _run(tree, words, stdin, may_fail=True)
    return found


def _seconds(tree: str, words: list[str], stdin: str) -> float:
    """Returns the processor time of a process and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(tree, words, stdin, may_fail=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _run(
    tree: str, words: list[str], stdin: str = "", may_fail: bool = False
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": tree},
        input=stdin,
        text=True,
        capture_output=True,
    )
    if done.returncode and not may_fail:
        raise RuntimeError(done.stderr)


if __name__ == "__main__":
    flags.DEFINE_string("before", "", "Another copy of the project.")
    flags.DEFINE_integer("repeats", 5, "Processes a case.", lower_bound=1)
    app.run(main)
