"""A trained run, back from its folder."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from tfxml import assembly
from tfxml import config as config_lib
from tfxml import workdir as workdir_lib
from tfxml.data import text_features
from tfxml.models import classifier
from tfxml.training import checkpoints

CHECKPOINTS = ("auto", "best", "latest")


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A model with its weights and all that it needs to predict."""

    config: config_lib.Config
    facts: workdir_lib.Facts
    model: classifier.ExtremeClassifier
    label_counts: np.ndarray  # [L] over the training split
    label_names: list[str] | None
    text_features: text_features.TextFeatures | None


def restore(
    path: str, strategy: tf.distribute.Strategy, which: str = "auto"
) -> TrainedRun:
    """Returns the run in the folder `path`, its model made under `strategy`.

    Raises:
        ValueError: if the folder holds no complete run, or a damaged one.
    """
    workdir = workdir_lib.Workdir(path)
    config, facts = workdir.read()
    label_counts = workdir.read_label_counts()
    with strategy.scope():
        model = assembly.model(config, facts, label_counts)
    saved = checkpoints.Checkpoints(
        workdir.checkpoints,
        tf.train.Checkpoint(model=model.named_variables()),
    )
    step = _step(saved, which)
    if step is None:
        raise ValueError(
            f"`workdir` must hold a checkpoint ({which}). Received: "
            f"workdir={path}, with the steps {saved.steps() or 'none'}"
        )
    saved.restore_model(step)
    return TrainedRun(
        config,
        facts,
        model,
        label_counts,
        workdir.read_label_names(),
        workdir.read_text_features() if facts.is_text else None,
    )


def define_flags() -> None:
    """Defines the flags that say which run is restored."""
    absl_flags.DEFINE_string("workdir", None, "The folder of a trained run.")
    absl_flags.mark_flag_as_required("workdir")
    absl_flags.DEFINE_enum(
        "checkpoint", "auto", CHECKPOINTS, "auto: best if there is one."
    )


def _step(saved: checkpoints.Checkpoints, which: str) -> int | None:
    if which not in CHECKPOINTS:
        raise ValueError(
            f"`which` must be one of {CHECKPOINTS}. Received: {which=}"
        )
    best = saved.best_step()
    if which == "best" or (which == "auto" and best is not None):
        return best
    return saved.latest_step()
