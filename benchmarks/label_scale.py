"""Measures both heads from four thousand labels to fifty million.

    python benchmarks/label_scale.py --memory=16GiB \\
        --plot=docs/images/label-scale.png

A process for each head and number of labels trains a few steps on generated
instances and decodes a batch: parameters, the process' peak memory, the median
step, milliseconds to decode an instance (from the encoder's output to the five
best labels), and the size of the weights. Models that do not fit into
`--memory` are not run, only their parameters are counted.
`--plot` needs `pip install ".[plots]"`.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf
from absl import app, flags

from tfxml import config as config_lib
from tfxml import plan as plan_command
from tfxml.data.feeding import pipeline
from tfxml.mach import planner
from tfxml.run import console, datasets, progress
from tfxml.run import run as run_lib

_LABELS = (4_000, 41_000, 130_000, 670_000, 2_800_000, 49_000_000)
_HEADS = ("sigmoid", "mach")
_HIDDEN, _BATCH, _FEATURE_BUCKETS = 64, 64, 1 << 18
_STEPS, _K = 5, 5


def main(_) -> None:
    values = flags.FLAGS
    if values.case:
        head, num_labels = values.case.split(",")
        print(json.dumps(_measure(head, int(num_labels))))
        return
    memory = plan_command.parse_memory(values.memory)
    rows = [
        _row(head, num_labels, memory)
        for num_labels in map(int, values.labels)
        for head in _HEADS
    ]
    print(
        f"hidden {_HIDDEN}, batch {_BATCH}, features hashed into "
        f"{_FEATURE_BUCKETS:,}; MACH: 16 repetitions, 10,000 buckets at most, "
        "32 from ten million labels on\n\n"
        "| labels | head | parameters | peak memory | step | decode, per "
        "instance | weights |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for row in rows:
        print(_line(row))
    if values.plot:
        _plot(rows, values.plot)


def _config(head: str, num_labels: int) -> config_lib.Config:
    return config_lib.Config(
        head=head,
        synthetic_labels=num_labels,
        synthetic_train=_BATCH * _STEPS,
        synthetic_test=_BATCH,
        synthetic_exponent=1.25,
        num_repetitions=32 if num_labels > 10_000_000 else 16,
        num_buckets=min(10_000, round(4 * num_labels**0.5)),
        feature_buckets=_FEATURE_BUCKETS,
        hidden_units=(_HIDDEN,),
        batch_size=_BATCH,
        dropout=0.0,
        steps_per_loop=1,
    )


def _row(head: str, num_labels: int, memory: int) -> dict:
    """Returns the measurements of a new process."""
    config = _config(head, num_labels)
    shape = planner.Plan(
        num_labels,
        2 * num_labels,
        _HIDDEN,
        config.num_repetitions if head == "mach" else 0,
        config.num_buckets if head == "mach" else 0,
        feature_buckets=_FEATURE_BUCKETS,
        batch_size=_BATCH,
    )
    row = {
        "head": head,
        "num_labels": num_labels,
        "parameters": shape.parameters,
    }
    if shape.training_bytes > memory:
        return row
    process = subprocess.run(
        [sys.executable, __file__, f"--case={head},{num_labels}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return row | json.loads(process.stdout.splitlines()[-1])


def _measure(head: str, num_labels: int) -> dict:
    config = _config(head, num_labels)
    data = datasets.training_data(config, "")
    run = run_lib.Run(config, tf.distribute.get_strategy(), data)
    run.train_epoch(
        progress.Progress(1, run.steps_per_epoch, 1, False), lambda: None
    )
    batch = next(iter(pipeline.evaluation(data.evaluation, _BATCH)))
    top_k = tf.function(run.model.head.top_k)
    encoded = run.model.encode(batch.inputs)
    top_k(encoded, _K)  # traced
    decode_times = []
    for _ in range(5):
        start = time.perf_counter()
        np.asarray(top_k(encoded, _K)[1])
        decode_times.append(1e3 * (time.perf_counter() - start) / _BATCH)
    weights = run.model.trainable_variables
    return {
        "step_ms": statistics.median(run.step_ms),
        "decode_ms": statistics.median(decode_times),
        "peak_gib": console.peak_memory_gib(),
        "weight_bytes": 4
        * sum(int(np.prod(weight.shape)) for weight in weights),
    }


def _line(row: dict) -> str:
    start = (
        f"| {row['num_labels']:,} | {row['head']} | "
        f"{row['parameters'] / 1e6:,.1f} M | "
    )
    if "step_ms" not in row:
        return start + "does not fit | | | |"
    return (
        f"{start}{row['peak_gib']:.2f} GiB | {row['step_ms']:,.0f} ms | "
        f"{row['decode_ms']:.2f} ms | {row['weight_bytes'] / 2**20:,.0f} MiB |"
    )


def _plot(rows: list[dict], path: str) -> None:
    """Plots the table, both axes logarithmic."""
    pyplot = importlib.import_module("matplotlib.pyplot")
    titles = {
        "parameters": "parameters",
        "peak_gib": "peak memory (GiB)",
        "step_ms": "step (ms)",
        "decode_ms": "decode (ms per instance)",
    }
    figure, axes = pyplot.subplots(1, len(titles), figsize=(16, 4))
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for head in _HEADS:
            measured = [r for r in rows if r["head"] == head and key in r]
            axis.loglog(
                [r["num_labels"] for r in measured],
                [r[key] for r in measured],
                marker="o",
                label=head,
            )
        axis.set_title(title)
        axis.set_xlabel("labels")
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path)


def _define_flags() -> None:
    flags.DEFINE_list("labels", list(map(str, _LABELS)), "Numbers of labels.")
    flags.DEFINE_string("memory", "16GiB", "The most memory of a run.")
    flags.DEFINE_string("plot", "", "Where to write a PNG.")
    flags.DEFINE_string("case", "", "One `head,labels`, in this process.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
