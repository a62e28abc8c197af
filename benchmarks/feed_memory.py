"""Measures the peak memory of training from prepared folders.

    python benchmarks/feed_memory.py --prepared=data/p1,data/p2

For each folder `python -m tfxml.train` trains one epoch (or `--seconds`, and is
then terminated) in a separate process, with a model that costs next to nothing:
hashed features, 16 hidden units, MACH of two times 64 buckets. For comparison
the same command runs on a few rows in memory with as many features and labels:
TensorFlow, the model and everything that grows with these. The difference is
the memory of the data, including the vocabulary of text.

Memory is read from /proc every tenth of a second: `VmHWM`, the peak resident
memory; `RssAnon`, its part that is the process' own; `RssFile`, its part in
pages of mapped files, which the system may reclaim.
"""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

_PREPARED = flags.DEFINE_list("prepared", [], "Prepared folders.")
_SECONDS = flags.DEFINE_float("seconds", 600, "The most that a run may take.")
_BATCH = flags.DEFINE_integer("batch_size", 512, "Rows of a batch.")

_MODEL = (
    "--head=mach",
    "--num_repetitions=2",
    "--num_buckets=64",
    "--hidden_units=16",
    "--feature_buckets=4096",
    "--dropout=0",
    "--num_epochs=1",
    "--steps_per_loop=100",
)
_NUM_ROWS = 1024
_KINDS = ("VmHWM", "RssAnon", "RssFile")


def main(_) -> None:
    print(
        "| set | instances | labels | steps | of an epoch | peak MiB | of it "
        "own | of it files | few rows in memory | the data |\n"
        f"|{' --- |' * 10}"
    )
    for folder in _PREPARED.value:
        print(_line(pathlib.Path(folder)), flush=True)


def _line(folder: pathlib.Path) -> str:
    manifest = json.loads((folder / "records.json").read_text())
    num_instances = manifest["splits"]["train"]["num_instances"]
    settings = [
        f"--{name}={0 if value is None else value}"
        for name, value in manifest["settings"].items()
    ]
    steps, peaks = _train([f"--data_dir={folder}", *settings])
    with tempfile.TemporaryDirectory() as few_rows:
        _write_few(pathlib.Path(few_rows), manifest)
        _, base = _train([f"--data_dir={few_rows}"])
    steps_per_epoch = -(-num_instances // _BATCH.value)
    cells = (
        folder.name,
        f"{num_instances:,}",
        f"{manifest['num_labels']:,}",
        f"{steps:,}",
        f"{steps_per_epoch:,}",
        *(f"{peaks[kind]:,.0f}" for kind in _KINDS),
        f"{base['VmHWM']:,.0f}",
        f"{peaks['VmHWM'] - base['VmHWM']:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _write_few(folder: pathlib.Path, manifest: dict) -> None:
    """Writes a few rows with as many features and labels as a prepared set."""
    limits = manifest["num_features"], manifest["num_labels"]
    rng = np.random.default_rng(0)
    lines = [f"{_NUM_ROWS} {limits[0]} {limits[1]}"]
    for _ in range(_NUM_ROWS):
        features = np.unique(rng.integers(0, limits[0], 8))
        pairs = " ".join(f"{feature}:1" for feature in features)
        lines.append(f"{rng.integers(0, limits[1])} {pairs}")
    for name in ("train.txt", "test.txt"):
        (folder / name).write_text("\n".join(lines) + "\n")


def _train(arguments: list[str]) -> tuple[int, dict[str, float]]:
    """Returns the number of steps, and the peak MiB of each kind."""
    with tempfile.TemporaryDirectory() as temporary:
        output = pathlib.Path(temporary) / "output"
        workdir = pathlib.Path(temporary) / "run"
        command = [sys.executable, "-m", "tfxml.train", *_MODEL, *arguments]
        command += [f"--batch_size={_BATCH.value}", f"--workdir={workdir}"]
        with open(output, "w") as sink:
            process = subprocess.Popen(
                command, stdout=sink, stderr=subprocess.STDOUT
            )
        peaks = _watch(process)
        printed = output.read_text()
        if process.returncode not in (0, 143):
            raise RuntimeError(f"{command} failed:\n{printed[-2000:]}")
        saved = re.search(r"saved at step (\d+)", printed)
        if saved:
            return int(saved[1]), peaks
        lines = (workdir / "metrics.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["step"], peaks


def _watch(process: subprocess.Popen) -> dict[str, float]:
    """Waits for a process; returns its peak MiB of each kind."""
    peaks = dict.fromkeys(_KINDS, 0.0)
    start, is_terminated = time.monotonic(), False
    while process.poll() is None:
        for kind, mib in _memory(process.pid).items():
            peaks[kind] = max(peaks[kind], mib)
        if time.monotonic() - start > _SECONDS.value and not is_terminated:
            process.terminate()
            is_terminated = True
        time.sleep(0.1)
    return peaks


def _memory(pid: int) -> dict[str, float]:
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:  # it has ended
        return {}
    fields = re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)
    return {name: int(kb) / 1024 for name, kb in fields if name in _KINDS}


if __name__ == "__main__":
    app.run(main)
