"""Estimates of all labels from their buckets' scores.

# N instances, L labels, R repetitions, T buckets of all repetitions, K best
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import compiled, lanes, prefetching

_GROUP = 16  # labels of a group
_LABELS_AT_ONCE = 4096  # whose sums stay in the first cache
_COLUMNS = 64  # in which terms are searched
_CODES = 65535  # the largest sum of codes
_ROUNDING = np.float32(2**-22)  # relative, of a float32 sum, with room to spare
_LANES = lanes.LANES
ROWS_AT_ONCE = _LANES  # whose terms are best in memory together

# Compiled loops read names of their own module.
_largest_sum, _fetch = lanes.largest_sum, prefetching.fetch
_list_from_maxima = best_lib.list_from_maxima
_room, _key = best_lib.room, best_lib.key
_drop_worst, _finish = best_lib.drop_worst, best_lib.finish


@compiled.loop
def means(
    terms: np.ndarray,
    buckets: np.ndarray,
    start: int,
    end: int,
    estimates: np.ndarray,
) -> None:
    """Writes the mean over repetitions of the terms of labels [start, end).

    Args:
        terms: [N, T], buckets' logits or probabilities.
        buckets: [R, L] unsigned integers, each label's bucket among the
            buckets of all repetitions.
        start, end: which labels.
        estimates: [N, L].
    """
    num_repetitions = len(buckets)
    reciprocal = np.float32(1 / num_repetitions)
    for row in range(len(estimates)):
        row_terms = terms[row]
        for first in range(start, end, _LABELS_AT_ONCE):
            last = min(first + _LABELS_AT_ONCE, end)
            sums = estimates[row, first:last]
            sums[:] = 0
            for repetition in range(num_repetitions):
                label_buckets = buckets[repetition, first:last]
                for place in range(len(sums)):
                    sums[place] += row_terms[label_buckets[place]]
            for place in range(len(sums)):
                sums[place] *= reciprocal


@compiled.loop
def keep_best_means(
    terms: np.ndarray,
    buckets: np.ndarray,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> None:
    """Writes the labels with the largest of what `means` writes.

    Terms of many rows, rounded to 16 bits, are side by side and read together.
    Only groups of labels of which one can be among the best, in spite of the
    rounding, are summed as `means` does.

    Args:
        terms, buckets: as in `means`.
        best, best_ids: [N, K], empty lists.
    """
    num_labels = buckets.shape[1]
    num_groups = (num_labels + _GROUP - 1) // _GROUP
    k = min(best.shape[1], num_groups)
    codes = np.zeros((terms.shape[1], _LANES), np.uint16)
    steps, lowest = np.zeros(_LANES), np.zeros(_LANES)
    slacks = np.zeros(_LANES, np.float32)
    largest = np.empty((num_groups, _LANES), np.uint16)
    maxima = np.empty(num_groups, np.float32)
    groups = np.empty(num_groups + 1, np.uint32)
    found = _room(best.shape[1], _GROUP)
    for first in range(0, len(terms), _LANES):
        num_rows = min(_LANES, len(terms) - first)
        some = terms[first : first + num_rows]
        _round(some, len(buckets), codes, lowest, steps, slacks)
        _write_largest(codes, buckets, largest)
        for lane in range(num_rows):
            for group in range(num_groups):
                maxima[group] = largest[group, lane]
            bound, number = _list_from_maxima(
                maxima, k, np.float32(-np.inf), slacks[lane], groups
            )
            least = lowest[lane] + bound * steps[lane] / len(buckets)
            if best.shape[1] > k:  # there are fewer groups than labels to keep
                least = -np.inf
            _keep_of_groups(
                some[lane],
                buckets,
                groups[:number],
                np.float32(least),
                found,
                best[first + lane],
                best_ids[first + lane],
            )


@compiled.loop
def _round(terms, num_repetitions, codes, lowest, steps, slacks):
    """Writes the codes [T, LANES] of the terms of n rows.

    A term is at most half a step away from `lowest + code * step`, and a sum of
    codes is within 16 bits. A label among the best has a sum of codes that is
    at most `slack` less than the sums of as many other labels.
    """
    largest_code = np.float32(_CODES // num_repetitions)
    by_row = np.empty(terms.shape, np.uint16)
    for lane in range(len(terms)):
        row = terms[lane]
        least, most = _range(row)
        scale = largest_code / (most - least)
        if not 0 < scale < np.inf:
            scale = np.float32(0)  # all sums are equal, and all are in question
        row_codes = by_row[lane]
        for place in range(len(row)):
            code = (row[place] - least) * scale + np.float32(0.5)
            code = code if code > 0 else np.float32(0)
            row_codes[place] = np.uint16(np.int32(code))
        lowest[lane] = least
        steps[lane] = 1 / scale if scale > 0 else np.inf
        # Sums of terms are rounded to float32 too.
        rounding = max(abs(least), abs(most)) * scale * _ROUNDING
        slacks[lane] = num_repetitions * (1 + rounding * num_repetitions) + 2
    for start in range(0, len(codes), _LANES):  # a block fits into a cache
        block = codes[start : start + _LANES]
        for lane in range(len(terms)):
            row_codes = by_row[lane, start : start + _LANES]
            for offset in range(len(block)):
                block[offset, lane] = row_codes[offset]


@compiled.loop
def _range(terms):
    """Returns the least and the largest of terms, but for -inf.

    (-inf is the term of dropped labels.) Of many columns at once: it becomes
    vector instructions.
    """
    least = np.full(_COLUMNS, np.inf, np.float32)
    most = np.full(_COLUMNS, -np.inf, np.float32)
    for start in range(0, len(terms), _COLUMNS):
        part = terms[start : start + _COLUMNS]
        for column in range(len(part)):
            term = part[column]
            large = term if term > most[column] else most[column]
            small = term if term < least[column] else least[column]
            most[column] = large
            least[column] = small if small > -np.inf else least[column]
    for column in range(1, _COLUMNS):
        least[0] = min(least[0], least[column])
        most[0] = max(most[0], most[column])
    return least[0], most[0]


@compiled.loop
def _write_largest(codes, buckets, largest):
    """Writes the largest sum of codes of each group of labels, [G, LANES]."""
    num_labels = np.uint64(buckets.shape[1])
    flat = codes.reshape(-1)
    for group in range(len(largest)):
        first = np.uint64(group) * np.uint64(_GROUP)
        last = min(first + np.uint64(_GROUP), num_labels)
        _largest_sum(flat, buckets, first, last, largest[group])


@compiled.loop
def _keep_of_groups(row_terms, buckets, groups, least, found, best, best_ids):
    """Writes the best of the labels of some groups, if not below `least`."""
    num_repetitions, num_labels = buckets.shape
    reciprocal = np.float32(1 / num_repetitions)
    estimates = np.empty(_GROUP, np.float32)
    least_key, num_found = _key(np.float32(-np.inf), 0), 0
    flat = buckets.reshape(-1)
    for position in range(len(groups)):
        start = np.int64(groups[position]) * _GROUP
        size = min(_GROUP, num_labels - start)
        following = groups[min(position + 1, len(groups) - 1)] * _GROUP
        estimates[:] = 0
        for repetition in range(num_repetitions):
            _fetch(flat, np.uint64(repetition * num_labels + following))
            label_buckets = buckets[repetition, start : start + size]
            for place in range(len(label_buckets)):
                estimates[place] += row_terms[label_buckets[place]]
        if num_found + _GROUP > len(found):
            num_found, least_key = _drop_worst(found[:num_found], len(best))
        for place in range(size):
            estimate = estimates[place] * reciprocal
            if estimate >= least:
                new = _key(estimate, start + place)
                # Always written, kept if good: no branch to predict.
                found[num_found] = new
                num_found += new > least_key
    _finish(found[:num_found], best, best_ids)


@compiled.loop
def middles(
    terms: np.ndarray,
    buckets: np.ndarray,
    start: int,
    end: int,
    first: int,
    last: int,
    estimates: np.ndarray,
) -> None:
    """Writes the means of labels' terms of the ranks [first, last).

    The smallest has rank 0: [0, 1) is the minimum, the ranks in the middle the
    median. All other arguments are as in `means`.
    """
    num_repetitions = len(buckets)
    ordered = np.empty(num_repetitions, np.float32)
    for row in range(len(estimates)):
        for label in range(start, end):
            for repetition in range(num_repetitions):
                term = terms[row, buckets[repetition, label]]
                position = repetition
                while position and ordered[position - 1] > term:
                    ordered[position] = ordered[position - 1]
                    position -= 1
                ordered[position] = term
            total = np.float32(0)
            for position in range(first, last):
                total += ordered[position]
            estimates[row, label] = total / np.float32(last - first)
