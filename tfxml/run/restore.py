"""Restores a trained run from its run directory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data.text import text_features
from tfxml.evaluation import evaluator, metrics
from tfxml.models import extreme_classifier
from tfxml.run import (
    build,
    checkpoint_flags,
    datasets,
    evaluation_split,
    fitted_scores,
    paths,
)
from tfxml.run import placement as placement_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoint_folders, checkpoints


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A trained model and everything needed to predict with it."""

    config: config_lib.Config
    facts: workdir_lib.Facts
    model: extreme_classifier.ExtremeClassifier
    label_counts: np.ndarray  # [L] over the training split
    label_names: list[str] | None
    text_features: text_features.TextFeatures | None
    saved: checkpoints.Checkpoints
    step: int  # of the weights
    fitted: fitted_scores.FittedScores | None = None  # of these weights
    stale: str = ""  # why what was fitted to scores is not applied


def restore(
    path: str,
    strategy: tf.distribute.Strategy,
    which: str = "auto",
    placement: placement_lib.Placement = placement_lib.EVERYWHERE,
) -> TrainedRun:
    """Returns the run in the folder `path`.

    Args:
        path: the run directory.
        strategy: under which the model is created.
        which: `best`, `latest`, or `auto`: the best checkpoint if there is one.
        placement: which repetitions the run holds.

    Raises:
        ValueError: if the folder holds no complete run, or a damaged one.
    """
    workdir = workdir_lib.Workdir(path)
    config, facts = workdir.read()
    label_counts = workdir.read_label_counts()
    with strategy.scope():
        model = build.model(
            config,
            facts,
            None,
            placement,
            dropped=workdir.read_dropped_labels(),
            backbone=workdir.backbone,
        )
    workdir.check_head(model.head.record())
    saved = checkpoints.Checkpoints(
        workdir.checkpoints,
        tf.train.Checkpoint(model=model.named_variables()),
        weights=model.named_variables(),
    )
    step = _step(saved, which)
    if step is None:
        raise ValueError(
            f"`workdir` must hold a checkpoint ({which}). Received: "
            f"workdir={path}, with the steps {saved.steps() or 'none'}"
        )
    saved.restore_model(step)
    fitted, stale = fitted_scores.of_step(path, step)
    if fitted is not None:
        model.calibration = fitted.calibration
    return TrainedRun(
        config,
        facts,
        model,
        label_counts,
        workdir.read_label_names(),
        workdir.read_text_features() if facts.is_text else None,
        saved,
        step,
        fitted,
        stale,
    )


def make_evaluate(
    run: TrainedRun,
    strategy: tf.distribute.Strategy,
    split: str = "",
    data_dir: str = "",
) -> Callable[[], metrics.RankingMetrics]:
    """Returns a function that evaluates the current weights of a run.

    Args:
        run: restored under `strategy`.
        strategy: which devices evaluate.
        split: `train`, `dev`, `test` or, for the generated set, `validation`;
            empty: the one that training evaluated.
        data_dir: the folder of the data set; empty: the one of training.
    """
    config, facts = run.config, run.facts
    if data_dir:
        folder = paths.absolute(data_dir, "data_dir")
        facts = dataclasses.replace(facts, data_dir=folder)
    source, exclusions = evaluation_split.read(
        config, facts, split, run.text_features, run.label_names
    )
    k = evaluator.num_ranked(config.metric_ks, facts.num_labels, exclusions)
    top_k = evaluator.make_top_k(strategy, run.model, k)
    batches = evaluator.make_batches(
        strategy,
        source,
        config.eval_batch_size,
        datasets.takes_padded(facts, strategy),
    )

    def evaluate() -> metrics.RankingMetrics:
        result = build.ranking_metrics(config, facts, run.label_counts)
        evaluator.evaluate(strategy, top_k, batches, result, exclusions)
        return result

    return evaluate


def _step(saved: checkpoints.Checkpoints, which: str) -> int | None:
    if which not in checkpoint_flags.CHECKPOINTS:
        raise ValueError(
            f"`which` must be one of {checkpoint_flags.CHECKPOINTS}. "
            f"Received: {which=}"
        )
    return checkpoint_folders.chosen_step(saved.folder, which)
