"""Reads the run to export, and checks it before anything is written."""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from tfxml.data import atomic_files
from tfxml.evaluation import thresholds
from tfxml.models import answering
from tfxml.run import restore
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoint_folders


def read(path: str, which: str = "auto") -> restore.TrainedRun:
    """Returns the run in the folder `path`.

    Raises:
        ValueError: if the folder holds no run, or if files are missing, damaged
            or of another run.
    """
    folder = workdir_lib.Workdir(path)
    config, facts = _recipe(folder)
    counts = _part(folder, "label_counts.npy", folder.read_label_counts)
    _require(
        counts.shape == (facts.num_labels,),
        folder,
        f"label_counts.npy has shape {counts.shape}",
        f"({facts.num_labels},)",
    )
    names = _part(folder, "label_names.jsonl", folder.read_label_names)
    _require(
        names is None or len(names) == facts.num_labels,
        folder,
        f"label_names.jsonl holds {names and len(names)} names",
        f"{facts.num_labels}",
    )
    run = _restored(folder, which)
    if run.text_features is not None:
        _require(
            run.text_features.num_features == facts.num_features,
            folder,
            f"text_features has {run.text_features.num_features} features",
            f"{facts.num_features}",
        )
    _check_weights(folder, run)
    if run.stale:
        raise ValueError(
            f"`workdir` must hold the calibration of its weights: {run.stale}, "
            f"or with --remove. Received: workdir={path}"
        )
    if run.fitted is not None:
        run.model.answering = answering_of(run.fitted.thresholds)
    return run


def answering_of(
    limits: thresholds.Thresholds, abstain_below: float = 0.0
) -> answering.Answering:
    """Returns thresholds, and when to abstain, as exports carry them."""
    label_ids = tuple(sorted(limits.of_labels))
    return answering.Answering(
        limits.default,
        label_ids,
        tuple(limits.of_labels[label] for label in label_ids),
        abstain_below,
    )


def metrics(path: str, step: int) -> dict[str, float]:
    """Returns the metrics of a step of the run in `path`; empty if none."""
    saved = workdir_lib.Workdir(path).checkpoints
    if step not in checkpoint_folders.steps(saved):
        return {}
    history = checkpoint_folders.read_meta(saved, step)["history"]
    return history[-1] if history and history[-1]["step"] == step else {}


def check_output(path: str | os.PathLike) -> None:
    """Raises ValueError unless a folder is new or empty."""
    if not atomic_files.is_free(path):
        raise ValueError(
            "`output` must be a new or an empty folder. "
            f"Received: output={path}"
        )


def _recipe(folder):
    try:
        return folder.read()
    except OSError as error:
        raise ValueError(
            "`workdir` must be a folder that training wrote. "
            f"Received: workdir={folder.path}: {error.strerror}"
        ) from error


def _restored(folder, which: str) -> restore.TrainedRun:
    try:
        return restore.restore(
            str(folder.path), tf.distribute.get_strategy(), which
        )
    except (OSError, LookupError, TypeError) as error:
        raise ValueError(
            f"The run in {folder.path} cannot be read: {error}"
        ) from error


def _part(folder, name: str, read_part: Callable):
    try:
        return read_part()
    except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
        raise ValueError(
            "`workdir` must be a folder that training wrote. "
            f"Received: workdir={folder.path}, whose {name} cannot be read: "
            f"{error}"
        ) from error


def _check_weights(folder, run: restore.TrainedRun) -> None:
    for name, weight in run.model.named_variables().items():
        _require(
            not tf.as_dtype(weight.dtype).is_floating
            or bool(tf.reduce_all(tf.math.is_finite(weight.value))),
            folder,
            f"the weight {name} is not finite",
            "finite numbers",
        )


def _require(is_met: bool, folder, problem: str, needed: str) -> None:
    if not is_met:
        raise ValueError(
            "`workdir` must be a folder that training wrote. "
            f"Received: workdir={folder.path}, where {problem}; needed {needed}"
        )
