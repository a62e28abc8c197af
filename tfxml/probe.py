"""Looks for a learning rate, or a batch size: `python -m tfxml.probe ...`.

Both take some steps from the beginning with the recipe that the flags describe,
on its training split alone, and keep nothing of what they learn. They write a
table, `rate.csv` or `batch.csv`, and a plot of it beside it.
"""

from __future__ import annotations

import csv
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.run import (
    device_flags,
    early_checks,
    flags,
    paths,
    remote,
    tensorflow_start,
)

if TYPE_CHECKING:
    from tfxml.run import datasets
    from tfxml.training import schedules

_SMOOTHING = 0.9  # of the losses, from step to step
_DIVERGED = 2.0  # times the least loss, and nothing is to be learnt any more
_WARM_STEPS, _TIMED_STEPS = 2, 8
_ENOUGH = 0.9  # of the best speed


class Rates(NamedTuple):
    """What a learning-rate range test has seen, a row a step."""

    rates: np.ndarray
    losses: np.ndarray  # smoothed

    @property
    def proposed(self) -> float:
        """A tenth of the rate at which the loss was least."""
        return float(self.rates[self.losses.argmin()]) / 10


class Sizes(NamedTuple):
    """What a batch-size finder has seen, a row a size."""

    sizes: np.ndarray
    speeds: np.ndarray  # instances a second

    @property
    def proposed(self) -> int:
        """The smallest size that is all but as fast as the fastest."""
        is_enough = self.speeds >= _ENOUGH * self.speeds.max()
        return int(self.sizes[is_enough.argmax()])


