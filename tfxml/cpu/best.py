"""Keeps the best labels of many scores.

# N instances, C labels of a block, K best

Of equal scores the first label is better, as in `tf.math.top_k`. The C scores
are arranged in columns. The K best are in the columns with the K best maxima,
so only those columns are searched. What is found there is put in order once, at
the end: a list kept in order would move half of its labels for each new one.

A label and its score are one integer, a key: of two keys the larger is better.
"""

from __future__ import annotations

import math

import numpy as np

from tfxml.cpu import compiled

NO_LABEL = np.iinfo(np.int32).max
_COLUMNS = 4  # for each of the K best: in few of them are two of the K
_HALVINGS = 12
_SORTED_AT_ONCE = 16  # keys that are compared with each other
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
    width = num_columns(size, k)
    depth = (size + width - 1) // width  # scores of a column
    maxima = np.empty(width, np.float32)
    columns = np.empty(width + 1, np.uint32)
    found = room(best.shape[1], depth)
    places = np.empty(len(found), np.uint32)
    at_once = len(places) // depth  # columns
    for row in range(len(scores)):
        row_scores = scores[row]
        num_found = _start(best[row], best_ids[row], found)
        least = _worst(best[row], best_ids[row])
        bound, number = list_columns(
            row_scores, k, best[row, -1], np.float32(0), maxima, columns
        )
        for first in range(0, number, at_once):
            num_places = np.uint64(0)  # no check for being negative
            for column in columns[first : min(first + at_once, number)]:
                for position in range(
                    np.uint64(column), np.uint64(size), np.uint64(width)
                ):
                    # Always written, kept if good: no branch to predict.
                    places[num_places] = position
                    num_places += np.uint64(row_scores[position] >= bound)
            num_found, least = _keep(
                row_scores,
                label_ids,
                places[:num_places],
                found,
                num_found,
                least,
                best.shape[1],
            )
        finish(found[:num_found], best[row], best_ids[row])


@compiled.loop
def num_columns(size: int, k: int) -> int:
    """Returns in how many columns C scores are arranged.

    About as many as there are scores in K of them.
    """
    return min(max(int(math.sqrt(size * k)), k), size)


@compiled.loop
def list_columns(
    scores: np.ndarray,
    k: int,
    least: np.floating,
    slack: np.floating,
    maxima: np.ndarray,
    columns: np.ndarray,
) -> tuple[np.floating, np.integer]:
    """Lists the columns in which the k best scores are.

    Args:
        scores: [C].
        k: at most the number of columns.
        least: worse scores are not wanted.
        slack: how much worse than the k best scores still are wanted.
        maxima: [columns], overwritten.
        columns: [columns + 1], where they are listed.

    Returns:
        A number that no wanted score is below, and how many columns there are.
    """
    _maxima(scores, maxima)
    return list_from_maxima(maxima, k, least, slack, columns)


@compiled.loop
def list_from_maxima(
    maxima: np.ndarray,
    k: int,
    least: np.floating,
    slack: np.floating,
    columns: np.ndarray,
) -> tuple[np.floating, np.integer]:
    """Does what `list_columns` does, from the maxima of any groups."""
    fewer = np.empty(min(_COLUMNS * k, len(maxima)), np.float32)
    _maxima(maxima, fewer)
    bound = max(_bound(fewer, k), least) - slack
    number = np.uint64(0)  # no check for being negative
    for column in range(len(maxima)):
        # Always written, kept if large: no branch to predict.
        columns[number] = column
        number += np.uint64(maxima[column] >= bound)
    return bound, number


@compiled.loop
def key(score: np.floating, label: np.integer | int) -> np.integer:
    """Returns the key of a label with a float32 score."""
    bits = np.int64(np.float32(score + np.float32(0)).view(np.int32))  # no -0
    bits ^= (bits >> 32) & NO_LABEL  # so that negative scores ascend
    return (bits << 32) | (NO_LABEL - np.int64(label))


