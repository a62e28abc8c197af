"""The best labels of many scores.

# N instances, C labels of a block, K best

Of equal scores the first label is better, as it is to `tf.math.top_k`. The
labels of a block lie in columns, each so-and-so-many-th in the same; the K best
are in the columns with the K best maxima, so that only those are looked into.
"""

from __future__ import annotations

import math

import numpy as np

from tfxml.cpu import compiled

NO_LABEL = np.iinfo(np.int32).max
_at_rank = compiled.at_rank


def nothing(num_rows: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns lists of nothing yet: scores and label ids, [N, K] each."""
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
        scores: [N, C]; infinitely small ones are no answer.
        label_ids: [C], each once; none is in the lists.
        best, best_ids: best first.
    """
    size = scores.shape[1]
    k = min(best.shape[1], size)
    # As many columns as there are scores in K of them.
    width = min(max(int(math.sqrt(size * k)), k), size)
    maxima = np.empty(width, np.float32)
    several = np.empty(k, np.float32)
    largest = np.empty(width, np.float32)
    for row in range(len(scores)):
        own, kept, ids = scores[row], best[row], best_ids[row]
        _maxima(own, maxima)
        # K columns' maxima are at least this.
        _maxima(maxima, several)
        bound = several[0]
        for one in several:
            bound = min(bound, one)
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
                if own[place] >= bound:
                    _insert(kept, ids, own[place], label_ids[place])


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
    """Puts a label where it belongs; the last falls out."""
    rank = np.int32(0)
    for place in range(len(kept)):  # without a branch: many at a time
        rank += np.int32(kept[place] > score) | (
            np.int32(kept[place] == score) & np.int32(ids[place] < label)
        )
    # As unsigned numbers places need not be asked for their signs.
    for place in range(np.uint64(rank), np.uint64(len(kept))):
        old, old_id = kept[place], ids[place]
        kept[place], ids[place] = score, label
        score, label = old, old_id
