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
        for place in range(splits[row], splits[row + 1]):
            feature, value = feature_ids[place], values[place]
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
    """Adds the labels with cosines above 0 to the lists of the best, [N, K].

    The cost does not grow with the number of labels.

    Args:
        splits, feature_ids, values, page_splits, labels, weights: as in
            `add_cosines`.
        num_labels: L.
        best, best_ids: [N, K], best first.

    Returns:
        [N], whether a row has fewer than K such labels. Its lists then stay.
    """
    num_rows, k = best.shape
    has_few = np.zeros(num_rows, np.bool_)
    most = _most_pages(splits, feature_ids, page_splits) * labels.shape[1]
    positive_ids = np.empty(most + 1, np.uint32)
    positive = np.empty(most + 1, np.float32)
    sums = np.zeros(num_labels, np.float32)
    for row in range(num_rows):
        number = left = np.uint64(0)  # unsigned: no check for being negative
        for place in range(splits[row], splits[row + 1]):
            feature, value = feature_ids[place], values[place]
            for page in range(page_splits[feature], page_splits[feature + 1]):
                page_labels, page_weights = labels[page], weights[page]
                for slot in range(len(page_labels)):
                    label, part = page_labels[slot], value * page_weights[slot]
                    old = sums[label]
                    # Always written, kept if new: no branch to predict.
                    positive_ids[number] = label
                    number += np.uint64((old == 0) & (part != 0))
                    sums[label] = old + part
        for place in range(number):
            label = positive_ids[place]
            total = sums[label]
            sums[label] = 0  # so that a label listed twice counts once
            positive_ids[left], positive[left] = label, total
            left += np.uint64(total > 0)
        if left < k:
            has_few[row] = True
            continue
        _keep_best(
            positive[:left].reshape(1, -1),
            positive_ids[:left],
            best[row : row + 1],
            best_ids[row : row + 1],
        )
    return has_few


@compiled.loop
def _most_pages(splits, feature_ids, page_splits):
    """Returns how many pages the features of a row have at most."""
    most = 0
    for row in range(len(splits) - 1):
        size = 0
        for place in range(splits[row], splits[row + 1]):
            feature = feature_ids[place]
            size += page_splits[feature + 1] - page_splits[feature]
        most = max(most, size)
    return most
