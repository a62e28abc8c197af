"""A run from its first line to its result: trains, evaluates and saves."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import keras
import tensorflow as tf

from strategies import cluster, factory, watchdog
from tfxml import config as config_lib
from tfxml.data import arrays, atomic_files
from tfxml.run import (
    baselines,
    between_loops,
    console,
    datasets,
    device_checks,
    early_checks,
    evaluations,
    log_writers,
    outcome,
    paths,
    quiet,
    remote,
    resuming,
    run_lock,
    run_path,
    tensorflow_start,
    termination,
    watched_progress,
)
from tfxml.run import placement as placement_lib
from tfxml.run import progress as progress_lib
from tfxml.run import run as run_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoints


class Recipe(Protocol):
    """What chooses the options of a run by its data."""

    def choose(
        self,
        config: config_lib.Config,
        data: datasets.TrainingData,
        read: Callable[[config_lib.Config], datasets.TrainingData],
    ) -> tuple[config_lib.Config, datasets.TrainingData]:
        """Returns the config of a new run, and its data.

        Args:
            config: what is given, and the defaults of the rest.
            data: as `config` reads them.
            read: reads them as another config says.
        """
        ...

    def kept(
        self, written: config_lib.Config, config: config_lib.Config
    ) -> config_lib.Config:
        """Returns the config of a run that is resumed, and wrote another."""
        ...


def train(
    config: config_lib.Config,
    workdir: str = "",
    data_dir: str | os.PathLike | tuple | arrays.ArrayData = "",
    strategy: tf.distribute.Strategy | None = None,
    log_to: Sequence[str] = (),
    placement: placement_lib.Placement = placement_lib.EVERYWHERE,
    dog: watchdog.Watchdog | None = None,
    data_service: str = "",
    recipe: Recipe | None = None,
    is_temporary: bool = False,
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
        log_to: where the run is logged beside its own folder, by one chief:
            some of `tensorboard`, `profile` and `mlflow`.
        placement: which repetitions are trained, and on which devices.
        dog: hears whenever parameter servers or a tf.data service have got
            on; None: a hang of theirs is waited for.
        data_service: the tf.data service that makes the batches,
            grpc://host:port; empty: each worker makes its own.
        recipe: chooses options of `config` by the data, such as a
            `chooser.Chooser`; None: they are as they are.
        is_temporary: whether `workdir` goes with the estimator that trains,
            so that no command can read it.

    Returns:
        The metrics of the evaluation split, in percent; see
        `metrics.RankingMetrics.result`.

    Raises:
        SystemExit: after SIGTERM or Ctrl-C, with exit code 143 or 130; a
            checkpoint is saved, and the same call resumes from there.
        run_lock.LockedError: if another process trains there.
    """
    strategy = strategy or tf.distribute.get_strategy()
    placement.check_group(config)
    device_checks.check(placement, config, strategy)
    if isinstance(data_dir, (str, os.PathLike)):
        data_dir = paths.absolute(data_dir, "data_dir")
        group = os.path.join(workdir, placement.folder)
        early_checks.check_data(config, data_dir, group)
    else:
        data_dir = arrays.data_of(data_dir)
    task = cluster.from_environment()
    name = config.head if recipe is None else "auto"
    folder = run_path.of(name, workdir, task, placement)
    # Of several workers only the chief writes to the run's own folder.
    output = workdir_lib.Workdir(cluster.write_folder(str(folder.path), task))
    is_chief = task is None or task.is_chief
    name = "" if is_temporary else remote.name_of(folder.path)
    first = f"workdir   {name or 'a temporary one'}\n"
    with (
        run_lock.RunLock(output.path) as lock,
        remote.claimed(output.path),
        quiet.but_chief(is_chief, f"{first}{factory.describe(strategy)}\n"),
    ):
        atomic_files.remove_leftovers(output.path)
        output.mend()
        output.check_free()
        keras.utils.set_random_seed(config.seed)
        logs = log_writers.LogWriters(log_to if is_chief else (), output.path)
        if folder.is_started:
            if recipe is not None:
                config = recipe.kept(folder.read()[0], config)
            resuming.check_same(folder, config)
        print("reading   the data")
        read = functools.partial(
            datasets.training_data,
            data_dir=data_dir,
            strategy=strategy,
            data_service=data_service,
        )
        data = read(config, features=folder.fitted_text_features())
        print(console.describe_data(data))
        if folder.is_started:
            folder.check_data(data.fingerprint, data.facts.data_dir)
        elif recipe is not None:
            config, data = recipe.choose(config, data, read)
        data = datasets.of_config(config, data)
        if data.label_name_weight:
            print(console.describe_label_rows(data))
        beat = dog.beat if dog else lambda: None
        run = run_lib.Run(
            config, strategy, data, placement, beat, folder.backbone
        )
        print(console.describe_model(config, data.facts, run.model))
        print(run.describe_memory())
        history = resuming.resume(folder, output, run)
        if config.word_vectors and not run.steps_done:
            run.read_word_vectors()
        if not output.is_started:
            with output.beginning() as new:
                run.start_folder(new)
        output.write_metrics(history)
        remote.publish(output.path)
        progress = _progress(run, is_chief, dog if data_service else None)
        progress.after_loop = logs.after_loop
        logs.begin(config, run)
        _train_to_end(run, output, history, lock, logs, progress)
        logs.end()
        metrics = _result(run, output, folder, history)
        tensorflow_start.give_back()
        if task is None and "P@1" in metrics:
            _print_remarks(run, metrics["P@1"], recipe is not None)
        if config.l1:
            print(console.describe_zeros(run.model.trainable_variables))
        print(console.describe_cost(run.step_ms))
        print(outcome.next_steps(name, data.facts.is_text))
        return metrics


