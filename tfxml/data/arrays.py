"""Data that users hold in memory: matrices, arrays, texts, tables.

# N instances, D features, L labels, E stored features

Nothing is written to disk, and what need not be copied is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tfxml.data import instances

IN_MEMORY = "<arrays in memory>"  # in place of the path of a data set


Run = instances.Instances | instances.TextInstances


@dataclasses.dataclass(frozen=True)
class ArrayData:
    """A data set in memory, read as a `folder.Folder` is.

    Attributes:
        train: all training instances, with features or with texts.
        num_features: D; None for texts.
        num_labels: L.
        labels: the labels themselves, in the order of their ids; None where
            they were ids.
        is_single: whether labels came as one a row, not as sets.
        test: test instances, or None.
    """

    train: Run
    num_features: int | None
    num_labels: int
    labels: list | None
    is_single: bool = False
    test: Run | None = None
    format: str = "arrays"
    path: str = IN_MEMORY
    notes: tuple[str, ...] = ()

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that there are."""
        return ("train",) if self.test is None else ("test", "train")

    def read(self, split: str, bad=None, wanted=None) -> Iterator[Run]:
        """Yields a split as one run."""
        del bad  # all rows were checked
        run = self.train if split == "train" else self.test
        if wanted is not None:
            run = instances.select(run, np.array(wanted))
        yield run

    def count_rows(self, split: str) -> int:
        """Returns how many rows a split has."""
        return next(self.read(split)).num_instances

    def label_names(self) -> list[str] | None:
        """Returns the labels as strings; None where they were ids."""
        if self.labels is None:
            return None
        return [str(label) for label in self.labels]

    def has_pairs(self, split: str) -> bool:
        """Tells whether some pairs are not scored: none."""
        return False

    def filter_pairs(self, split: str) -> None:
        """Returns the pairs that are not scored: none."""
        return None


@dataclasses.dataclass(frozen=True)
class Features:
    """X in memory: texts, or sparse rows."""

    texts: list[str] | None
    splits: np.ndarray | None = None  # [N + 1] int64
    ids: np.ndarray | None = None  # [E] int32, ascending in a row
    values: np.ndarray | None = None  # [E] float32
    num_features: int | None = None

    @property
    def num_instances(self) -> int:
        """N."""
        return len(self.texts if self.texts is not None else self.splits[1:])


def data_of(data) -> ArrayData:
    """Returns the data set of (X, Y) or (X, Y, X_test, Y_test).

    Raises:
        ValueError: for another number of parts, or what `of` refuses.
    """
    if isinstance(data, ArrayData):
        return data
    if len(data) not in (2, 4):
        raise ValueError(
            "`data_dir` must be a path, (X, Y) or (X, Y, X_test, Y_test). "
            f"Received: {len(data)} parts"
        )
    train = of(*data[:2])
    if len(data) == 2:
        return train
    labels = train.labels
    if labels is None:
        labels = list(range(train.num_labels))
    test = of(*data[2:], label_names=labels)
    if test.num_features != train.num_features:
        raise ValueError(
            f"`X_test` must have the {train.num_features} features of X. "
            f"Received: {test.num_features}"
        )
    return dataclasses.replace(train, test=test.train)


def of(X, Y, label_names: Sequence | None = None, weights=None) -> ArrayData:
    """Returns the data set of X and Y.

    Args:
        X: a SciPy sparse matrix of any layout, an array [N, D], a list, array
            or pandas column of N texts, or a pandas frame: its text columns
            joined, or its number columns as features.
        Y: label sets: a sparse matrix or an indicator array [N, L], N lists of
            ids or of names; or N single labels.
        label_names: the names of all labels, in the order of their ids; None:
            those in Y, sorted.
        weights: [N], of the instances; None: 1 each.

    Raises:
        ValueError: if X or Y is none of these, or they differ in N.
    """
    features = features_of(X)
    splits, ids, num_labels, names, is_single = labels_of(Y, label_names)
    if len(splits) - 1 != features.num_instances:
        raise ValueError(
            "`X` and `Y` must have as many rows. Received: "
            f"{features.num_instances} and {len(splits) - 1}"
        )
    if weights is not None:
        weights = _weights(weights, features.num_instances)
    if features.texts is not None:
        runs = instances.TextInstances(features.texts, splits, ids, weights)
    else:
        runs = instances.Instances(
            features.splits, features.ids, features.values, splits, ids, weights
        )
    return ArrayData(runs, features.num_features, num_labels, names, is_single)


