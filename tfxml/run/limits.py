"""Checks what a run needs before anything is allocated or trained.

# N instances, D features, L labels
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from tfxml import config as config_lib
from tfxml.data import data_errors
from tfxml.data.feeding import pipeline
from tfxml.models import losses

# Numbers that an optimizer keeps for each weight; Adam: 2.
_MOMENTS = {"sgd": 0, "adagrad": 1, "lazy_adagrad": 1}
_MIN_TRAIN_INSTANCES = 3  # training instances: propensities take log N - 1
# Counts, propensities and their sums, each 8 bytes per label.
_BYTES_A_LABEL = 32
_CGROUPS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def check_splits(splits: Sequence[str], path: str) -> None:
    """Raises DataError if there is no training split."""
    if "train" not in splits:
        raise data_errors.DataError(
            path,
            f"the {' and '.join(splits)} split alone",
            "a training split, such as train.txt, trn.json or X.trn.npz",
        )


def check_labels(num_labels: int, path: str) -> None:
    """Raises DataError for more labels than fit into memory."""
    needed, available = _BYTES_A_LABEL * num_labels, memory_bytes()
    if needed > available:
        raise data_errors.DataError(
            path,
            f"{num_labels:,} labels, or a label id of {num_labels - 1:,}: "
            f"facts on labels alone would take {needed / 2**30:,.1f} GiB of "
            f"memory, where there are {available / 2**30:,.1f}",
            "label ids that count the labels from 0 or 1 on",
        )


def check_rows(
    train: pipeline.Source,
    evaluation: pipeline.Source,
    split: str,
    label_counts: np.ndarray,
    path: str,
) -> None:
    """Raises DataError unless there is something to train on and to evaluate.

    Args:
        train: the training split.
        evaluation: the split that is evaluated.
        split: its name.
        label_counts: over the training split, [L].
        path: of the data set.
    """
    if train.num_instances < _MIN_TRAIN_INSTANCES:
        raise data_errors.DataError(
            path,
            f"{train.num_instances} training instances that can be read",
            f"at least {_MIN_TRAIN_INSTANCES}",
        )
    if not np.any(label_counts):
        raise data_errors.DataError(
            path,
            f"no label in all {train.num_instances:,} training instances",
            "training instances with labels",
        )
    check_evaluation(evaluation, split, path)


def check_loss(config: config_lib.Config, train: pipeline.Source) -> None:
    """Raises ValueError if the outputs compete and the labels do not."""
    is_multiclass = losses.LOSSES[config.loss].is_multiclass
    if not is_multiclass or config.several_labels == "average":
        return
    most = train.max_lengths().labels
    if most > 1:
        raise ValueError(
            "`loss` must be one whose outputs do not compete, such as "
            "sigmoid_cross_entropy, for instances with several labels; "
            "several_labels=average takes the mean of the labels' losses. "
            f"Received: loss={config.loss}, and an instance of {most} labels"
        )


def check_evaluation(
    evaluation: pipeline.Source, split: str, path: str
) -> None:
    """Raises DataError if a split has no instance."""
    if not evaluation.num_instances:
        raise data_errors.DataError(
            path,
            f"no instance in {split} that can be read",
            "at least one to evaluate",
        )


def check_weights(config: config_lib.Config, num_features: int) -> None:
    """Raises ValueError if the encoders cannot be trained in this memory.

    Counted are their weights and the optimizer's moments. A run needs more
    than that, so a model that passes may still be too large.
    """
    if not config.hidden_units:
        return
    sizes = [config.feature_buckets or num_features, *config.hidden_units]
    weights = config.num_encoders * sum(
        inputs * outputs
        for inputs, outputs in zip(sizes, sizes[1:], strict=False)
    )
    needed = 4 * weights * (1 + _MOMENTS.get(config.optimizer, 2))
    available = memory_bytes()
    if needed > available:
        raise ValueError(
            "`hidden_units` must be such that the weights fit into memory. "
            f"Received: hidden_units={config.hidden_units}, which for "
            f"{num_features:,} features take {needed / 2**30:,.1f} GiB with "
            f"optimizer={config.optimizer}, where there are "
            f"{available / 2**30:,.1f} (see feature_buckets, and "
            "`python -m tfxml.plan`)"
        )


def memory_bytes() -> int:
    """Returns the memory of this machine, or of its container."""
    num_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in _CGROUPS:
        try:
            limit = pathlib.Path(name).read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():  # "max" where there is none
            num_bytes = min(num_bytes, int(limit))
    return num_bytes
