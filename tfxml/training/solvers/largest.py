"""Keeps the largest of many weights that arrive in parts.

# L labels, W weights
"""

from __future__ import annotations

import numpy as np


def _places(sizes: np.ndarray, number: int) -> np.ndarray:
    """Returns where the `number` largest are; of equal ones the first."""
    if len(sizes) <= number:
        return np.arange(len(sizes))
    last = np.partition(sizes, len(sizes) - number)[len(sizes) - number]
    is_chosen = sizes > last
    equals = np.flatnonzero(sizes == last)
    is_chosen[equals[: number - np.count_nonzero(is_chosen)]] = True
    return np.flatnonzero(is_chosen)


class Largest:
    """The `number` weights of the largest absolute values of all added."""

    def __init__(self, number: int):
        self._number = number
        no_ids = np.zeros(0, np.int32)
        self._parts = [(no_ids, no_ids, np.zeros(0, np.float32))]
        self._size = 0
        self.least = 0.0  # weights of a smaller absolute value are not kept

    def add(
        self,
        labels: np.ndarray,
        splits: np.ndarray,
        feature_ids: np.ndarray,
        weights: np.ndarray,
    ) -> None:
        """Adds weights.

        Args:
            labels: ids.
            splits: where each label's weights begin, and the last ones end.
            feature_ids, weights: of all these labels.
        """
        owners = np.repeat(labels.astype(np.int32), np.diff(splits))
        self._parts.append((owners, feature_ids, weights))
        self._size += len(owners)
        if self._size > 2 * self._number:
            self._cut()

    def _cut(self) -> None:
        """Drops all but the `number` largest."""
        joined = [
            np.concatenate(arrays) for arrays in zip(*self._parts, strict=True)
        ]
        chosen = _places(np.abs(joined[2]), self._number)
        self._parts = [tuple(array[chosen] for array in joined)]
        self._size = len(chosen)
        if self._size == self._number:
            self.least = float(np.abs(self._parts[0][2]).min())

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the labels, features and values of the weights kept."""
        self._cut()
        return self._parts[0]
