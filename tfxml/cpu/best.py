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
    """Returns empty lists of best labels: scores and ids, [N, K] each."""
    return (
        np.full((num_rows, k), -np.inf, np.float32),
        np.full((num_rows, k), NO_LABEL, np.int32),
    )


def require_labels(best_ids: np.ndarray) -> None:
    """Raises FloatingPointError unless lists are full.

    A score that is not a number, or -inf, leaves a place without a label.
    """
    if (best_ids == NO_LABEL).any():
        raise FloatingPointError(
            "scores are not numbers: feature values are too large"
        )


@compiled.loop
def keep_best(
    scores: np.ndarray,
    label_ids: np.ndarray,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> None:
    """Merges scores [N, C] into the lists of best labels, [N, K].

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
    column_maxima = np.empty(k, np.float32)
    candidates = np.empty(width, np.float32)
    for row in range(len(scores)):
        row_scores, row_best, row_ids = scores[row], best[row], best_ids[row]
        _maxima(row_scores, maxima)
        # The maxima of K columns are at least the least of these.
        _maxima(maxima, column_maxima)
        bound = column_maxima[0]
        for maximum in column_maxima:
            bound = min(bound, maximum)
        bound = max(bound, row_best[-1])
        num_candidates = 0
        for column in range(width):
            candidates[num_candidates] = maxima[column]
            num_candidates += maxima[column] >= bound
        if num_candidates >= k:
            bound = _at_rank(candidates[:num_candidates], k)
        for column in range(width):
            if maxima[column] < bound:
                continue
            for position in range(column, size, width):
                score, label = row_scores[position], label_ids[position]
                # Of many equal scores few get further than the second test.
                if score >= bound and (
                    score > row_best[-1]
                    or (score == row_best[-1] and label < row_ids[-1])
                ):
                    insert(row_best, row_ids, score, label)


@compiled.loop
def _maxima(scores, maxima):
    """Writes the maxima of the columns of scores [C]."""
    width = len(maxima)
    for column in range(width):
        maxima[column] = scores[column]
    for start in range(width, len(scores), width):
        row_of_scores = scores[start : start + width]
        for column in range(len(row_of_scores)):
            old, new = maxima[column], row_of_scores[column]
            maxima[column] = new if new > old else old


@compiled.loop
def insert(
    best: np.ndarray, best_ids: np.ndarray, score: float, label: int
) -> None:
    """Inserts a label into a sorted list [K] and drops the last one."""
    rank = np.int32(0)
    for position in range(len(best)):  # no branch: the compiler vectorises it
        rank += np.int32(best[position] > score) | (
            np.int32(best[position] == score)
            & np.int32(best_ids[position] < label)
        )
    # Unsigned: Numba would check signed indices for being negative.
    for position in range(np.uint64(rank), np.uint64(len(best))):
        old_score, old_id = best[position], best_ids[position]
        best[position], best_ids[position] = score, label
        score, label = old_score, old_id
