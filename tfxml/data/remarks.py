"""Remarks on the labels and features of a data set that users should know.

Only a training split without any label is an error; the rest is counted and
reported.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfxml.data import data_errors
from tfxml.data import instances as instances_lib

# N instances, D features, L labels

_MAX_NAMES = 5  # labels that a remark names


@dataclasses.dataclass(frozen=True)
class Census:
    """Counts of a split's instances, labels and features."""

    num_instances: int
    label_counts: np.ndarray  # [L] int64: instances that have each label
    has_feature: np.ndarray  # [D] bool: of any instance
    num_without_labels: int
    num_without_features: int


def census(
    instances: instances_lib.Instances, num_features: int, num_labels: int
) -> Census:
    """Returns the census of the instances of a split."""
    has_feature = np.zeros(num_features, bool)
    has_feature[instances.feature_ids] = True
    return Census(
        instances.num_instances,
        instances.label_counts(num_labels),
        has_feature,
        int((np.diff(instances.label_splits) == 0).sum()),
        int((np.diff(instances.feature_splits) == 0).sum()),
    )


def of_training(
    train: Census, path: str, label_names: list[str] | None = None
) -> list[str]:
    """Returns remarks on a training split.

    Raises:
        DataError: if no instance has a label; names `path`.
    """
    if not train.label_counts.any():
        raise data_errors.DataError(
            path,
            f"{train.num_instances} training rows without any label",
            "labels to learn",
        )
    remarks = _empty_rows("train", train)
    num_unused = int((train.label_counts == 0).sum())
    if num_unused:
        remarks.append(
            f"{num_unused:,} of {len(train.label_counts):,} labels have no "
            "training row"
        )
    everywhere = np.flatnonzero(train.label_counts == train.num_instances)
    if len(everywhere):
        remarks.append(
            f"every training row has {_listed_names(everywhere, label_names)}"
        )
    return remarks


def of_evaluation(
    split: str,
    evaluated: Census,
    train: Census,
    label_names: list[str] | None = None,
) -> list[str]:
    """Returns remarks on an evaluation split, compared with training."""
    remarks = _empty_rows(split, evaluated)
    unseen = np.flatnonzero(
        (evaluated.label_counts > 0) & (train.label_counts == 0)
    )
    if len(unseen):
        num_occurrences = int(evaluated.label_counts[unseen].sum())
        remarks.append(
            f"{split} has {len(unseen):,} labels that training never had, "
            f"{num_occurrences:,} times: {_listed_names(unseen, label_names)}"
        )
    num_new_features = int((evaluated.has_feature & ~train.has_feature).sum())
    if num_new_features:
        remarks.append(
            f"{split} has {num_new_features:,} features that training never had"
        )
    return remarks


def _empty_rows(split: str, counted: Census) -> list[str]:
    return [
        f"{count:,} of {counted.num_instances:,} rows of {split} have no {noun}"
        for noun, count in (
            ("label", counted.num_without_labels),
            ("feature", counted.num_without_features),
        )
        if count
    ]


def _listed_names(ids: np.ndarray, label_names: list[str] | None) -> str:
    """Returns the first labels, by name or else by id."""
    names = [
        f"label {i}" if label_names is None else label_names[i]
        for i in ids[:_MAX_NAMES].tolist()
    ]
    return ", ".join(names) + (", ..." if len(ids) > _MAX_NAMES else "")
