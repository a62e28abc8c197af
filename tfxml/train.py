"""Trains a model: `python -m tfxml.train [--flagfile=...] [--workdir=...]`."""

from __future__ import annotations

import os
import sys
import time
import types
from typing import Any

import keras
import tensorflow as tf
from absl import flags as absl_flags

from strategies import cluster, factory, parameter_server, watchdog
from tfxml import config as config_lib
from tfxml.data import arrays, atomic_files, data_errors
from tfxml.data.catalogue import known_sets
from tfxml.evaluation import tables
from tfxml.recipe import chooser, recipe_flags
from tfxml.run import (
    baselines,
    between_loops,
    console,
    datasets,
    device_flags,
    evaluations,
    evaluator_task,
    flags,
    paths,
    remote,
    resuming,
    run_lock,
    run_path,
    tensorboard_writer,
    termination,
    watched_progress,
)
from tfxml.run import placement as placement_lib
from tfxml.run import run as run_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoints


def train(
    config: config_lib.Config,
    workdir: str = "",
    data_dir: str | os.PathLike | tuple | arrays.ArrayData = "",
    strategy: tf.distribute.Strategy | None = None,
    with_tensorboard: bool = False,
    placement: placement_lib.Placement = placement_lib.EVERYWHERE,
    dog: watchdog.Watchdog | None = None,
    data_service: str = "",
    recipe: chooser.Request | None = None,
) -> dict[str, float]:
    """Trains to the end, resuming what `workdir` holds.

    Args:
        config: what is trained.
        workdir: where the run is written; empty: a new folder under `runs`.
            A group of repetitions writes to a folder of its own in it.
        data_dir: the folder of the data set; empty: the generated one. Or the
            data themselves, such as (X, Y) or (X, Y, X_test, Y_test); see
            `data.arrays.data_of`.
        strategy: which devices train.
        with_tensorboard: whether metrics are written for TensorBoard too.
        placement: which repetitions are trained, and on which devices.
        dog: hears whenever parameter servers or a tf.data service have got
            on; None: a hang of theirs is waited for.
        data_service: the tf.data service that makes the batches,
            grpc://host:port; empty: each worker makes its own.
        recipe: asks for the options of `config` that it does not list to be
            chosen by the data; None: they are as they are.

    Returns:
        The metrics of the evaluation split, in percent; see
        `metrics.RankingMetrics.result`.

    Raises:
        SystemExit: after SIGTERM or Ctrl-C, with exit code 143 or 130; a
            checkpoint is saved, and the same call resumes from there.
        run_lock.LockedError: if another process trains there.
    """
    strategy = strategy or tf.distribute.get_strategy()
    placement.check(config, strategy)
    if isinstance(data_dir, (str, os.PathLike)):
        data_dir = paths.absolute(data_dir, "data_dir")
        _check_there(config, data_dir)
    else:
        data_dir = arrays.data_of(data_dir)
    task = cluster.from_environment()
    name = config.head if recipe is None else "auto"
    folder = run_path.of(name, workdir, task, placement)
    # Of several workers only the chief writes to the run's own folder.
    output = workdir_lib.Workdir(cluster.write_folder(str(folder.path), task))
    with (
        run_lock.RunLock(output.path) as lock,
        remote.claimed(output.path),
    ):
        atomic_files.remove_leftovers(output.path)
        name = remote.name_of(folder.path)
        print(f"workdir   {name}\n{factory.describe(strategy)}")
        keras.utils.set_random_seed(config.seed)
        board = None
        if with_tensorboard:
            board = tensorboard_writer.Writer(output.path / "tensorboard")
        if folder.is_started:
            config = chooser.kept(folder.read()[0], config, recipe)
            resuming.check_same(folder, config)
        data = datasets.training_data(
            config,
            data_dir,
            strategy,
            folder.fitted_text_features(),
            data_service,
        )
        print(console.describe_data(data))
        if folder.is_started:
            folder.check_data(data.fingerprint, data.facts.data_dir)
        elif recipe is not None:
            config = chooser.choose(config, data, recipe)
        data = datasets.of_config(config, data)
        beat = dog.beat if dog else lambda: None
        run = run_lib.Run(config, strategy, data, placement, beat)
        print(console.describe_model(config, data.facts, run.model))
        history = resuming.resume(folder, run)
        if config.word_vectors and not run.steps_done:
            run.read_word_vectors()
        if not output.is_started:
            with output.beginning() as new:
                run.start_folder(new)
        output.write_metrics(history)
        remote.publish(output.path)
        progress = console.Progress(config.num_epochs, run.steps_per_epoch)
        if dog and data_service:
            progress = watched_progress.WatchedProgress(
                config.num_epochs, run.steps_per_epoch, dog
            )
        _train_to_end(run, output, history, lock, board, progress)
        return _finish(run, output, folder, history, task is None)


