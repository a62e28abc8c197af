"""Compares two workers with one: examples/s, and bytes sent.

    python benchmarks/scaling.py [--rounds=3]

Every worker computes on its own core, so that two workers on two cores can be
twice as fast as one. In the first table compute dominates: batches of 8,192
instances per worker. Groups of repetitions, which send nothing but each read
all rows, have 2,048 instances and wider layers. The second table has a small
batch and a large table of features, so that few of its rows have a gradient.
Bytes are those that the loopback device carried, per step of two workers; next
to them is the least that dense gradients would take: all-reduced once in each
direction, or pulled and pushed by each worker.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import tensorflow as tf
from absl import app, flags

_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Repetitions of the first table; 0: the second alone."
)
_STRATEGIES = flags.DEFINE_multi_enum(
    "strategy",
    ["multi_worker", "parameter_server", "repetition_group"],
    ["multi_worker", "parameter_server", "repetition_group"],
    "Which to measure.",
)

_MACH = [
    "--head=mach",
    "--num_repetitions=4",
    "--num_encoders=4",
    "--synthetic_test=64",
    "--dropout=0",
    "--form=compact",
    "--eval_epochs=99",
]
# Each process computes on the core of its worker or group; servers and the
# chief, which wait most of the time, on any core.
_PINNED = """
import json, os, runpy, sys
task = json.loads(os.environ.get("TF_CONFIG", "{}")).get("task", {})
index = int(sys.argv.pop(1))
if task.get("type", "worker") == "worker":
    cores = sorted(os.sched_getaffinity(0))
    index += task.get("index", 0)
    os.sched_setaffinity(0, {cores[index % len(cores)]})
sys.argv[0] = "tfxml.train"
runpy.run_module("tfxml.train", run_name="__main__")
"""


@dataclasses.dataclass(frozen=True)
class Setting:
    """A recipe to train, and its sizes.

    Attributes:
        words: flags of the recipe.
        num_train: instances.
        batch: instances of a worker's step.
    """

    words: tuple[str, ...]
    num_train: int
    batch: int


_COMPUTE = Setting(
    (
        "--synthetic_labels=2000",
        "--num_buckets=4000",
        "--hidden_units=64",
        "--steps_per_loop=8",
        "--num_epochs=3",
    ),
    num_train=65536,
    batch=8192,
)
# The same compute, and fewer rows, which every group reads.
_GROUPS = Setting(
    (
        "--synthetic_labels=2000",
        "--num_buckets=2000",
        "--hidden_units=512",
        "--steps_per_loop=8",
        "--num_epochs=3",
    ),
    num_train=16384,
    batch=2048,
)
_SPARSE = Setting(
    (
        "--synthetic_labels=50000",
        "--num_buckets=500",
        "--hidden_units=64",
        "--steps_per_loop=8",
        "--num_epochs=2",
    ),
    num_train=2048,
    batch=64,
)
# The machine's own speed for two independent processes: products of matrices
# that stay in the caches, for some seconds.
_PRODUCTS = """
import os, sys, time
core = sorted(os.sched_getaffinity(0))[int(sys.argv[1])]
os.sched_setaffinity(0, {core})
import numpy as np
a = np.ones((256, 256), np.float32)
count, start = 0, time.perf_counter()
while time.perf_counter() - start < 6:
    a @ a
    count += 1
