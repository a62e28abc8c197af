"""What solvers read and write of many labels' learning problems.

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


class Pairs(NamedTuple):
    """Which instances each label learns from; no pair twice."""

    splits: np.ndarray  # [L + 1] int64: where a label's pairs begin
    row_ids: np.ndarray  # [P] integers
    is_positive: np.ndarray  # [P] bool


def typed_rows(rows: Rows) -> Rows:
    """Returns the rows in the types for which the loops are compiled."""
    return Rows(
        rows.splits.astype(np.int64, copy=False),
        # Unsigned: Numba would ask whether a signed index is negative.
        rows.feature_ids.astype(np.uint32),
        rows.values.astype(np.float32, copy=False),
        rows.num_features,
    )


def typed_pairs(pairs: Pairs) -> Pairs:
    """Returns the pairs in the types for which the loops are compiled."""
    return Pairs(
        pairs.splits.astype(np.int64, copy=False),
        pairs.row_ids.astype(np.int64, copy=False),
        pairs.is_positive.astype(np.bool_, copy=False),
    )


@compiled.loop
def most_features(rows, row_ids):
    """Returns a bound on how many features rows have, each counted once."""
    number = 0
    for row in row_ids:
        number += rows.splits[row + 1] - rows.splits[row]
    return min(number, rows.num_features)


@compiled.loop
def grown(array, size, capacity):
    """Returns a longer array that begins with `size` elements of this one."""
    longer = np.empty(capacity, array.dtype)
    for place in range(size):
        longer[place] = array[place]
    return longer
