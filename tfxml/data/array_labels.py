"""Y that users hold in memory: matrices, indicators, sets of ids or of names.

# N instances, L labels, M stored labels
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tfxml.data import array_features, instances


class Labels(NamedTuple):
    """The label sets of N instances."""

    splits: np.ndarray  # [N + 1] int64
    ids: np.ndarray  # [M] int32, distinct and ascending in a row
    num_labels: int  # L
    names: list | None  # the labels in the order of their ids; None: the ids
    is_single: bool = False  # whether Y has one label per row, not sets

    @property
    def num_instances(self) -> int:
        """N."""
        return len(self.splits) - 1


def labels_of(
    Y: Any, label_names: Sequence | None = None, skips_unknown: bool = False
) -> Labels:
    """Returns the label sets of Y.

    Args:
        Y: a SciPy sparse matrix or an indicator array [N, L], nonzero at the
            labels; a pandas frame of such columns, whose names are the
            labels'; N sets of ids or of names; or N single labels, [N] or
            [N, 1].
        label_names: the names of all labels, in the order of their ids; None:
            those in Y, sorted.
        skips_unknown: whether labels that have no id are left out; else they
            are an error.

    Raises:
        ValueError: if Y is none of these, or holds labels that are not known.
    """
    if array_features.is_frame(Y):
        label_names = list(Y.columns) if label_names is None else label_names
        Y = Y.to_numpy()
    if hasattr(Y, "tocsr"):
        return _of_matrix(Y.tocsr(), label_names)
    if hasattr(Y, "to_numpy"):
        Y = Y.to_numpy()
    if hasattr(Y, "__array__"):
        Y = np.asarray(Y)
    if isinstance(Y, np.ndarray) and Y.ndim == 2 and Y.shape[1] == 1:
        Y = Y[:, 0]  # as scikit-learn takes a column
    if isinstance(Y, np.ndarray) and Y.ndim == 2:
        return _of_indicator(Y, label_names)
    if Y is None or isinstance(Y, (str, bytes)) or not hasattr(Y, "__len__"):
        raise ValueError(
            "`Y` must be a sparse matrix, an indicator array or label sets. "
            f"Received: {type(Y).__name__}"
        )
    return _of_sets(Y, label_names, skips_unknown)


def _of_matrix(matrix, label_names: Sequence | None) -> Labels:
    """Returns the nonzero entries of a CSR matrix."""
    _check_width(matrix, label_names)
    is_clean = matrix.has_canonical_format and matrix.data.all()
    if not is_clean:
        matrix = matrix.copy()  # do not change the user's
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return Labels(
        matrix.indptr.astype(np.int64, copy=False),
        matrix.indices.astype(np.int32, copy=False),
        matrix.shape[1],
        _as_list(label_names),
    )


def _of_indicator(array: np.ndarray, label_names: Sequence | None) -> Labels:
    _check_width(array, label_names)
    if array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
        raise ValueError(
            "`Y` must hold 0 and 1 where it is an array [N, L]. Received: "
            f"{np.unique(array)[:4].tolist()} and the like; give label ids as "
            "lists"
        )
    rows, ids = np.nonzero(array)
    lengths = np.bincount(rows, minlength=len(array))
    splits = instances.splits_from_lengths(lengths)
    return Labels(
        splits, ids.astype(np.int32), array.shape[1], _as_list(label_names)
    )


def _of_sets(Y, label_names: Sequence | None, skips_unknown: bool) -> Labels:
    is_single = len(Y) > 0 and all(map(_is_single_label, Y))
    rows = [[label] for label in Y] if is_single else list(map(_set_of, Y))
    splits = instances.splits_from_lengths([len(row) for row in rows])
    all_labels = list(itertools.chain.from_iterable(rows))
    if not set(map(type, all_labels)) <= {int, str}:
        all_labels = [_python_value(label) for label in all_labels]
        _check_labels(all_labels)
    is_ids = not is_single and set(map(type, all_labels)) <= {int}
    if label_names is None and is_ids:
        if all_labels and min(all_labels) < 0:
            raise ValueError(
                "`Y` must hold label ids from 0 on, or names. "
                f"Received: {min(all_labels)}"
            )
        splits, ids = _distinct(splits, np.array(all_labels, np.int64))
        return Labels(splits, ids, max(all_labels, default=-1) + 1, None)
    if label_names is None:
        label_names = _sorted(set(all_labels))
    id_of: dict[Any, int] | range
    if is_ids and not set(map(type, label_names)) <= {int}:
        id_of = range(len(label_names))  # ids of named labels
    else:
        id_of = {name: number for number, name in enumerate(label_names)}
    ids = np.array(
        [id_of[label] if label in id_of else -1 for label in all_labels],
        np.int64,
    )
    if (ids < 0).any():
        if not skips_unknown:
            raise ValueError(
                "`Y` must hold labels that are known. Received: "
                f"{all_labels[int(np.argmin(ids))]!r}, and "
                f"{np.count_nonzero(ids < 0) - 1} more"
            )
        row_ids = np.repeat(np.arange(len(rows)), np.diff(splits))[ids >= 0]
        lengths = np.bincount(row_ids, minlength=len(rows))
        splits, ids = instances.splits_from_lengths(lengths), ids[ids >= 0]
    splits, ids = _distinct(splits, ids)
    return Labels(splits, ids, len(label_names), list(label_names), is_single)


def _is_single_label(label: Any) -> bool:
    return isinstance(label, (str, bytes)) or not isinstance(label, Iterable)


def _set_of(labels: Any) -> list:
    if _is_single_label(labels):
        raise ValueError(
            "`Y` must hold sets of labels, or single labels alone. "
            f"Received: {labels!r} beside sets"
        )
    return list(labels)


def _python_value(label: Any) -> Any:
    """Returns a NumPy scalar as a Python value."""
    return label.item() if isinstance(label, np.generic) else label


def _check_labels(labels: list) -> None:
    """Raises ValueError for values that cannot be labels."""
    for label in labels:
        if label is None or label != label:
            raise ValueError(f"`Y` must not hold NaN. Received: {label!r}")
        if isinstance(label, float) and not label.is_integer():
            raise ValueError(
                "`Y` must hold labels. Received: "
                f"{label!r}; Unknown label type: continuous"
            )


def _check_width(matrix, label_names: Sequence | None) -> None:
    if label_names is not None and matrix.shape[1] != len(label_names):
        raise ValueError(
            f"`Y` must have a column for each of {len(label_names)} labels. "
            f"Received: {matrix.shape[1]} columns"
        )


def _as_list(label_names: Sequence | None) -> list | None:
    return None if label_names is None else list(label_names)


def _distinct(
    splits: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the sets ascending, each label once."""
    rows = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    pairs = np.unique(np.stack([rows, ids], axis=1), axis=0)
    lengths = np.bincount(pairs[:, 0], minlength=len(splits) - 1)
    return instances.splits_from_lengths(lengths), pairs[:, 1].astype(np.int32)


def _sorted(labels: Iterable) -> list:
    try:
        return sorted(labels)
    except TypeError as error:
        raise ValueError(
            f"`Y` must hold labels of one type. Received: {error}"
        ) from error
