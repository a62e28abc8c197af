"""Data sets that users hold in memory.

# N instances, D features, L labels

Nothing is written to disk, and arrays are copied only where necessary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tfxml.data import array_features, array_labels, bad_rows, instances

IN_MEMORY = "<arrays in memory>"  # in place of the path of a data set


@dataclasses.dataclass(frozen=True)
class ArrayData:
    """A data set in memory, read as a `data_folder.Folder` is.

    Attributes:
        train: all training instances, with features or with texts.
        num_features: D; None for texts.
        num_labels: L.
        labels: the labels themselves, in the order of their ids; None where
            they were ids.
        is_single: whether Y has one label per row, not sets.
        test: test instances, or None.
    """

    train: instances.AnyInstances
    num_features: int | None
    num_labels: int
    labels: list | None
    is_single: bool = False
    test: instances.AnyInstances | None = None
    format: str = "arrays"
    path: str = IN_MEMORY
    notes: tuple[str, ...] = ()
    has_titles: bool = False

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits."""
        return ("train",) if self.test is None else ("test", "train")

    def read(
        self,
        split: str,
        bad: bad_rows.BadRows | None = None,
        wanted: range | None = None,
    ) -> Iterator[instances.AnyInstances]:
        """Yields a split in one piece.

        Args:
            split: one of `splits`.
            bad: unused: all rows have been checked.
            wanted: which rows; None: all.
        """
        del bad
        split_instances = self.train if split == "train" else self.test
        if split_instances is None:
            raise ValueError(
                f"`split` must be one of {self.splits}. "
                f"Received: split={split!r}"
            )
        if wanted is not None:
            split_instances = instances.select(
                split_instances, np.array(wanted)
            )
        yield split_instances

    def count_rows(self, split: str) -> int:
        """Returns how many rows a split has."""
        return next(self.read(split)).num_instances

    def label_names(self) -> list[str] | None:
        """Returns the labels as strings; None where they were ids."""
        if self.labels is None:
            return None
        return [str(label) for label in self.labels]

    def has_pairs(self, split: str) -> bool:
        """Returns False: all pairs are scored."""
        return False

    def filter_pairs(self, split: str) -> None:
        """Returns None: all pairs are scored."""
        return None


def data_of(data: ArrayData | Sequence[Any]) -> ArrayData:
    """Returns a data set given as a tuple.

    Args:
        data: (X, Y), (X, Y, weights), (X, Y, X_test, Y_test) or (X, Y,
            weights, X_test, Y_test). Names in Y_test that Y does not have are
            left out, as of files.

    Raises:
        ValueError: for another number of parts, or as `of` does.
    """
    if isinstance(data, ArrayData):
        return data
    if len(data) not in (2, 3, 4, 5):
        raise ValueError(
            "`data_dir` must be a path, (X, Y), (X, Y, weights), (X, Y, "
            "X_test, Y_test) or (X, Y, weights, X_test, Y_test). "
            f"Received: {len(data)} parts"
        )
    weights = data[2] if len(data) in (3, 5) else None
    train = of(data[0], data[1], weights=weights)
    if len(data) < 4:
        return train
    X_test, Y_test = data[-2:]
    test_labels = array_labels.labels_of(Y_test)
    if test_labels.num_labels and (train.labels is None) != (
        test_labels.names is None
    ):
        raise ValueError(
            "`Y_test` must hold labels of the kind of Y. Received: ids beside "
            "names"
        )
    test = of(X_test, Y_test, train.labels, skips_unknown=True)
    if test.num_features != train.num_features:
        raise ValueError(
            f"`X_test` must have the {train.num_features} features of X. "
            f"Received: {test.num_features}"
        )
    notes: tuple[str, ...] = ()
    if train.labels is not None:
        unseen = set(test_labels.names or ()) - set(train.labels)
        if unseen:
            notes = (f"{len(unseen):,} labels of Y_test alone are left out",)
    return dataclasses.replace(
        train,
        num_labels=max(train.num_labels, test.num_labels),
        test=test.train,
        notes=notes,
    )


def of(
    X: Any,
    Y: Any,
    label_names: Sequence | None = None,
    weights: npt.ArrayLike | None = None,
    skips_unknown: bool = False,
) -> ArrayData:
    """Returns the data set of X and Y.

    Args:
        X: see `array_features.features_of`.
        Y: see `array_labels.labels_of`.
        label_names: the names of all labels, in the order of their ids; None:
            those in Y, sorted.
        weights: [N], of the instances; None: 1 each.
        skips_unknown: whether labels that have no id are left out; else they
            are an error.

    Raises:
        ValueError: if X or Y is none of these, or they differ in N.
    """
    features = array_features.features_of(X)
    labels = array_labels.labels_of(Y, label_names, skips_unknown)
    if labels.num_instances != features.num_instances:
        raise ValueError(
            "`X` and `Y` must have as many rows. Received: "
            f"{features.num_instances} and {labels.num_instances}"
        )
    if weights is not None:
        weights = checked_weights(weights, features.num_instances)
    labels_and_weights = labels.splits, labels.ids, weights
    train: instances.AnyInstances
    if features.texts is not None:
        train = instances.TextInstances(features.texts, *labels_and_weights)
    else:
        train = instances.Instances(*features.rows(), *labels_and_weights)
    return ArrayData(
        train,
        features.num_features,
        labels.num_labels,
        labels.names,
        labels.is_single,
    )


def checked_weights(weights: npt.ArrayLike, num_instances: int) -> np.ndarray:
    """Returns weights of instances, [N] float32.

    Raises:
        ValueError: unless they are N finite numbers of at least 0.
    """
    weights = np.asarray(weights, np.float32)
    if weights.shape != (num_instances,) or not (
        np.isfinite(weights).all() and (weights >= 0).all()
    ):
        raise ValueError(
            f"`weights` must be {num_instances} finite numbers of at least 0. "
            f"Received: an array of shape {weights.shape}"
        )
    if not weights.any():
        raise ValueError("`weights` must not all be zero. Received: zeros")
    return weights
