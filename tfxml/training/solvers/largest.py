"""Keeps the largest of many weights that arrive in parts.

# L labels, W weights
"""

from __future__ import annotations

import numpy as np


def _positions_of_largest(sizes: np.ndarray, max_kept: int) -> np.ndarray:
    """Returns where the `max_kept` largest are; of equal ones the first."""
    if len(sizes) <= max_kept:
        return np.arange(len(sizes))
    threshold = np.partition(sizes, len(sizes) - max_kept)[
        len(sizes) - max_kept
    ]
    is_kept = sizes > threshold
    ties = np.flatnonzero(sizes == threshold)
    is_kept[ties[: max_kept - np.count_nonzero(is_kept)]] = True
    return np.flatnonzero(is_kept)


class Largest:
    """The `max_kept` weights with the largest absolute values."""

    def __init__(self, max_kept: int):
        self._max_kept = max_kept
        empty_ids = np.zeros(0, np.int32)
        self._parts = [(empty_ids, empty_ids, np.zeros(0, np.float32))]
        self._num_kept = 0
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
            splits: where each label's weights begin, and the end.
            feature_ids, weights: of all these labels.
        """
        owners = np.repeat(labels.astype(np.int32), np.diff(splits))
        self._parts.append((owners, feature_ids, weights))
        self._num_kept += len(owners)
        if self._num_kept > 2 * self._max_kept:
            self._drop_smallest()

    def _drop_smallest(self) -> None:
        """Drops all but the `max_kept` largest."""
        columns = [
            np.concatenate(arrays) for arrays in zip(*self._parts, strict=True)
        ]
        positions = _positions_of_largest(np.abs(columns[2]), self._max_kept)
        self._parts = [tuple(array[positions] for array in columns)]
        self._num_kept = len(positions)
        if self._num_kept == self._max_kept:
            self.least = float(np.abs(self._parts[0][2]).min())

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the labels, features and values of the weights kept."""
        self._drop_smallest()
        return self._parts[0]