def features_of(X) -> Features:
    """Returns the rows or texts of X; see `of`.

    Raises:
        ValueError: if X is nothing that is known, or holds what is not finite.
    """
    if hasattr(X, "tocsr"):
        return _from_csr(X.tocsr())
    if hasattr(X, "columns") and hasattr(X, "to_numpy"):
        return _from_frame(X)
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf":
        return _from_dense(X)
    if isinstance(X, str):
        raise ValueError(
            "`X` must hold several texts. Received: one string; give [text], "
            "or the path of a data set alone"
        )
    if isinstance(X, (np.ndarray, Sequence)):
        if isinstance(X, np.ndarray) and X.ndim > 1:
            return _from_dense(_numbers(X))
        if len(X) and not isinstance(X[0], str):
            return _from_dense(_numbers(X))
        texts = [str(text) for text in X]
        return Features(texts)
    raise ValueError(
        "`X` must be a sparse matrix, an array, a table or texts. "
        f"Received: {type(X).__name__}"
    )


def labels_of(
    Y, label_names: Sequence | None = None
) -> tuple[np.ndarray, np.ndarray, int, list | None, bool]:
    """Returns splits, ids, L, names and whether labels came one a row.

    See `of`.
    """
    if hasattr(Y, "tocsr"):
        return (
            *_indicator(Y.tocsr()),
            label_names and list(label_names),
            False,
        )
    if hasattr(Y, "to_numpy"):
        Y = Y.to_numpy()
    if isinstance(Y, np.ndarray) and Y.ndim == 2 and Y.dtype.kind in "biuf":
        return (*_indicator_array(Y), label_names and list(label_names), False)
    if Y is None or isinstance(Y, (str, bytes)) or not hasattr(Y, "__len__"):
        raise ValueError(
            "`Y` must be a sparse matrix, an indicator array or label sets. "
            f"Received: {type(Y).__name__}"
        )
    is_single = all(isinstance(one, str) or np.ndim(one) == 0 for one in Y)
    rows = [[one] for one in Y] if is_single else [list(row) for row in Y]
    splits = instances.splits_from_lengths([len(row) for row in rows])
    flat = [_plain(label) for row in rows for label in row]
    is_named = is_single or any(isinstance(label, str) for label in flat)
    if not is_named and label_names is None:
        return (*_of_ids(splits, flat), None, False)
    if label_names is None:
        label_names = _sorted(set(flat))
    if not is_named:
        splits, ids, _ = _of_ids(splits, flat, len(label_names))
        return splits, ids, len(label_names), list(label_names), False
    place = {name: number for number, name in enumerate(label_names)}
    unknown = [label for label in flat if label not in place]
    if unknown:
        raise ValueError(
            "`Y` must hold labels that are known. "
            f"Received: {unknown[0]!r}, and {len(unknown) - 1} more"
        )
    ids = np.array([place[label] for label in flat], np.int32)
    splits, ids = _distinct(splits, ids)
    return splits, ids, len(label_names), list(label_names), is_single


def _from_csr(matrix) -> Features:
    """Returns the rows of a CSR matrix, ascending, no feature twice."""
    matrix = matrix.copy() if not matrix.has_canonical_format else matrix
    matrix.sum_duplicates()
    values = matrix.data.astype(np.float32, copy=False)
    _check_finite(values)
    return Features(
        None,
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        values,
        matrix.shape[1],
    )


