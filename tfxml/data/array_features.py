"""X that users hold in memory: matrices, arrays, texts, tables.

# N instances, D features, E stored features
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfxml.data import instances


@dataclasses.dataclass(frozen=True)
class Features:
    """X in memory: texts, or sparse rows."""

    texts: Sequence[str] | None
    splits: np.ndarray | None = None  # [N + 1] int64
    ids: np.ndarray | None = None  # [E] int32, ascending in a row
    values: np.ndarray | None = None  # [E] float32
    num_features: int | None = None  # D; None for texts

    @property
    def num_instances(self) -> int:
        """N."""
        if self.texts is not None:
            return len(self.texts)
        return len(self.rows()[0]) - 1

    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns row splits, feature ids and feature values.

        Raises:
            ValueError: if X holds texts.
        """
        if self.splits is None or self.ids is None or self.values is None:
            raise ValueError("`X` must hold numbers. Received: texts")
        return self.splits, self.ids, self.values


def features_of(X: Any) -> Features:
    """Returns the rows or texts of X.

    Args:
        X: a SciPy sparse matrix of any layout, an array [N, D], a list, array
            or pandas column of N texts, or a pandas frame: its text columns
            joined, or its number columns as features. Missing texts of pandas
            are empty.

    Raises:
        ValueError: if X is of another type, or has values that are not finite.
    """
    if hasattr(X, "tocsr"):
        return _from_csr(X.tocsr())
    if is_frame(X):
        return _from_frame(X)
    if isinstance(X, (str, bytes)):
        raise ValueError(
            "`X` must hold several texts. Received: one string; give [text], "
            "or the path of a data set alone"
        )
    if hasattr(X, "to_numpy"):
        X = _of_column(X)
    if isinstance(X, np.ndarray) and X.ndim != 1:
        return _from_dense(_numbers(X))
    if not isinstance(X, (np.ndarray, Sequence)):
        raise ValueError(
            "`X` must be a sparse matrix, an array, a table or texts. "
            f"Received: {type(X).__name__}"
        )
    if len(X) and not isinstance(X[0], str):
        return _from_dense(_numbers(X))
    return Features(_checked_texts(X))


def is_frame(X: Any) -> bool:
    """Tells whether X is a pandas frame, or like one."""
    return hasattr(X, "columns") and hasattr(X, "to_numpy")


def is_text(X: Any) -> bool:
    """Tells whether X holds texts, not numbers."""
    if is_frame(X):
        return any(_text_columns(X))
    if hasattr(X, "to_numpy"):
        return X.dtype.kind not in "biufc"
    if hasattr(X, "tocsr") or getattr(X, "ndim", 1) != 1:
        return False
    return (
        isinstance(X, (np.ndarray, Sequence))
        and len(X) > 0
        and isinstance(X[0], str)
    )


def check_finite(values: np.ndarray, name: str = "X") -> None:
    """Raises ValueError unless all values are finite."""
    if not np.isfinite(values).all():
        raise ValueError(
            f"`{name}` must hold finite numbers. Received: NaN or infinity"
        )


def _from_csr(matrix) -> Features:
    """Returns the rows of a CSR matrix, ascending, no feature twice."""
    if matrix.dtype.kind not in "biuf":
        raise ValueError(
            "`X` must hold real numbers. Received: a matrix of dtype "
            f"{matrix.dtype}; Complex data not supported"
        )
    if not matrix.has_canonical_format:
        matrix = matrix.copy()  # do not change the user's
        matrix.sum_duplicates()
    values = matrix.data.astype(np.float32, copy=False)
    check_finite(values)
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
    check_finite(array)
    rows, ids = np.nonzero(array)
    lengths = np.bincount(rows, minlength=len(array))
    return Features(
        None,
        instances.splits_from_lengths(lengths),
        ids.astype(np.int32),
        array[rows, ids],
        array.shape[1],
    )


def _text_columns(frame) -> list[bool]:
    """Returns for each column whether it holds text."""
    return [frame[name].dtype.kind not in "biufc" for name in frame.columns]


def _from_frame(frame) -> Features:
    """Returns texts of a frame's text columns, or rows of its numbers."""
    is_text = _text_columns(frame)
    if not any(is_text):
        return _from_dense(_numbers(frame.to_numpy()))
    if not all(is_text):
        raise ValueError(
            "`X` must have columns of text or columns of numbers. Received: "
            f"a table with both, {list(frame.columns)}; choose some"
        )
    columns = [_of_column(frame[name]) for name in frame.columns]
    rows = zip(*columns, strict=True)
    return Features([" ".join(filter(None, texts)) for texts in rows])


def _of_column(column) -> np.ndarray:
    """Returns a pandas column as an array; missing texts are empty."""
    array = column.to_numpy()
    if array.dtype.kind in "biufc":
        return array
    return np.where(column.isna(), "", array.astype(object))


def _checked_texts(texts: Iterable[object]) -> list[str]:
    checked: list[str] = []
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                "`X` must hold texts, or numbers alone. Received: "
                f"X[{row}]={text!r} beside texts"
            )
        checked.append(str(text))  # also converts NumPy's strings
    return checked


def _numbers(X) -> np.ndarray:
    array = np.asarray(X)
    if array.dtype.kind == "c":
        raise ValueError(
            "`X` must hold real numbers. Received: complex ones; Complex data "
            "not supported"
        )
    if array.dtype.kind in "biuf":
        return array
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`X` must hold numbers, or texts alone. Received: something else: "
            f"{error}"
        ) from error