print(count)
"""


@dataclasses.dataclass(frozen=True)
class Measured:
    """The results of a run: examples/s, and bytes per step."""

    speed: float
    sent: float
    dense: float


def measure(strategy: str, workers: int, setting: Setting) -> Measured:
    """Runs the real commands to their end."""
    with tempfile.TemporaryDirectory() as path:
        bytes_before = _loopback_bytes()
        running = [
            subprocess.Popen(
                command,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in _commands(strategy, workers, setting, path)
        ]
        codes = [process.wait(timeout=900) for process in running]
        sent = _loopback_bytes() - bytes_before
        if any(codes):
            raise RuntimeError(f"{strategy} x{workers} ended with {codes}")
        folders = [pathlib.Path(path)]
        if strategy == "repetition_group" and workers > 1:
            folders = sorted(pathlib.Path(path).iterdir())
        entries = [_last_entry(folder) for folder in folders]
        weights = sum(_weight_bytes(folder) for folder in folders)
    epochs = int(setting.words[-1].partition("=")[2])
    steps = entries[0]["step"]
    # An example counts when all groups have processed it.
    step_seconds = max(entry["step_ms"] for entry in entries) / 1e3
    examples = setting.num_train * epochs / steps
    return Measured(
        examples / step_seconds,
        sent / steps,
        0.0 if strategy == "repetition_group" else 2.0 * weights,
    )


def _commands(
    strategy: str, workers: int, setting: Setting, path: str
) -> list[list[str]]:
    """Returns the commands to run at the same time."""
    train = [
        *_MACH,
        *setting.words,
        f"--synthetic_train={setting.num_train}",
        f"--workdir={path}",
    ]
    python = [sys.executable, "-c", _PINNED]
    if strategy == "repetition_group" or (strategy, workers) == (
        "multi_worker",
        1,
    ):
        # Each group processes every batch, for its own repetitions.
        return [
            [
                *python,
                str(group),
                *train,
                f"--batch_size={setting.batch}",
                f"--repetition_group={group}/{workers}",
            ]
            for group in range(workers)
        ]
    # All workers share a step of multi_worker; with parameter servers each
    # worker makes its own steps.
    workers_per_step = workers if strategy == "multi_worker" else 1
    launch = ["-m", "strategies.launch", f"--workers={workers}"]
    if strategy == "parameter_server":
        launch.append("--ps=1")
    command = [
        *python,
        "0",
        *train,
        f"--strategy={strategy}",
        f"--batch_size={setting.batch * workers_per_step}",
    ]
    return [[sys.executable, *launch, "--", *command]]


def _loopback_bytes() -> int:
    """Returns the bytes that this machine has sent to itself."""
    for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[0])
    raise OSError("/proc/net/dev knows no loopback device")


def _last_entry(folder: pathlib.Path) -> dict:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return json.loads(lines[-1])


def _weight_bytes(folder: pathlib.Path) -> int:
    """Returns the bytes of the model's weights, in float32."""
    newest = max((folder / "checkpoints").glob("step_*"))
    reader = tf.train.load_checkpoint(str(newest / "model"))
    shapes = reader.get_variable_to_shape_map()
    return sum(
        4 * tf.TensorShape(shape).num_elements()
        for name, shape in shapes.items()
        if name.startswith("model/")
    )


def _products(processes: int) -> int:
    """Returns how many products a number of processes make at once."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", _PRODUCTS, str(core)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for core in range(processes)
    ]
    return sum(int(process.communicate(timeout=60)[0]) for process in running)


def _print_scaling() -> None:
    pairs = [(_products(1), _products(2)) for _ in range(_ROUNDS.value)]
    ratio = statistics.median(two / one for one, two in pairs)
    print(f"the machine itself, matrix products: {ratio:.2f}\n")
    print(
        f"{'strategy':18}{'1 worker/s':>12}{'2 workers/s':>12}"
        f"{'ratio':>8}{'MB/step':>11}{'dense MB':>10}"
    )
    for strategy in _STRATEGIES.value:
        setting = _GROUPS if strategy == "repetition_group" else _COMPUTE
        ones, twos = [], []
        for _ in range(_ROUNDS.value):
            ones.append(measure(strategy, 1, setting))
            twos.append(measure(strategy, 2, setting))
        one, two, sent, dense = (
            statistics.median(values)
            for values in (
                [run.speed for run in ones],
                [run.speed for run in twos],
                [run.sent for run in twos],
                [run.dense for run in twos],
            )
        )
        print(
            f"{strategy:18}{one:12.0f}{two:12.0f}{two / one:8.2f}"
            f"{sent / 1e6:11.2f}{dense / 1e6:10.2f}",
            flush=True,
        )


def main(argv) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"arguments that are not flags: {argv[1:]}")
    start = time.monotonic()
    if _ROUNDS.value:
        _print_scaling()
    print(f"\n{'small batch':18}{'MB/step':>11}{'dense MB':>10}")
    for strategy in _STRATEGIES.value:
        if strategy == "repetition_group":  # nothing is sent
            continue
        run = measure(strategy, 2, _SPARSE)
        print(f"{strategy:18}{run.sent / 1e6:11.2f}{run.dense / 1e6:10.2f}")
    print(f"{time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    app.run(main)