def _from_dense(array: np.ndarray) -> Features:
    if array.ndim != 2:
        raise ValueError(
            "`X` must have two dimensions, [N, D]. Reshape your data either "
            "using array.reshape(-1, 1) or array.reshape(1, -1). "
            f"Received: an array of shape {array.shape}"
        )
    array = np.asarray(array, np.float32)
    _check_finite(array)
    rows, ids = np.nonzero(array)
    lengths = np.bincount(rows, minlength=len(array))
    return Features(
        None,
        instances.splits_from_lengths(lengths),
        ids.astype(np.int32),
        array[rows, ids],
        array.shape[1],
    )


def _from_frame(frame) -> Features:
    """Returns texts of a frame's text columns, or rows of its numbers."""
    is_text = [frame[name].dtype.kind not in "biuf" for name in frame.columns]
    if not any(is_text):
        return _from_dense(frame.to_numpy())
    if not all(is_text):
        raise ValueError(
            "`X` must have columns of text or columns of numbers. Received: "
            f"a table with both, {list(frame.columns)}; choose some"
        )
    columns = [frame[name].fillna("").astype(str) for name in frame.columns]
    return Features([" ".join(parts) for parts in zip(*columns, strict=True)])


def _numbers(X) -> np.ndarray:
    try:
        array = np.asarray(X, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`X` must hold numbers, or texts alone. Received: something else: "
            f"{error}"
        ) from error
    return array


def _indicator(matrix) -> tuple[np.ndarray, np.ndarray, int]:
    """Returns splits, ids and L of a sparse matrix' nonzero places."""
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return (
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        matrix.shape[1],
    )


def _indicator_array(array: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    if not np.isin(array, (0, 1)).all():
        raise ValueError(
            "`Y` must hold 0 and 1 where it is an array [N, L]. Received: "
            f"values from {array.min()} to {array.max()}; give label ids as "
            "lists"
        )
    rows, ids = np.nonzero(array)
    lengths = np.bincount(rows, minlength=len(array))
    splits = instances.splits_from_lengths(lengths)
    return splits, ids.astype(np.int32), array.shape[1]


def _of_ids(splits: np.ndarray, flat: list, num_labels: int | None = None):
    """Returns splits, ids and L of label ids."""
    ids = np.array(flat)
    if len(ids) and (ids.dtype.kind not in "iu" or ids.min() < 0):
        raise ValueError(
            "`Y` must hold label ids from 0 on, or names. "
            f"Received: {flat[0]!r} and the like"
        )
    highest = int(ids.max(initial=-1))
    if num_labels is not None and highest >= num_labels:
        raise ValueError(
            f"`Y` must hold label ids below {num_labels}. Received: {highest}"
        )
    splits, ids = _distinct(splits, ids.astype(np.int32))
    return splits, ids, highest + 1 if num_labels is None else num_labels


def _distinct(splits: np.ndarray, ids: np.ndarray):
    """Returns the sets ascending, each label once."""
    rows = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    pairs = np.unique(np.stack([rows, ids], axis=1), axis=0)
    lengths = np.bincount(pairs[:, 0], minlength=len(splits) - 1)
    return instances.splits_from_lengths(lengths), pairs[:, 1].astype(np.int32)


def _plain(label: Any):
    """Returns a NumPy scalar as Python's."""
    return label.item() if hasattr(label, "item") else label


def _sorted(labels: Iterable) -> list:
    try:
        return sorted(labels)
    except TypeError as error:
        raise ValueError(
            f"`Y` must hold labels of one type. Received: {error}"
        ) from error


def _weights(weights, number: int) -> np.ndarray:
    weights = np.asarray(weights, np.float32)
    if weights.shape != (number,) or not (
        np.isfinite(weights).all() and (weights >= 0).all()
    ):
        raise ValueError(
            f"`weights` must be {number} finite numbers of at least 0. "
            f"Received: an array of shape {weights.shape}"
        )
    return weights


def _check_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(
            "`X` must hold finite numbers. Received: NaN or infinity"
        )
