"""Trains a model: `python -m tfxml.train [--flagfile=...] [--workdir=...]`."""

from __future__ import annotations

import pathlib
import statistics
import time

import keras
import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from strategies import cluster, factory
from tfxml import assembly, flags, launch, report, tensorboard
from tfxml import config as config_lib
from tfxml import workdir as workdir_lib
from tfxml.data import pipeline
from tfxml.evaluation import evaluator, tables
from tfxml.mach import hashing
from tfxml.training import checkpoints, loop


def train(
    config: config_lib.Config,
    workdir: str = "",
    data_dir: str = "",
    strategy: tf.distribute.Strategy | None = None,
    with_tensorboard: bool = False,
) -> dict[str, float]:
    """Trains to the end, resuming what `workdir` holds.

    Args:
        config: what is trained.
        workdir: where the run is written; empty: a new folder under `runs`.
        data_dir: the folder of the data set; empty: the generated one.
        strategy: which devices train.
        with_tensorboard: whether metrics are written for TensorBoard too.

    Returns:
        The metrics of the evaluation split, in percent; see
        `metrics.RankingMetrics.result`.
    """
    strategy = strategy or tf.distribute.get_strategy()
    task = cluster.from_environment()
    workdir = _workdir(config, workdir, task)
    # Of several workers only the chief writes to the run's own folder.
    output = workdir_lib.Workdir(cluster.write_folder(str(workdir.path), task))
    print(f"workdir   {workdir.path}\n{factory.describe(strategy)}")
    keras.utils.set_random_seed(config.seed)
    board = None
    if with_tensorboard:
        board = tensorboard.Writer(output.path / "tensorboard")
    if workdir.is_started:
        _check_same(workdir, config)

    data = assembly.training_data(config, _absolute(data_dir))
    print(report.describe_data(data))
    a_epoch = pipeline.steps_per_epoch(
        data.train.num_instances, config.batch_size
    )
    num_steps = a_epoch * config.num_epochs
    with strategy.scope():
        model = assembly.model(config, data.facts, data.label_counts)
        optimizer = assembly.optimizer(config, num_steps)
        optimizer.build(model.trainable_variables)
        step = loop.new_step_counter()
    print(report.describe_model(config, data.facts, model))
    state = tf.train.Checkpoint(
        model=model.named_variables(), optimizer=optimizer, step=step
    )
    history = _resume(workdir, state)
    saved = checkpoints.Checkpoints(
        output.checkpoints, state, config.keep_checkpoints
    )
    if history:
        output.write_metrics(history)
    else:
        _start(output, config, data, model)

    run = _Run(config, strategy, model, optimizer, step, data)
    progress = report.Progress(config.num_epochs, a_epoch)
    while run.steps_done < num_steps and not _is_over(config, history):
        run.train_epoch(a_epoch, progress)
        done, epoch = run.steps_done, run.steps_done // a_epoch
        if epoch % config.eval_epochs and done < num_steps:
            continue
        metrics = run.evaluate()
        entry = {"step": done, "epoch": epoch, **run.report(), **metrics}
        history.append(entry)
        output.append_metrics(entry)
        if board:
            board.write(entry)
        saved.save(done, metrics, _is_best(config, history))
        print(report.describe_epoch(entry))

    entry = _final_entry(config, history)
    metrics = {key: entry[key] for key in config.metric_keys()}
    keys = tables.headline_keys(config.metric_ks)
    print(f"\n{tables.format_metrics(metrics, keys)}")
    print(report.describe_optimum(data, config.metric_ks, metrics), end="")
    print(report.describe_cost(run.step_ms, workdir.path))
    return metrics


