"""Sums over the features of sparse rows.

# N instances, D features, E features of all rows, H units, L labels, S labels
# of a candidates, T places of weights, P pages of labels
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled


@compiled.loop
def add_products(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    kernel: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds rows times the kernel [D, H] to sums [N, H].

    Args:
        splits: [N + 1], where a row's features begin.
        feature_ids, values: [E].
        kernel: [D, H].
        sums: [N, H].
    """
    for row in range(len(sums)):
        own = sums[row]
        place, end = splits[row], splits[row + 1]
        while place + 3 < end:  # four at a time, for fewer looks at the sums
            one = kernel[feature_ids[place]]
            two = kernel[feature_ids[place + 1]]
            three = kernel[feature_ids[place + 2]]
            four = kernel[feature_ids[place + 3]]
            of_one, of_two = values[place], values[place + 1]
            of_three, of_four = values[place + 2], values[place + 3]
            for unit in range(len(own)):
                own[unit] += (
                    of_one * one[unit]
                    + of_two * two[unit]
                    + of_three * three[unit]
                    + of_four * four[unit]
                )
            place += 4
        while place < end:
            one, of_one = kernel[feature_ids[place]], values[place]
            for unit in range(len(own)):
                own[unit] += of_one * one[unit]
            place += 1


@compiled.loop
def margins(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    label_splits: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    dense: np.ndarray,
    pairs: np.ndarray,
    labels: np.ndarray,
    size: int,
    sums: np.ndarray,
) -> None:
    """Adds the re-ranker's margins of pairs to sums [N S].

    A label's weights are put where their features say, once for all of its
    rows; of a label with one row alone it is the row's values.

    Args:
        splits, feature_ids, values: of the rows; see `add_products`.
        label_splits, features, kernel: of `weight_table.Table`.
        dense: [D + 1], zeros, which are left behind.
        pairs: which of the N S pairs of a row and a label, by label.
        labels: the pairs' labels.
        size: S.
        sums: [N S].
    """
    end = 0
    while end < len(pairs):
        begin, label = end, labels[end]
        while end < len(pairs) and labels[end] == label:
            end += 1
        start, stop = label_splits[label], label_splits[label + 1]
        own_ids, own_values = features[start:stop], kernel[start:stop]
        if end > begin + 1:
            _scatter(own_ids, own_values, dense)
        for pair in pairs[begin:end]:
            first, last = splits[pair // size], splits[pair // size + 1]
            row_ids, row_values = feature_ids[first:last], values[first:last]
            if end > begin + 1:
                sums[pair] += _product(row_ids, row_values, dense)
                continue
            _scatter(row_ids, row_values, dense)
            sums[pair] += _product(own_ids, own_values, dense)
            _clear(row_ids, dense)
        if end > begin + 1:
            _clear(own_ids, dense)


@compiled.loop
def _scatter(feature_ids, values, dense):
    for place in range(len(feature_ids)):
        dense[feature_ids[place]] += values[place]


@compiled.loop
def _clear(feature_ids, dense):
    for feature in feature_ids:
        dense[feature] = 0


@compiled.loop
def _product(feature_ids, values, dense):
    """Returns what is sparse times what is dense."""
    one = two = three = four = np.float32(0)  # four sums that do not wait
    place, end = 0, len(feature_ids)
    while place + 3 < end:
        one += dense[feature_ids[place]] * values[place]
        two += dense[feature_ids[place + 1]] * values[place + 1]
        three += dense[feature_ids[place + 2]] * values[place + 2]
        four += dense[feature_ids[place + 3]] * values[place + 3]
        place += 4
    while place < end:
        one += dense[feature_ids[place]] * values[place]
        place += 1
    return one + two + (three + four)
