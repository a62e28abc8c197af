"""Cosines between rows and labels' centroids.

# N instances, D features, E features of all rows, L labels, W weights of
# the index, K best
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import compiled, prefetching

_LISTS_AHEAD = 2  # how early a feature's weights are fetched
_FETCHED = 160  # as many: the processor foresees those after them
_PER_LINE = 16  # weights of a cache line

# Compiled loops read names of their own module.
_keep_best, _fetch = best_lib.keep_best, prefetching.fetch


@compiled.loop
def keep_best(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    index_splits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    dropped: np.ndarray,
    label_ids: np.ndarray,
    most_listed: int,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> None:
    """Writes the labels with the largest cosines.

    A row that meets few weights lists the labels that it meets, and its cost
    does not grow with the number of labels. For one that meets many it is
    faster to sum without a list and to look at all labels.

    Args:
        splits: [N + 1], where each row's features begin.
        feature_ids, values: [E].
        index_splits: [D + 1], where a feature's weights begin.
        labels: [W], the weights' labels, unsigned.
        weights: [W], none of them of a dropped label.
        dropped: labels that are never kept.
        label_ids: [L], all labels, unsigned.
        most_listed: the most weights that a row meets to list its labels.
        best, best_ids: [N, K], empty lists.
    """
    sums = np.zeros((1, len(label_ids)), np.float32)
    # One more: it is written before it is known whether to keep.
    listed = np.empty(most_listed + 1, np.uint32)
    positive = np.empty(most_listed + 1, np.float32)
    for row in range(len(best)):
        row_ids = feature_ids[splits[row] : splits[row + 1]]
        row_values = values[splits[row] : splits[row + 1]]
        row_best, row_best_ids = best[row : row + 1], best_ids[row : row + 1]
        num_weights = 0
        for feature in row_ids:
            num_weights += index_splits[feature + 1] - index_splits[feature]
        if num_weights <= most_listed:
            size = _list_positive(
                row_ids,
                row_values,
                index_splits,
                labels,
                weights,
                sums[0],
                listed,
                positive,
            )
            if size >= best.shape[1]:
                _keep_best(
                    positive[:size].reshape(1, -1),
                    listed[:size],
                    row_best,
                    row_best_ids,
                )
                continue
        _add_cosines(
            row_ids, row_values, index_splits, labels, weights, sums[0]
        )
        for label in dropped:
            sums[0, label] = -np.inf
        _keep_best(sums, label_ids, row_best, row_best_ids)
        sums[:] = 0


@compiled.loop
def _add_cosines(row_ids, row_values, index_splits, labels, weights, sums):
    """Adds the products of one row with all labels to sums [L]."""
    for position in range(len(row_ids)):
        _fetch_ahead(row_ids, position, index_splits, labels, weights)
        feature, value = row_ids[position], row_values[position]
        for place in range(
            np.uint64(index_splits[feature]),
            np.uint64(index_splits[feature + 1]),
        ):
            sums[labels[place]] += value * weights[place]


@compiled.loop
def _fetch_ahead(row_ids, position, index_splits, labels, weights):
    """Fetches the beginning of a later feature's weights."""
    if position + _LISTS_AHEAD >= len(row_ids):
        return
    feature = row_ids[position + _LISTS_AHEAD]
    start = index_splits[feature]
    for place in range(
        np.uint64(start),
        np.uint64(min(index_splits[feature + 1], start + _FETCHED)),
        np.uint64(_PER_LINE),
    ):
        _fetch(labels, place)
        _fetch(weights, place)


@compiled.loop
def _list_positive(
    row_ids,
    row_values,
    index_splits,
    labels,
    weights,
    sums,
    listed,
    positive,
):
    """Lists the labels whose cosines with a row are above 0, and the cosines.

    Sums [L] are zeros before and after. Returns how many labels are listed.
    """
    num_listed = num_positive = np.uint64(0)  # no check for being negative
    for position in range(len(row_ids)):
        _fetch_ahead(row_ids, position, index_splits, labels, weights)
        feature, value = row_ids[position], row_values[position]
        for place in range(
            np.uint64(index_splits[feature]),
            np.uint64(index_splits[feature + 1]),
        ):
            label, product = labels[place], value * weights[place]
            old = sums[label]
            # Always written, kept if new: no branch to predict.
            listed[num_listed] = label
            num_listed += np.uint64((old == 0) & (product != 0))
            sums[label] = old + product
    for position in range(num_listed):
        label = listed[position]
        total = sums[label]
        sums[label] = 0  # so that a label listed twice counts once
        listed[num_positive], positive[num_positive] = label, total
        num_positive += np.uint64(total > 0)
    return num_positive