class _Run:
    """The compiled steps of a run, and what they have measured."""

    def __init__(self, config, strategy, model, optimizer, step, data):
        self.config = config
        self.strategy = strategy
        self.model = model
        self.step = step
        self.data = data
        self.loss = float("nan")
        self.step_ms = []
        self._train_steps = loop.make_train_steps(
            strategy, model, optimizer, step, config.seed
        )
        num_labels = data.facts.num_labels
        k = evaluator.num_candidates(config.metric_ks, num_labels, data.pairs)
        self._top_k = evaluator.make_top_k(strategy, model, k)
        self._iterator = None

    @property
    def steps_done(self) -> int:
        return int(self.step.numpy())

    @property
    def is_padded(self) -> bool:
        return self.data.facts.form == "padded"

    def train_epoch(self, a_epoch: int, progress: report.Progress) -> None:
        """Trains to the end of the epoch that the step counter is in."""
        if self._iterator is None:
            self._iterator = iter(self._batches(a_epoch))
        progress.start(self.steps_done)
        left = a_epoch - self.steps_done % a_epoch
        losses = []
        while left:
            number = min(left, self.config.steps_per_loop)
            start = time.perf_counter()
            loss = float(self._train_steps(self._iterator, tf.constant(number)))
            self.step_ms.append(1e3 * (time.perf_counter() - start) / number)
            if not np.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss} at step {self.steps_done}: lower "
                    "--learning_rate, or look at the data"
                )
            losses.append((loss, number))
            left -= number
            progress.update(self.steps_done, loss)
        total = sum(number for _, number in losses)
        self.loss = sum(loss * number for loss, number in losses) / total

    def evaluate(self) -> dict[str, float]:
        """Returns the metrics of the evaluation split, in percent."""
        metrics = assembly.ranking_metrics(
            self.config, self.data.facts, self.data.label_counts
        )
        evaluator.evaluate(
            self.strategy,
            self._top_k,
            self.data.evaluation,
            metrics,
            self.config.eval_batch_size,
            self.is_padded,
            self.data.pairs,
        )
        return metrics.result()

    def report(self) -> dict[str, float]:
        return {
            "loss": self.loss,
            "step_ms": statistics.median(self.step_ms),
            "peak_memory_gib": report.peak_memory_gib(),
        }

    def _batches(self, a_epoch: int):
        config = self.config
        return self.strategy.distribute_datasets_from_function(
            lambda context: pipeline.training(
                self.data.train,
                config.batch_size,
                config.seed,
                self.steps_done,
                a_epoch * config.num_epochs,
                pipeline.shard_of(context),
                self.is_padded,
            )
        )


def _workdir(config, path: str, task) -> workdir_lib.Workdir:
    """Returns the run's folder, a new one under `runs` if none is named."""
    if path:
        return workdir_lib.Workdir(path)
    if task is not None and task.num_workers > 1:
        raise ValueError(
            "`workdir` must name a folder that all workers reach. "
            "Received: none"
        )
    name = time.strftime(f"{config.head}-%Y%m%d-%H%M%S")
    return workdir_lib.Workdir(pathlib.Path("runs") / name)


def _absolute(data_dir: str) -> str:
    return str(pathlib.Path(data_dir).resolve()) if data_dir else ""


def _check_same(workdir: workdir_lib.Workdir, config) -> None:
    changed = config_lib.differences(workdir.read()[0], config)
    if changed:
        raise ValueError(
            f"`workdir` must be new, or hold a run of the same config. "
            f"Received: workdir={workdir.path}, whose run and the flags "
            f"differ in {'; '.join(changed)}"
        )


def _start(workdir, config, data: assembly.TrainingData, model) -> None:
    workdir.start(config, data.facts)
    workdir.write_label_counts(data.label_counts)
    if data.label_names is not None:
        workdir.write_label_names(data.label_names)
    if data.text_features is not None:
        workdir.write_text_features(data.text_features)
    if config.head == "mach":
        workdir.write_hashes(model.head.hashes, hashing.VERSION)


def _resume(workdir, state: tf.train.Checkpoint) -> list[dict]:
    """Restores the newest checkpoint; returns the metrics up to there."""
    saved = checkpoints.Checkpoints(workdir.checkpoints, state)
    latest = saved.latest_step()
    if latest is None:
        return []
    saved.restore(latest)
    print(f"resumes   at step {latest}")
    return workdir.read_metrics(latest)


def _is_best(config: config_lib.Config, history: list[dict]) -> bool:
    """Tells whether the last evaluation is the best; only for validation."""
    if not config.validation_fraction:
        return False
    values = [entry[config.best_metric] for entry in history]
    return all(values[-1] > value for value in values[:-1])


def _final_entry(config: config_lib.Config, history: list[dict]) -> dict:
    """Returns the evaluation of the best checkpoint, or of the last."""
    if not config.validation_fraction:
        return history[-1]
    return max(history, key=lambda entry: entry[config.best_metric])


def _is_over(config: config_lib.Config, history: list[dict]) -> bool:
    """Tells whether the last evaluations have all failed to improve."""
    patience = config.early_stopping
    if not patience or len(history) <= patience:
        return False
    values = [entry[config.best_metric] for entry in history]
    return max(values[-patience:]) <= max(values[:-patience])


def define_flags() -> None:
    flags.define_config()
    absl_flags.DEFINE_string(
        "workdir", "", "Where the run is written; resumes what is there."
    )
    absl_flags.DEFINE_string("data_dir", "", "The folder of the data set.")
    absl_flags.DEFINE_bool(
        "tensorboard", False, "Write metrics for TensorBoard too."
    )
    launch.define_flags()


def main() -> None:
    values = absl_flags.FLAGS
    config = flags.read_config()
    strategy = launch.read_flags().make_strategy()
    train(
        config,
        values.workdir,
        values.data_dir,
        strategy,
        values.tensorboard,
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
