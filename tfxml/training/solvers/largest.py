"""Keeps the largest of many weights that arrive in parts.

# L labels, W weights
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled


class Largest:
    """The `max_kept` weights with the largest absolute values.

    Of equal ones the first are kept. Memory is written as weights arrive, for
    half as many again as are kept.
    """

    def __init__(self, max_kept: int):
        self._max_kept = max_kept
        capacity = max_kept + max_kept // 2 + 1
        self._labels = np.empty(capacity, np.int32)
        self._feature_ids = np.empty(capacity, np.int32)
        self._weights = np.empty(capacity, np.float32)
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
            splits: where each label's weights begin, and the end.
            feature_ids, weights: of all these labels.
        """
        owners = np.repeat(labels.astype(np.int32), np.diff(splits))
        start = 0
        while start < len(owners):
            if self._size == len(self._weights):
                self._drop_smallest()
            stop = min(start + len(self._weights) - self._size, len(owners))
            end = self._size + stop - start
            self._labels[self._size : end] = owners[start:stop]
            self._feature_ids[self._size : end] = feature_ids[start:stop]
            self._weights[self._size : end] = weights[start:stop]
            start, self._size = stop, end

    def _drop_smallest(self) -> None:
        """Drops all but the `max_kept` largest."""
        if self._size <= self._max_kept:
            return
        sizes = np.abs(self._weights[: self._size])
        first = self._size - self._max_kept  # of those that are kept
        sizes.partition(first)
        self.least = float(sizes[first])
        num_ties = int(np.count_nonzero(sizes[first:] == sizes[first]))
        self._size = _keep(
            self._labels[: self._size],
            self._feature_ids[: self._size],
            self._weights[: self._size],
            sizes[first],
            num_ties,
        )

    def result(
        self, scales: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the labels, features and values of the weights kept.

        Values are multiplied by the scales [D] of their features, in place:
        call it once. None: by 1.
        """
        self._drop_smallest()
        if scales is not None:
            weights = self._weights[: self._size]
            weights *= scales[self._feature_ids[: self._size]]
        return (
            self._labels[: self._size],
            self._feature_ids[: self._size],
            self._weights[: self._size],
        )


@compiled.loop
def _keep(labels, feature_ids, weights, least, num_ties):
    """Moves weights above `least`, and the first ties, to the front.

    Returns how many these are.
    """
    num_kept = 0
    for position in range(len(weights)):
        label, feature = labels[position], feature_ids[position]
        weight = weights[position]
        size = abs(weight)
        is_tie = size == least
        # Always written, kept if large: no branch to predict.
        labels[num_kept], feature_ids[num_kept] = label, feature
        weights[num_kept] = weight
        num_kept += (size > least) | (is_tie & (num_ties > 0))
        num_ties -= is_tie
    return num_kept
