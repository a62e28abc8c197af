"""What about labels and features of a data set a person should know.

Nothing here is an error but a training split without any label: the rest is
counted and said.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfxml.data import data_errors
from tfxml.data import instances as instances_lib

# N instances, D features, L labels

_NAMED = 5  # labels that a remark names


@dataclasses.dataclass(frozen=True)
class Census:
    """What a split holds."""

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
    always = np.flatnonzero(train.label_counts == train.num_instances)
    if len(always):
        remarks.append(f"every training row has {_named(always, label_names)}")
    return remarks


def of_evaluation(
    split: str,
    evaluated: Census,
    train: Census,
    label_names: list[str] | None = None,
) -> list[str]:
    """Returns remarks on a split that is evaluated, beside the training one."""
    remarks = _empty_rows(split, evaluated)
    unseen = np.flatnonzero(
        (evaluated.label_counts > 0) & (train.label_counts == 0)
    )
    if len(unseen):
        times = int(evaluated.label_counts[unseen].sum())
        remarks.append(
            f"{split} has {len(unseen):,} labels that training never had, "
            f"{times:,} times: {_named(unseen, label_names)}"
        )
    number = int((evaluated.has_feature & ~train.has_feature).sum())
    if number:
        remarks.append(
            f"{split} has {number:,} features that training never had"
        )
    return remarks


def _empty_rows(split: str, found: Census) -> list[str]:
    return [
        f"{number:,} of {found.num_instances:,} rows of {split} have no {noun}"
        for noun, number in (
            ("label", found.num_without_labels),
            ("feature", found.num_without_features),
        )
        if number
    ]


def _named(ids: np.ndarray, label_names: list[str] | None) -> str:
    """Returns the first labels by name, or else by id."""
    words = [
        f"label {i}" if label_names is None else label_names[i]
        for i in ids[:_NAMED].tolist()
    ]
    return ", ".join(words) + (", ..." if len(ids) > _NAMED else "")
