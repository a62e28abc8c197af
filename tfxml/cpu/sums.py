"""Products of sparse rows with dense kernels and with re-ranker weights.

# N instances, D features, E features of all rows, H units, S candidates of an
# instance

The loops take array after array: Numba needs some microseconds to unpack a
named tuple, which slows a single query by a tenth.
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
        splits: [N + 1], where each row's features begin.
        feature_ids, values: [E].
        kernel: [D, H].
        sums: [N, H].
    """
    for row in range(len(sums)):
        row_sums = sums[row]
        place, end = splits[row], splits[row + 1]
        while place + 3 < end:  # four at a time read and write the sums once
            first = kernel[feature_ids[place]]
            second = kernel[feature_ids[place + 1]]
            third = kernel[feature_ids[place + 2]]
            fourth = kernel[feature_ids[place + 3]]
            value_1, value_2 = values[place], values[place + 1]
            value_3, value_4 = values[place + 2], values[place + 3]
            for unit in range(len(row_sums)):
                row_sums[unit] += (
                    value_1 * first[unit]
                    + value_2 * second[unit]
                    + value_3 * third[unit]
                    + value_4 * fourth[unit]
                )
            place += 4
        while place < end:
            first, value_1 = kernel[feature_ids[place]], values[place]
            for unit in range(len(row_sums)):
                row_sums[unit] += value_1 * first[unit]
            place += 1


@compiled.loop
def add_margins(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    label_splits: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    pairs: np.ndarray,
    labels: np.ndarray,
    size: int,
    dense: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds the re-ranker's products of rows and candidates to sums [N S].

    A label's weights are scattered into a dense vector once for all of its
    rows; where a label has a single row, the row's values are.

    Args:
        splits, feature_ids, values: of the rows, as in `add_products`.
        label_splits, features, kernel: of the re-ranker's
            `weight_table.Table`; the features are unsigned.
        pairs: which of the N S pairs of a row and a candidate, by label.
        labels: of the pairs.
        size: S.
        dense: [D + 1], zeros before and after.
        sums: [N S].
    """
    end = 0
    while end < len(pairs):
        begin, label = end, labels[end]
        while end < len(pairs) and labels[end] == label:
            end += 1
        start, stop = label_splits[label], label_splits[label + 1]
        label_ids, label_values = features[start:stop], kernel[start:stop]
        if end > begin + 1:
            _scatter(label_ids, label_values, dense)
        for pair in pairs[begin:end]:
            first, last = splits[pair // size], splits[pair // size + 1]
            row_ids, row_values = feature_ids[first:last], values[first:last]
            if end > begin + 1:
                sums[pair] += _product(row_ids, row_values, dense)
                continue
            _scatter(row_ids, row_values, dense)
            sums[pair] += _product(label_ids, label_values, dense)
            _clear(row_ids, dense)
        if end > begin + 1:
            _clear(label_ids, dense)


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
    """Returns the product of a sparse and a dense vector.

    Four sums: no addition waits for the one before it.
    """
    sum_1 = sum_2 = sum_3 = sum_4 = np.float32(0)
    place, end = 0, len(feature_ids)
    while place + 3 < end:
        sum_1 += dense[feature_ids[place]] * values[place]
        sum_2 += dense[feature_ids[place + 1]] * values[place + 1]
        sum_3 += dense[feature_ids[place + 2]] * values[place + 2]
        sum_4 += dense[feature_ids[place + 3]] * values[place + 3]
        place += 4
    while place < end:
        sum_1 += dense[feature_ids[place]] * values[place]
        place += 1
    return sum_1 + sum_2 + (sum_3 + sum_4)
