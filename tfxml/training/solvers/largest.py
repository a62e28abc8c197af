"""The largest of many weights that come some at a time.

# L labels, W weights
"""

from __future__ import annotations

import numpy as np


def _places(sizes: np.ndarray, number: int) -> np.ndarray:
    """Returns the places of the largest `number`, of equals the first."""
    if len(sizes) <= number:
        return np.arange(len(sizes))
    last = np.partition(sizes, len(sizes) - number)[len(sizes) - number]
    is_chosen = sizes > last
    equals = np.flatnonzero(sizes == last)
    is_chosen[equals[: number - np.count_nonzero(is_chosen)]] = True
    return np.flatnonzero(is_chosen)


class Largest:
    """The weights largest in size of all that were added, `number` at most."""

    def __init__(self, number: int):
        self._number = number
        none = np.zeros(0, np.int32)
        self._parts, self._size = [(none, none, none.astype(np.float32))], 0
        self.least = 0.0  # what is smaller in size is not among them

    def add(
        self,
        labels: np.ndarray,
        splits: np.ndarray,
        feature_ids: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        """Adds labels' weights; `splits` say where each label's begin."""
        owners = np.repeat(labels.astype(np.int32), np.diff(splits))
        self._parts.append((owners, feature_ids, weights))
        self._size += len(owners)
        if self._size > 2 * self._number:
            self._cut()

    def _cut(self) -> None:
        whole = [
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        ]
        chosen = _places(np.abs(whole[2]), self._number)
        self._parts = [tuple(part[chosen] for part in whole)]
        self._size = len(chosen)
        if self._size == self._number:
            self.least = float(np.abs(self._parts[0][2]).min())

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns labels, features and values."""
        self._cut()
        return self._parts[0]
