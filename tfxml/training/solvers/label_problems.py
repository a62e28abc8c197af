"""The learning problems of many labels: sparse rows, and pairs of them.

# N instances, D features, E features of all rows, L labels, P pairs of a label
# and an instance
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfxml.cpu import compiled


class Rows(NamedTuple):
    """Sparse rows [N, D]; no row has a feature twice."""

    splits: np.ndarray  # [N + 1] int64
    feature_ids: np.ndarray  # [E] integers
    values: np.ndarray  # [E] float32
    num_features: int  # D
    weights: np.ndarray | None = None  # [N], how much each counts; None: 1


class Pairs(NamedTuple):
    """The instances that each label learns from; no pair twice."""

    splits: np.ndarray  # [L + 1] int64: where a label's pairs begin
    row_ids: np.ndarray  # [P] integers
    is_positive: np.ndarray  # [P] bool


def typed_rows(rows: Rows) -> Rows:
    """Returns the rows in the types for which the loops are compiled.

    Raises:
        ValueError: if a feature id is out of range, which no loop checks.
    """
    check_ids("rows.feature_ids", rows.feature_ids, rows.num_features)
    weights = rows.weights
    if weights is None:
        weights = np.ones(len(rows.splits) - 1)
    return Rows(
        rows.splits.astype(np.int64, copy=False),
        # Unsigned: Numba would check a signed index for being negative.
        rows.feature_ids.astype(np.uint32, copy=False),
        rows.values.astype(np.float32, copy=False),
        rows.num_features,
        weights.astype(np.float32, copy=False),
    )


def typed_pairs(pairs: Pairs, num_rows: int) -> Pairs:
    """Returns the pairs in the types for which the loops are compiled.

    Raises:
        ValueError: if a row id is out of range, which no loop checks.
    """
    check_ids("pairs.row_ids", pairs.row_ids, num_rows)
    return Pairs(
        pairs.splits.astype(np.int64, copy=False),
        pairs.row_ids.astype(np.int64, copy=False),
        pairs.is_positive.astype(np.bool_, copy=False),
    )


def check_ids(name: str, ids: np.ndarray, limit: int) -> None:
    """Raises ValueError unless all ids are in [0, limit)."""
    if ids.size and not (0 <= ids.min() and ids.max() < limit):
        raise ValueError(
            f"`{name}` must be in [0, {limit}). "
            f"Received: ids from {ids.min()} to {ids.max()}"
        )


@compiled.loop
def with_space(
    feature_ids: np.ndarray, weights: np.ndarray, size: int, needed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns arrays with space for `needed` elements after the first `size`.

    They are the same arrays, or larger copies.
    """
    if size + needed <= len(weights):
        return feature_ids, weights
    capacity = max(size + needed, 2 * len(weights))
    larger_ids = np.empty(capacity, np.uint32)
    larger_weights = np.empty(capacity, np.float32)
    for position in range(size):
        larger_ids[position] = feature_ids[position]
        larger_weights[position] = weights[position]
    return larger_ids, larger_weights
