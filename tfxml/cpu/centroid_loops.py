"""The labels whose centroids are like an instance.

# N instances, D features, E features of all rows, L labels, P pages of labels,
# K best
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import compiled

_keep_best = best_lib.keep_best


@compiled.loop
def add_cosines(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    page_splits: np.ndarray,
    labels: np.ndarray,
    kernel: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds the rows' cosines to centroids to sums [N, L].

    Args:
        splits: [N + 1], where a row's features begin.
        feature_ids, values: [E].
        page_splits, labels, kernel: of `centroids.Table`.
        sums: [N, L].
    """
    for row in range(len(sums)):
        own = sums[row]
        for place in range(splits[row], splits[row + 1]):
            feature, value = feature_ids[place], values[place]
            for page in range(page_splits[feature], page_splits[feature + 1]):
                some, weights = labels[page], kernel[page]
                for slot in range(len(some)):
                    own[some[slot]] += value * weights[slot]


@compiled.loop
def keep_positive(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    page_splits: np.ndarray,
    labels: np.ndarray,
    kernel: np.ndarray,
    num_labels: int,
    best: np.ndarray,
    best_ids: np.ndarray,
) -> np.ndarray:
    """Adds the labels with cosines above 0 to the lists of the best, [N, K].

    The cost does not grow with the number of labels. The arguments are else
    those of `add_cosines`.

    Returns:
        [N], which rows have fewer than K such labels. Their lists stay.
    """
    num_rows, k = best.shape
    has_few = np.zeros(num_rows, np.bool_)
    most = 0
    for row in range(num_rows):
        size = 0
        for place in range(splits[row], splits[row + 1]):
            feature = feature_ids[place]
            size += page_splits[feature + 1] - page_splits[feature]
        most = max(most, size)
    found_ids = np.empty(most * labels.shape[1] + 1, np.uint32)
    found = np.empty(len(found_ids), np.float32)
    sums = np.zeros(num_labels, np.float32)
    for row in range(num_rows):
        number = left = np.uint64(0)  # no place has a sign to ask for
        for place in range(splits[row], splits[row + 1]):
            feature, value = feature_ids[place], values[place]
            for page in range(page_splits[feature], page_splits[feature + 1]):
                some, weights = labels[page], kernel[page]
                for slot in range(len(some)):
                    label, part = some[slot], value * weights[slot]
                    old = sums[label]
                    # Written in any case, kept if it is new: no branch.
                    found_ids[number] = label
                    number += np.uint64((old == 0) & (part != 0))
                    sums[label] = old + part
        for place in range(number):
            label = found_ids[place]
            total = sums[label]
            sums[label] = 0  # so that none is found twice
            found_ids[left], found[left] = label, total
            left += np.uint64(total > 0)
        if left < k:
            has_few[row] = True
            continue
        _keep_best(
            found[:left].reshape(1, -1),
            found_ids[:left],
            best[row : row + 1],
            best_ids[row : row + 1],
        )
    return has_few