@compiled.loop
def room(k: int, at_once: int) -> np.ndarray:
    """Returns where keys are collected, some at once."""
    # Seldom filled: bounds leave little beside the K best.
    return np.empty(4 * k + at_once + 64, np.int64)


@compiled.loop
def _keep(scores, label_ids, places, found, num_found, least, k):
    """Adds the keys of scores at some places.

    Returns:
        How many keys there are, and one that no wanted key is below.
    """
    for place in places:
        if num_found == len(found):
            num_found, least = drop_worst(found, k)
        new = key(scores[place], label_ids[place])
        # Always written, kept if good: no branch to predict.
        found[num_found] = new
        num_found += new > least
    return num_found, least


@compiled.loop
def _start(best, best_ids, found):
    """Writes the keys of a list [K]; returns their number."""
    num_found = 0
    while num_found < len(best) and best_ids[num_found] != NO_LABEL:
        found[num_found] = key(best[num_found], best_ids[num_found])
        num_found += 1
    return num_found


@compiled.loop
def _worst(best, best_ids):
    """Returns the key above which a label belongs into a list [K]."""
    if best_ids[-1] == NO_LABEL:
        return key(best[-1], 0)  # above all labels of score -inf
    return key(best[-1], best_ids[-1])


@compiled.loop
def _bound(maxima, k):
    """Returns a number that k maxima, and few more, are not below.

    It counts them for a number halfway to the largest, again and again. To find
    the k-th largest takes longer: a processor cannot predict the comparisons.
    """
    bound = largest = maxima[0]
    for maximum in maxima:
        bound = maximum if maximum < bound else bound
        largest = maximum if maximum > largest else largest
    for _ in range(_HALVINGS):
        middle = np.float32(0.5) * (bound + largest)
        number = np.int32(0)
        for maximum in maxima:  # no branch: the compiler vectorises it
            number += np.int32(maximum >= middle)
        if number >= k:
            bound = middle
        else:
            largest = middle
        if k <= number <= k + k // 16:
            break
    return bound


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
def drop_worst(found: np.ndarray, k: int) -> tuple[int, np.integer]:
    """Moves the k largest keys to the front, in any order.

    Args:
        found: [k or more], distinct.
        k: at least 1.

    Returns:
        k, and the least of the k.
    """
    return k, _at_rank(found, k)


@compiled.loop
def finish(found: np.ndarray, best: np.ndarray, best_ids: np.ndarray) -> None:
    """Writes the K best of what was found, best first.

    Args:
        found: keys; they are reordered.
        best, best_ids: [K]; with fewer keys, their ends stay.
    """
    if len(found) > 2 * len(best):
        drop_worst(found, len(best))
        found = found[: len(best)]
    in_order = _descending(found)
    for rank in range(min(len(found), len(best))):
        bits = in_order[rank] >> 32
        bits ^= (bits >> 32) & NO_LABEL
        best[rank] = np.int32(bits).view(np.float32)
        best_ids[rank] = NO_LABEL - (in_order[rank] & NO_LABEL)


@compiled.loop
def _descending(keys):
    """Returns distinct keys in order; it overwrites them."""
    size, width = len(keys), _SORTED_AT_ONCE
    source, target = keys, np.empty(size, np.int64)
    for start in range(0, size, width):
        few = source[start : start + width]
        for one in few:
            rank = start
            for other in few:  # no branch: the compiler vectorises it
                rank += other > one
            target[rank] = one
    while width < size:
        source, target = target, source
        for start in range(0, size, 2 * width):
            middle = min(start + width, size)
            end = min(middle + width, size)
            left, right, place = start, middle, start
            while left < middle and right < end:
                is_left = source[left] > source[right]
                target[place] = source[left] if is_left else source[right]
                left += is_left
                right += not is_left
                place += 1
            for rest in source[left:middle]:
                target[place] = rest
                place += 1
            for rest in source[right:end]:
                target[place] = rest
                place += 1
        width *= 2
    return target