def _train_to_end(
    run: run_lib.Run,
    output: workdir_lib.Workdir,
    history: list[dict],
    lock: run_lock.RunLock,
    logs: log_writers.LogWriters,
    progress: progress_lib.Progress,
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
                what = "re-ranker" if config.reranker_passes else "head"
                print(f"learning  the {what}")
                run.learn_rest(between)
                took = time.perf_counter() - start
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
            logs.write(entry, run)
            print(console.describe_epoch(entry, progress.examples_per_second))
            between()


def _progress(
    run: run_lib.Run,
    is_shown: bool,
    dog: watchdog.Watchdog | None,
) -> progress_lib.Progress:
    """Returns what shows the steps: on the chief alone, and to a watchdog."""
    sizes = (
        run.config.num_epochs,
        run.steps_per_epoch,
        run.data.training_rows.num_instances / run.steps_per_epoch,
    )
    if dog is None:
        return progress_lib.Progress(*sizes, is_shown)
    return watched_progress.WatchedProgress(*sizes, dog, is_shown)


def _result(
    run: run_lib.Run,
    output: workdir_lib.Workdir,
    workdir: workdir_lib.Workdir,
    history: list[dict],
) -> dict[str, float]:
    """Writes and prints the run's result, and returns it."""
    config = run.config
    entry = evaluations.final_entry(config, history)
    metrics = {key: entry[key] for key in config.metric_keys()}
    output.write_result(metrics)
    remote.publish(output.path)
    compared = outcome.last_run(workdir)
    print(f"\n{outcome.table(metrics, compared, config.metric_ks)}")
    optimum = console.describe_optimum(run.data, config.metric_ks, metrics)
    print(optimum, end="")
    return metrics


def _print_remarks(run: run_lib.Run, precision: float, is_found: bool) -> None:
    """Prints how a model compares with what takes seconds."""
    found = baselines.of(run.data)
    for line in baselines.remarks(precision, found, run.losses, is_found):
        print(line)
