"""Keeps the best labels of many scores.

# N instances, C labels of a block, K best

Of equal scores the first label is better, as in `tf.math.top_k`. The C scores
are arranged in columns. The K best are in the columns with the K best maxima,
so only those columns are searched.
"""

from __future__ import annotations

import math

import numpy as np

from tfxml.cpu import compiled

NO_LABEL = np.iinfo(np.int32).max
_at_rank = compiled.at_rank


def nothing(num_rows: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns empty lists of the best: scores and label ids, [N, K] each."""
    return (
        np.full((num_rows, k), -np.inf, np.float32),
        np.full((num_rows, k), NO_LABEL, np.int32),
    )


@compiled.loop
def keep_best(
    scores: np.ndarray,
    label_ids: np.ndarray,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> None:
    """Adds scores [N, C] to the lists of the best, [N, K].

    Args:
        scores: [N, C]; labels of score -inf are never kept.
        label_ids: [C], distinct, and none of them in the lists.
        best, best_ids: [N, K], best first.
    """
    size = scores.shape[1]
    k = min(best.shape[1], size)
    # About as many columns as there are scores in K of them.
    width = min(max(int(math.sqrt(size * k)), k), size)
    maxima = np.empty(width, np.float32)
    several = np.empty(k, np.float32)
    largest = np.empty(width, np.float32)
    for row in range(len(scores)):
        row_scores, kept, ids = scores[row], best[row], best_ids[row]
        _maxima(row_scores, maxima)
        # The maxima of K columns are at least the least of these.
        _maxima(maxima, several)
        bound = several[0]
        for maximum in several:
            bound = min(bound, maximum)
        bound = max(bound, kept[-1])
        left = 0
        for column in range(width):
            largest[left] = maxima[column]
            left += maxima[column] >= bound
        if left >= k:
            bound = _at_rank(largest[:left], k)
        for column in range(width):
            if maxima[column] < bound:
                continue
            for place in range(column, size, width):
                if row_scores[place] >= bound:
                    _insert(kept, ids, row_scores[place], label_ids[place])


@compiled.loop
def _maxima(scores, maxima):
    """Writes the maxima of the columns of scores [C]."""
    width = len(maxima)
    for column in range(width):
        maxima[column] = scores[column]
    for start in range(width, len(scores), width):
        run = scores[start : start + width]
        for column in range(len(run)):
            old, new = maxima[column], run[column]
            maxima[column] = new if new > old else old


@compiled.loop
def _insert(kept, ids, score, label):
    """Inserts a label into a sorted list, whose last one drops out."""
    rank = np.int32(0)
    for place in range(len(kept)):  # no branch: the compiler vectorises it
        rank += np.int32(kept[place] > score) | (
            np.int32(kept[place] == score) & np.int32(ids[place] < label)
        )
    # Unsigned: Numba would check signed indices for being negative.
    for place in range(np.uint64(rank), np.uint64(len(kept))):
        old, old_id = kept[place], ids[place]
        kept[place], ids[place] = score, label
        score, label = old, old_id