def rates(
    config: config_lib.Config,
    data_dir: str = "",
    low: float = 1e-5,
    high: float = 1.0,
    num_steps: int = 100,
) -> Rates:
    """Trains while the rate rises by equal factors; returns the losses.

    It ends where the loss has doubled (Smith, "Cyclical learning rates for
    training neural networks", WACV 2017).

    Args:
        config: the recipe; its own rate and schedule do not count.
        data_dir: the folder of the data set; empty: the generated one.
        low, high: the first and the last rate.
        num_steps: how many steps the rise takes.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    from tfxml.run import datasets
    from tfxml.training import schedules

    if not 0 < low < high:
        raise ValueError(
            f"`low` must be above 0 and below `high`. Received: {low=}, {high=}"
        )
    data = datasets.training_data(config, data_dir)
    rising = schedules.Rising(low, high, num_steps)
    steps = _steps(config, data, rising, num_steps)
    seen, mean, weight = [], 0.0, 0.0
    for loss in steps:
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        weight = _SMOOTHING * weight + 1 - _SMOOTHING
        if not np.isfinite(loss):
            break
        seen.append(mean / weight)
        if seen[-1] > _DIVERGED * min(seen):
            break
    if not seen:
        raise FloatingPointError("the loss is not finite at the first step")
    every = [float(rising(step)) for step in range(len(seen))]
    return Rates(np.array(every), np.array(seen))


def batch_sizes(
    config: config_lib.Config,
    data_dir: str = "",
    sizes: Sequence[int] = (16, 32, 64, 128, 256, 512, 1024),
) -> Sizes:
    """Times steps of growing batches; ends where the memory does.

    Args:
        config: the recipe; its own batch size does not count.
        data_dir: the folder of the data set; empty: the generated one.
        sizes: which are tried, ascending.
    """
    import tensorflow as tf

    from tfxml.run import datasets

    config = config.replace(batch_nonzeros=0, accumulate_steps=1)
    data = datasets.training_data(config, data_dir)
    tried, speeds = [], []
    for size in sizes:
        if size > data.training_rows.num_instances:
            break
        changed = config.replace(batch_size=size)
        number = _WARM_STEPS + _TIMED_STEPS
        steps = _steps(changed, data, config.learning_rate, number)
        try:
            for _ in range(_WARM_STEPS):
                next(steps)
            start = time.perf_counter()
            for _ in range(_TIMED_STEPS):
                next(steps)
        except tf.errors.ResourceExhaustedError:
            print(f"batches of {size} instances do not fit into the memory")
            break
        tried.append(size)
        speeds.append(size * _TIMED_STEPS / (time.perf_counter() - start))
    if not tried:
        raise ValueError(
            "`sizes` must have one that the data and the memory hold. "
            f"Received: {sizes=}"
        )
    return Sizes(np.array(tried), np.array(speeds))


def _steps(
    config: config_lib.Config,
    data: datasets.TrainingData,
    rate: schedules.Rate,
    number: int,
) -> Iterator[float]:
    """Yields the losses of the first steps of a new model."""
    import tensorflow as tf

    from tfxml.run import build, datasets
    from tfxml.training import loop, optimizers

    strategy = tf.distribute.get_strategy()
    model = build.model(config, data.facts, data.label_counts)
    optimizer = optimizers.create(
        config.optimizer,
        rate,
        config.global_clipnorm or None,
        config.epsilon,
        config.momentum,
    )
    optimizer.build(model.trainable_variables)
    steps = loop.SynchronousLoop(
        strategy,
        model,
        optimizer,
        loop.new_step_counter(),
        data.training_rows,
        datasets.batches(config, data.training_rows),
        number,
        config.seed,
        datasets.takes_padded(data.facts, strategy),
        num_pieces=config.accumulate_steps,
    )
    for _ in range(number):
        yield steps.train(1)


def write(
    output: pathlib.Path,
    name: str,
    columns: dict[str, np.ndarray],
    proposed: float,
) -> None:
    """Writes a table of two columns, and its plot if matplotlib is there."""
    output.mkdir(parents=True, exist_ok=True)
    with (output / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(zip(*columns.values(), strict=True))
    try:
        from matplotlib import figure
    except ImportError:
        print("plot      none: matplotlib is not installed (extra `plots`)")
        return
    plot = figure.Figure(figsize=(6, 4))
    axes = plot.subplots()
    (across, along), (x, y) = columns, columns.values()
    axes.plot(x, y, marker="o" if len(x) < 20 else None)
    axes.axvline(proposed, linestyle="--", color="gray")
    axes.set(xlabel=across, ylabel=along, xscale="log")
    plot.savefig(output / f"{name}.png", dpi=120)


def define_flags() -> None:
    flags.define_config()
    paths.define("data_dir", "", "The folder of the data set.")
    paths.define("output", "probe", "The folder of the table and the plot.")
    device_flags.define_flags()
    absl_flags.DEFINE_enum(
        "what",
        "rate",
        ["rate", "batch"],
        "What is looked for: a learning rate or a batch size.",
    )
    absl_flags.DEFINE_float("low", 1e-5, "The first rate.")
    absl_flags.DEFINE_float("high", 1.0, "The last rate.")
    absl_flags.DEFINE_integer(
        "num_steps", 100, "Steps from low to high.", lower_bound=2
    )


def main() -> None:
    values = absl_flags.FLAGS
    config = flags.read_config()
    early_checks.check_data(config, values.data_dir)
    early_checks.check_output(
        os.path.join(values.output, f"{values.what}.csv"),
        data_dir=values.data_dir,
    )
    tensorflow_start.quietly()
    strategy = device_flags.read_flags().make_strategy()
    output = pathlib.Path(paths.local(values.output, "output"))
    with strategy.scope():
        if values.what == "rate":
            found = rates(
                config,
                values.data_dir,
                values.low,
                values.high,
                values.num_steps,
            )
            columns = {"learning rate": found.rates, "loss": found.losses}
            write(output, "rate", columns, found.proposed)
            remote.publish(output)
            print(f"--learning_rate={found.proposed:.2g}")
            return
        timed = batch_sizes(config, values.data_dir)
    columns = {"batch size": timed.sizes, "instances a second": timed.speeds}
    write(output, "batch", columns, timed.proposed)
    remote.publish(output)
    for size, speed in zip(*timed, strict=True):
        print(f"{size:>6} {speed:>12,.0f} instances/s")
    print(f"--batch_size={timed.proposed}")


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
