"""Keeps the largest of many weights that arrive in parts.

# L labels, W weights
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled


class Largest:
    """The `max_kept` weights with the largest absolute values.

    Of equal ones the first are kept. Memory is written as weights arrive, for
    a quarter more than are kept.
    """

    def __init__(self, max_kept: int):
        self._max_kept = max_kept
        capacity = max_kept + max_kept // 4 + 1
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
        weights = self._weights[: self._size]
        least, num_ties = _at_rank(weights.view(np.uint32), self._max_kept)
        self.least = float(least)
        self._size = _keep(
            self._labels[: self._size],
            self._feature_ids[: self._size],
            weights,
            least,
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


def _at_rank(bits: np.ndarray, rank: int) -> tuple[np.float32, int]:
    """Returns the rank-th largest absolute value, and its rank among equals.

    Without its sign, a float32's bits have its order: their upper half is
    found by counting, then the lower one. Nothing is copied.

    Args:
        bits: of float32, [W] uint32.
        rank: from 1 on.
    """
    upper, rank = _half_at_rank(_upper_counts(bits), rank)
    lower, rank = _half_at_rank(_lower_counts(bits, upper), rank)
    return np.uint32(upper << 16 | lower).view(np.float32), rank


def _half_at_rank(counts: np.ndarray, rank: int) -> tuple[int, int]:
    """Returns the half of the rank-th largest, and its rank among equals."""
    ends = np.cumsum(counts[::-1])
    place = int(np.searchsorted(ends, rank))
    larger = int(ends[place - 1]) if place else 0
    return len(counts) - 1 - place, rank - larger


@compiled.loop
def _upper_counts(bits):
    """Returns how often each upper half occurs, without the sign."""
    counts = np.zeros(1 << 15, np.int64)
    for position in range(len(bits)):
        counts[bits[position] >> 16 & 0x7FFF] += 1
    return counts


@compiled.loop
def _lower_counts(bits, upper):
    """Returns how often each lower half occurs beside an upper one."""
    counts = np.zeros(1 << 16, np.int64)
    for position in range(len(bits)):
        if bits[position] >> 16 & 0x7FFF == upper:
            counts[bits[position] & 0xFFFF] += 1
    return counts


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
