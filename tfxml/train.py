"""Trains a model: `python -m tfxml.train [--flagfile=...] [--workdir=...]`."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

from absl import flags as absl_flags

from strategies import cluster, watchdog
from tfxml.recipe import recipe_flags
from tfxml.run import (
    device_flags,
    early_checks,
    flags,
    log_kinds,
    paths,
    tensorflow_start,
)


def define_flags() -> None:
    flags.define_config()
    paths.define(
        "workdir", "", "Where the run is written; resumes what is there."
    )
    paths.define("data_dir", "", "The folder of the data set.")
    absl_flags.DEFINE_list(
        "log_to",
        [],
        "Where the run is logged beside its own folder: tensorboard, profile "
        "(of a loop of steps, for TensorBoard), mlflow.",
    )
    device_flags.define_flags()
    device_flags.define_training_flags()
    recipe_flags.define()


def main() -> None:
    values = absl_flags.FLAGS
    config = flags.read_config()
    early_checks.check_workdir(values.workdir)
    where = device_flags.read_flags()
    folder = os.path.join(values.workdir, where.placement().folder)
    early_checks.check_data(config, values.data_dir, folder)
    log_kinds.check(values.log_to)
    tensorflow_start.quietly()
    from strategies import parameter_server
    from tfxml.recipe import chooser
    from tfxml.run import evaluator_task, train_and_evaluate

    task = cluster.from_environment()
    if task is not None and task.is_server:
        raise SystemExit(parameter_server.serve(task))
    strategy = where.make_strategy()
    if task is not None and task.is_evaluator:
        evaluator_task.follow(values.workdir, values.data_dir, strategy)
        return
    request = recipe_flags.read(
        config, values.data_dir, strategy, where.data_service
    )
    dog = watchdog.Watchdog(where.stall_seconds, device_flags.end_as_lost)
    with device_flags.explained_losses(), dog:
        train_and_evaluate.train(
            config,
            values.workdir,
            values.data_dir,
            strategy,
            values.log_to,
            where.placement(),
            dog,
            where.data_service,
            None if request is None else chooser.Chooser(request),
        )


def run() -> None:
    flags.run(main, define_flags)


class _Callable(types.ModuleType):
    """Makes `tfxml.train(...)` the function, and `tfxml.train` the command."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains; see `run.train_and_evaluate.train`."""
        tensorflow_start.quietly()
        from tfxml.run import train_and_evaluate

        return train_and_evaluate.train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable


if __name__ == "__main__":
    run()