def _train_to_end(
    run: run_lib.Run,
    output: workdir_lib.Workdir,
    history: list[dict],
    lock: run_lock.RunLock,
    board: tensorboard_writer.Writer | None,
    progress: console.Progress,
) -> None:
    """Takes the steps that are left; adds their evaluations to `history`."""
    config = run.config
    saved = checkpoints.Checkpoints(
        output.checkpoints,
        run.state,
        config.keep_checkpoints,
        run.io_device,
        run.weights,
    )
    saved.remove_old()  # which a kill may have left
    with termination.Notice(run.strategy) as notice:
        between = between_loops.BetweenLoops(run, saved, notice, history, lock)
        while run.steps_done < run.num_steps and not evaluations.is_over(
            config, history
        ):
            if run.is_head_trained:
                loss = history[-1]["loss"] if history else None
                start = time.perf_counter()
                run.learn_rest(between)
                took = time.perf_counter() - start
                what = "re-ranker" if config.reranker_passes else "head"
                print(f"{what} learnt in {took:.0f} s")
            else:
                loss = run.train_epoch(progress, between)
            if run.epoch % config.eval_epochs and not run.is_head_trained:
                between()
                continue
            metrics = run.evaluate()
            entry: dict[str, float] = {
                "step": run.steps_done,
                "epoch": run.epoch,
            }
            if loss is not None:  # a head that takes no steps has none
                entry["loss"] = loss
            entry |= {**run.report(), **metrics}
            history.append(entry)
            # First, so that what is told of is there.
            between.save(metrics, evaluations.is_best(config, history))
            output.append_metrics(entry)
            if board:
                board.write(entry)
            print(console.describe_epoch(entry))
            between()


def _finish(
    run: run_lib.Run,
    output: workdir_lib.Workdir,
    workdir: workdir_lib.Workdir,
    history: list[dict],
    is_alone: bool,
) -> dict[str, float]:
    """Writes and prints the run's result, and returns it."""
    config = run.config
    entry = evaluations.final_entry(config, history)
    metrics = {key: entry[key] for key in config.metric_keys()}
    output.write_result(metrics)
    remote.publish(output.path)
    keys = tables.headline_keys(config.metric_ks)
    print(f"\n{tables.format_metrics(metrics, keys)}")
    optimum = console.describe_optimum(run.data, config.metric_ks, metrics)
    print(optimum, end="")
    if is_alone and "P@1" in metrics:
        found = baselines.of(run.data)
        for line in baselines.remarks(metrics["P@1"], found, run.losses):
            print(line)
    if config.l1:
        print(console.describe_zeros(run.model.trainable_variables))
    print(console.describe_cost(run.step_ms, remote.name_of(workdir.path)))
    return metrics


def _check_there(config, data_dir: str) -> None:
    """Raises unless the folder is there that data are to be read from."""
    if datasets.is_folder(config, data_dir) and not os.path.exists(data_dir):
        if config.dataset not in known_sets.names():  # else it is fetched
            raise data_errors.DataError(
                remote.name_of(data_dir),
                "no such folder",
                "the folder of a data set",
            )


def define_flags() -> None:
    flags.define_config()
    paths.define(
        "workdir", "", "Where the run is written; resumes what is there."
    )
    paths.define("data_dir", "", "The folder of the data set.")
    absl_flags.DEFINE_bool(
        "tensorboard", False, "Write metrics for TensorBoard too."
    )
    device_flags.define_flags()
    device_flags.define_training_flags()
    recipe_flags.define()


def main() -> None:
    values = absl_flags.FLAGS
    config = flags.read_config()
    task = cluster.from_environment()
    if task is not None and task.is_server:
        raise SystemExit(parameter_server.serve(task))
    where = device_flags.read_flags()
    strategy = where.make_strategy()
    if task is not None and task.is_evaluator:
        evaluator_task.follow(values.workdir, values.data_dir, strategy)
        return
    dog = watchdog.Watchdog(where.stall_seconds, device_flags.end_as_lost)
    with device_flags.explained_losses(), dog:
        train(
            config,
            values.workdir,
            values.data_dir,
            strategy,
            values.tensorboard,
            where.placement(),
            dog,
            where.data_service,
            recipe_flags.read(
                config, values.data_dir, strategy, where.data_service
            ),
        )


def run() -> None:
    flags.run(main, define_flags)


class _Callable(types.ModuleType):
    """Makes `tfxml.train(...)` the function, and `tfxml.train` the command."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        return train(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable


if __name__ == "__main__":
    run()
