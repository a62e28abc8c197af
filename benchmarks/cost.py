"""Measures the cost of a step as one size after the other grows.

    python benchmarks/cost.py --plot=docs/images/cost.png

Both heads train a few steps on generated instances, each time with one size of
a base changed: features D, labels L, instances per batch, hidden units, and for
MACH repetitions times buckets. Each case runs in its own process. The table has
examples per second of the median step, the process' peak memory and the
parameters. Rows have 100 features and 4 labels, independent of each other,
small ids most often. `--plot` needs `pip install ".[plots]"`.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import statistics
import subprocess
import sys

import numpy as np
import tensorflow as tf
from absl import app, flags

from tfxml import config as config_lib
from tfxml.data import instances
from tfxml.data.feeding import in_memory
from tfxml.evaluation import exclusions
from tfxml.run import console, datasets, progress, workdir
from tfxml.run import run as run_lib

_HEADS = ("sigmoid", "mach")
_STEPS, _FEATURES_EACH, _LABELS_EACH = 12, 100, 4


@dataclasses.dataclass(frozen=True)
class Size:
    """The sizes that determine the cost of a step."""

    features: int = 131_072
    labels: int = 16_384
    batch: int = 256
    hidden: int = 256
    repetitions: int = 8
    buckets: int = 1_000


_SWEEPS = {
    "features": (16_384, 131_072, 524_288, 2_097_152),
    "labels": (1_024, 4_096, 16_384, 65_536, 262_144),
    "batch": (32, 128, 256, 512, 2_048),
    "hidden": (64, 128, 256, 512, 1_024),
    "repetitions": (2, 4, 8, 16, 32),
}


def main(_) -> None:
    values = flags.FLAGS
    if values.case:
        head, *sizes = values.case.split(",")
        print(json.dumps(_measure(head, Size(*map(int, sizes)))))
        return
    base = Size()
    print(
        f"Base: {base}\n\n| changed | to | head | parameters | step | "
        "examples/s | peak memory |\n|" + " --- |" * 7
    )
    rows = []
    for changed in values.sweeps:
        for value in _SWEEPS[changed]:
            size = dataclasses.replace(base, **{changed: value})
            for head in _HEADS if changed != "repetitions" else ("mach",):
                rows.append(_row(changed, value, head, size))
                print(_line(rows[-1], size), flush=True)
    if values.plot:
        _plot(rows, values.plot)


def _row(changed: str, value: int, head: str, size: Size) -> dict:
    """Returns the measurements of a new process."""
    sizes = ",".join(map(str, dataclasses.astuple(size)))
    process = subprocess.run(
        [sys.executable, __file__, f"--case={head},{sizes}"],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(process.stdout.splitlines()[-1])
    return {"changed": changed, "value": value, "head": head} | measured


def _measure(head: str, size: Size) -> dict:
    config = config_lib.Config(
        dataset="folder",  # not read
        head=head,
        num_repetitions=size.repetitions,
        num_buckets=size.buckets,
        hidden_units=(size.hidden,),
        batch_size=size.batch,
        num_epochs=1,
        steps_per_loop=1,
    )
    run = run_lib.Run(config, tf.distribute.get_strategy(), _data(size))
    run.train_epoch(
        progress.Progress(1, run.steps_per_epoch, 1, False), lambda: None
    )
    step_ms = statistics.median(run.step_ms[1:])
    weights = run.model.trainable_variables
    return {
        "parameters": sum(int(np.prod(weight.shape)) for weight in weights),
        "step_ms": step_ms,
        "examples_per_second": 1e3 * size.batch / step_ms,
        "peak_gib": console.peak_memory_gib(),
    }


def _data(size: Size) -> datasets.TrainingData:
    """Returns generated instances, enough for the steps."""
    num_instances = size.batch * _STEPS
    rng = np.random.default_rng(0)
    generated = instances.Instances(
        np.arange(num_instances + 1) * _FEATURES_EACH,
        _ids(rng, num_instances, _FEATURES_EACH, size.features),
        rng.random(num_instances * _FEATURES_EACH, np.float32),
        np.arange(num_instances + 1) * _LABELS_EACH,
        _ids(rng, num_instances, _LABELS_EACH, size.labels),
    )
    source = in_memory.InMemorySource(generated, size.features, size.labels)
    return datasets.TrainingData(
        source,
        source,
        workdir.Facts(
            size.features, size.labels, num_instances, "compact", False, ""
        ),
        source.label_counts(),
        None,
        None,
        exclusions.NOTHING,
    )


def _ids(rng, num_rows: int, num_ids: int, limit: int) -> np.ndarray:
    """Returns ids of rows: ascending, distinct in a row, small most often."""
    ids = np.sort(
        (limit - num_ids + 1) ** rng.random((num_rows, num_ids)), axis=1
    )
    return (
        ids.astype(np.int32) - 1 + np.arange(num_ids, dtype=np.int32)
    ).ravel()


def _line(row: dict, size: Size) -> str:
    value = f"{row['value']:,}"
    if row["changed"] == "repetitions":
        value += f" x {size.buckets:,} buckets"
    return (
        f"| {row['changed']} | {value} | {row['head']} | "
        f"{row['parameters'] / 1e6:,.1f} M | {row['step_ms']:,.1f} ms | "
        f"{row['examples_per_second']:,.0f} | {row['peak_gib']:.2f} GiB |"
    )


def _plot(rows: list[dict], path: str) -> None:
    """Plots examples per second and peak memory over each size."""
    pyplot = importlib.import_module("matplotlib.pyplot")
    sweeps = list(dict.fromkeys(row["changed"] for row in rows))
    kinds = {
        "examples_per_second": "examples per second",
        "peak_gib": "peak memory (GiB)",
    }
    figure, axes = pyplot.subplots(
        2, len(sweeps), figsize=(3.2 * len(sweeps), 6), sharey="row"
    )
    for column, changed in enumerate(sweeps):
        for line, (key, title) in enumerate(kinds.items()):
            axis = axes[line][column]
            for head in _HEADS:
                points = [
                    row
                    for row in rows
                    if row["head"] == head and row["changed"] == changed
                ]
                axis.loglog(
                    [row["value"] for row in points],
                    [row[key] for row in points],
                    marker="o",
                    label=head,
                )
            values = _SWEEPS[changed]
            axis.set_xticks(values, [_short(value) for value in values])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            if column == 0:
                axis.set_ylabel(title)
        axes[1][column].set_xlabel(
            f"repetitions of {Size().buckets:,} buckets"
            if changed == "repetitions"
            else changed
        )
    axes[0][0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def _short(value: int) -> str:
    """Returns 2048 as 2k, and 2097152 as 2M."""
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if value >= size:
            return f"{value // size}{unit}"
    return str(value)


if __name__ == "__main__":
    flags.DEFINE_list("sweeps", list(_SWEEPS), "Which sizes are changed.")
    flags.DEFINE_string("plot", "", "Where a PNG is written.")
    flags.DEFINE_string("case", "", "One head and its sizes, in this process.")
    app.run(main)
