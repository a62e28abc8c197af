"""Cosines between rows and labels' centroids.

# N instances, D features, E features of all rows, L labels, P pages of labels,
# K best
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import compiled

_keep_best = best_lib.keep_best  # compiled loops read names of their own module


@compiled.loop
def add_cosines(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    page_splits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds the cosines of all rows and labels to sums [N, L].

    Args:
        splits: [N + 1], where each row's features begin.
        feature_ids, values: [E].
        page_splits, labels, weights: of `centroid.Table`; the labels are
            unsigned.
        sums: [N, L].
    """
    for row in range(len(sums)):
        row_sums = sums[row]
        for position in range(splits[row], splits[row + 1]):
            feature, value = feature_ids[position], values[position]
            for page in range(page_splits[feature], page_splits[feature + 1]):
                page_labels, page_weights = labels[page], weights[page]
                for slot in range(len(page_labels)):
                    row_sums[page_labels[slot]] += value * page_weights[slot]


@compiled.loop
def keep_positive(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    page_splits: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    num_labels: int,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> np.ndarray:
    """Merges the labels with cosines above 0 into the lists, [N, K].

    The cost does not grow with the number of labels.

    Args:
        splits, feature_ids, values, page_splits, labels, weights: as in
            `add_cosines`.
        num_labels: L.
        best, best_ids: [N, K], best first.

    Returns:
        [N], whether a row has fewer than K such labels. Its lists are then
        left as they were.
    """
    num_rows, k = best.shape
    has_few = np.zeros(num_rows, np.bool_)
    capacity = _most_pages(splits, feature_ids, page_splits) * labels.shape[1]
    positive_ids = np.empty(capacity + 1, np.uint32)
    positive = np.empty(capacity + 1, np.float32)
    sums = np.zeros(num_labels, np.float32)
    for row in range(num_rows):
        num_touched = num_positive = np.uint64(
            0
        )  # unsigned: no check for being negative
        for position in range(splits[row], splits[row + 1]):
            feature, value = feature_ids[position], values[position]
            for page in range(page_splits[feature], page_splits[feature + 1]):
                page_labels, page_weights = labels[page], weights[page]
                for slot in range(len(page_labels)):
                    label, product = (
                        page_labels[slot],
                        value * page_weights[slot],
                    )
                    old = sums[label]
                    # Always written, kept if new: no branch to predict.
                    positive_ids[num_touched] = label
                    num_touched += np.uint64((old == 0) & (product != 0))
                    sums[label] = old + product
        for position in range(num_touched):
            label = positive_ids[position]
            total = sums[label]
            sums[label] = 0  # so that a label listed twice counts once
            positive_ids[num_positive], positive[num_positive] = label, total
            num_positive += np.uint64(total > 0)
        if num_positive < k:
            has_few[row] = True
            continue
        _keep_best(
            positive[:num_positive].reshape(1, -1),
            positive_ids[:num_positive],
            best[row : row + 1],
            best_ids[row : row + 1],
        )
    return has_few


@compiled.loop
def _most_pages(splits, feature_ids, page_splits):
    """Returns the largest number of pages that a row's features have."""
    most = 0
    for row in range(len(splits) - 1):
        num_pages = 0
        for position in range(splits[row], splits[row + 1]):
            feature = feature_ids[position]
            num_pages += page_splits[feature + 1] - page_splits[feature]
        most = max(most, num_pages)
    return most
