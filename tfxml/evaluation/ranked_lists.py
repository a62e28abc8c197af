"""Finds true labels in ranked lists of predictions, and checks arguments.

# n instances, K predictions an instance, M true labels stored, H of them found
"""

from __future__ import annotations

import numpy as np

# Entries compared at once: 4 MB of booleans, 16 MB of gathered ids.
_BLOCK_SIZE = 1 << 22


def find(
    top_ids: np.ndarray, rows: np.ndarray, label_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which (row, label) pairs are in `top_ids`, and their ranks.

    Both results are [H] int64: positions in `rows`, and ranks from 0. Each
    label is compared with the K ids of its own row, block by block: nothing
    is [n, L], and no product of n and L is formed.
    """
    # Start with an empty array, so that there is one to concatenate.
    hits: list[np.ndarray] = [np.zeros(0, np.int64)]
    ranks: list[np.ndarray] = [np.zeros(0, np.int64)]
    step = max(1, _BLOCK_SIZE // top_ids.shape[1])
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        equal = top_ids[rows[block]] == label_ids[block, None]
        entries, columns = np.divmod(np.flatnonzero(equal), top_ids.shape[1])
        hits.append(entries + start)
        ranks.append(columns)
    return np.concatenate(hits), np.concatenate(ranks)


def check_range(name: str, ids: np.ndarray, low: int, high: int) -> None:
    """Raises ValueError unless all `ids` are integers in [low, high)."""
    if not np.issubdtype(ids.dtype, np.integer):
        raise argument_error(name, "be integers", ids.dtype)
    if ids.size and (ids.min() < low or ids.max() >= high):
        received = f"values from {ids.min()} to {ids.max()}"
        raise argument_error(
            name, f"be at least {low} and below {high}", received
        )


def argument_error(name: str, need: str, received: object) -> ValueError:
    """Returns the error for a wrong argument."""
    return ValueError(f"`{name}` must {need}. Received: {name}={received}")
