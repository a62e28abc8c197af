"""Estimates of all labels from their buckets' scores.

# N instances, L labels, R repetitions, T buckets of all repetitions, K best
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import compiled, lanes

_GROUP = 16  # labels of a group
_LANES = lanes.LANES

# Compiled loops read names of their own module.
_mean = lanes.mean
_keep_best, _room, _key = best_lib.keep_best, best_lib.room, best_lib.key
_drop_worst, _finish = best_lib.drop_worst, best_lib.finish
_NO_LABEL = best_lib.NO_LABEL


@compiled.loop
def means(
    terms: np.ndarray, buckets: np.ndarray, estimates: np.ndarray
) -> None:
    """Writes the mean over repetitions of each label's terms.

    Args:
        terms: [N, T], buckets' logits or probabilities.
        buckets: [R, L] unsigned integers, each label's bucket among the
            buckets of all repetitions.
        estimates: [N, L].
    """
    num_repetitions = len(buckets)
    reciprocal = np.float32(1 / num_repetitions)
    for row in range(len(estimates)):
        row_terms, row_estimates = terms[row], estimates[row]
        row_estimates[:] = 0
        for repetition in range(num_repetitions):
            label_buckets = buckets[repetition]
            for label in range(len(row_estimates)):
                row_estimates[label] += row_terms[label_buckets[label]]
        for label in range(len(row_estimates)):
            row_estimates[label] *= reciprocal


@compiled.loop
def keep_best_means(
    terms: np.ndarray,
    buckets: np.ndarray,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> None:
    """Writes the labels with the largest of what `means` writes.

    Terms of a few rows are side by side and read together, so it takes a third
    of the time, and the same bits result.

    Args:
        terms, buckets: as in `means`.
        best, best_ids: [N, K], empty lists.
    """
    num_labels = buckets.shape[1]
    num_groups = (num_labels + _GROUP - 1) // _GROUP
    columns = np.zeros((terms.shape[1], _LANES), np.float32)
    estimates = np.empty((num_labels, _LANES), np.float32)
    maxima = np.empty((_LANES, num_groups), np.float32)
    group_ids = np.arange(num_groups).astype(np.uint32)
    num_kept = min(best.shape[1], num_groups)
    kept_maxima = np.empty((_LANES, num_kept), np.float32)
    kept_groups = np.empty((_LANES, num_kept), np.int32)
    found = _room(best.shape[1], _GROUP)
    no_label = _key(np.float32(-np.inf), 0)
    for first in range(0, len(terms), _LANES):
        num_rows = min(_LANES, len(terms) - first)
        _transpose(terms[first : first + num_rows], columns)
        _write_means(columns, buckets, estimates)
        _write_maxima(estimates, maxima)
        kept_maxima[:] = -np.inf
        kept_groups[:] = _NO_LABEL
        _keep_best(
            maxima[:num_rows],
            group_ids,
            kept_maxima[:num_rows],
            kept_groups[:num_rows],
        )
        for lane in range(num_rows):
            least = no_label
            if num_kept == best.shape[1]:  # as many labels are as good
                least = max(least, _key(kept_maxima[lane, -1], num_labels))
            _keep_of_groups(
                estimates,
                lane,
                kept_groups[lane],
                least,
                found,
                best[first + lane],
                best_ids[first + lane],
            )


@compiled.loop
def _transpose(rows, columns):
    """Writes rows [n, T] to columns [T, 8]; the other lanes stay."""
    for start in range(0, len(columns), _LANES):
        part = columns[start : start + _LANES]
        for lane in range(len(rows)):
            row = rows[lane]
            for offset in range(len(part)):
                part[offset, lane] = row[start + offset]


@compiled.loop
def _write_means(columns, buckets, estimates):
    """Writes the mean over repetitions of labels' columns, [L, 8]."""
    reciprocal = np.float32(1 / len(buckets))
    terms, means = columns.reshape(-1), estimates.reshape(-1)
    for label in range(np.uint64(len(estimates))):
        _mean(terms, buckets, label, reciprocal, means)


@compiled.loop
def _write_maxima(estimates, maxima):
    """Writes the largest estimate of each group of labels, [8, G]."""
    for group in range(maxima.shape[1]):
        members = estimates[group * _GROUP : (group + 1) * _GROUP]
        for lane in range(_LANES):
            largest = members[0, lane]
            for label in range(1, len(members)):
                estimate = members[label, lane]
                largest = estimate if estimate > largest else largest
            maxima[lane, group] = largest


@compiled.loop
def _keep_of_groups(estimates, lane, groups, least, found, best, best_ids):
    """Writes the best labels of the groups with the best maxima.

    As many groups as labels are kept: each of them has a label that is as good
    as any of another group. Keys above `least` are kept.
    """
    num_labels, num_found = len(estimates), 0
    for group in groups:
        start = group * _GROUP
        if num_found + _GROUP > len(found):
            num_found, least = _drop_worst(found[:num_found], len(best))
        for label in range(start, min(start + _GROUP, num_labels)):
            new = _key(estimates[label, lane], label)
            # Always written, kept if good: no branch to predict.
            found[num_found] = new
            num_found += new > least
    _finish(found[:num_found], best, best_ids)


@compiled.loop
def middles(
    terms: np.ndarray,
    buckets: np.ndarray,
    first: int,
    last: int,
    estimates: np.ndarray,
) -> None:
    """Writes the mean of each label's terms of the ranks [first, last).

    The smallest has rank 0: [0, 1) is the minimum, the ranks in the middle the
    median. All other arguments are as in `means`.
    """
    num_repetitions = len(buckets)
    ordered = np.empty(num_repetitions, np.float32)
    for row in range(len(estimates)):
        for label in range(buckets.shape[1]):
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
