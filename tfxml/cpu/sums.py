"""Products of sparse rows with dense kernels and with re-ranker weights.

# N instances, D features, E features of all rows, H units, S candidates of an
# instance

The loops take array after array: Numba needs some microseconds to unpack a
named tuple, which slows a single query by a tenth.
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled, place_loops
from tfxml.models import place_hashes

_DIGIT_BITS = 8  # of a radix sort
_DIGITS = 1 << _DIGIT_BITS
_LAST_DIGIT = _DIGITS - 1
_LOOK_UP = 40  # so many weights are read in the time of looking one up

# Compiled loops read names of their own module.
_group_of, _place_of = place_loops.group_of, place_loops.place_of
_PLACES_PER_GROUP = place_hashes.PLACES_PER_GROUP


@compiled.loop
def add_products(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    kernel: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds rows times the kernel [D, H] to the first H columns of sums.

    Args:
        splits: [N + 1], where each row's features begin.
        feature_ids, values: [E].
        kernel: [D, H].
        sums: [N, H or more].
    """
    num_units = kernel.shape[1]
    for row in range(len(sums)):
        row_sums = sums[row]
        position, end = splits[row], splits[row + 1]
        while position + 3 < end:  # four at a time read and write the sums once
            first = kernel[feature_ids[position]]
            second = kernel[feature_ids[position + 1]]
            third = kernel[feature_ids[position + 2]]
            fourth = kernel[feature_ids[position + 3]]
            value_1, value_2 = values[position], values[position + 1]
            value_3, value_4 = values[position + 2], values[position + 3]
            for unit in range(num_units):
                row_sums[unit] += (
                    value_1 * first[unit]
                    + value_2 * second[unit]
                    + value_3 * third[unit]
                    + value_4 * fourth[unit]
                )
            position += 4
        while position < end:
            first, value_1 = kernel[feature_ids[position]], values[position]
            for unit in range(num_units):
                row_sums[unit] += value_1 * first[unit]
            position += 1


@compiled.loop
def in_order(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of labels in ascending order, and the labels there.

    Equal ones stay in order. A radix sort: its time does not depend on what
    a processor can predict.

    Args:
        labels: [P], not negative.

    Returns:
        [P] each, unsigned.
    """
    size = len(labels)
    places, ordered = np.empty(size, np.uint32), np.empty(size, np.uint32)
    old_places, old = np.empty(size, np.uint32), np.empty(size, np.uint32)
    largest = np.uint32(0)
    for place in range(size):
        label = np.uint32(labels[place])
        places[place], ordered[place] = place, label
        largest = max(largest, label)
    starts = np.empty(_DIGITS, np.int64)
    shift = 0
    while largest >> shift:
        places, old_places = old_places, places
        ordered, old = old, ordered
        starts[:] = 0
        for label in old:
            starts[(label >> shift) & _LAST_DIGIT] += 1
        start = 0
        for digit in range(_DIGITS):
            number = starts[digit]
            starts[digit] = start
            start += number
        for place in range(size):
            digit = (old[place] >> shift) & _LAST_DIGIT
            target = np.uint64(starts[digit])
            ordered[target], places[target] = old[place], old_places[place]
            starts[digit] += 1
        shift += _DIGIT_BITS
    return places, ordered


@compiled.loop
def add_margins(
    splits: np.ndarray,
    feature_ids: np.ndarray,
    values: np.ndarray,
    label_splits: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    shifts: np.ndarray,
    pairs: np.ndarray,
    labels: np.ndarray,
    num_candidates: int,
    dense: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Adds the re-ranker's products of rows and candidates to sums [N S].

    A label's weights are scattered into a dense vector once for all of its
    rows; where a label has a single row, the row's values are. Where rows have
    few features, they are looked up by their hashes.

    Args:
        splits, feature_ids, values: of the rows, as in `add_products`.
        label_splits, features, kernel, shifts: of the re-ranker's
            `weight_table.Table`; the features are unsigned. No shifts: nothing
            is looked up.
        pairs: which of the N S pairs of a row and a candidate, by label.
        labels: of the pairs.
        size: S.
        dense: [D + 1], zeros before and after.
        sums: [N S].
    """
    pair_end = 0
    while pair_end < len(pairs):
        first_pair, label = pair_end, labels[pair_end]
        while pair_end < len(pairs) and labels[pair_end] == label:
            pair_end += 1
        label_start, label_end = label_splits[label], label_splits[label + 1]
        label_features, label_values = (
            features[label_start:label_end],
            kernel[label_start:label_end],
        )
        num_features = 0
        for pair in pairs[first_pair:pair_end]:
            row = pair // num_candidates
            num_features += splits[row + 1] - splits[row]
        if len(shifts) and num_features * _LOOK_UP < len(label_features):
            first_group = label_start // _PLACES_PER_GROUP + label
            last_group = label_end // _PLACES_PER_GROUP + label
            label_shifts = shifts[first_group : last_group + 1]
            for pair in pairs[first_pair:pair_end]:
                row = pair // num_candidates
                sums[pair] += _looked_up(
                    feature_ids[splits[row] : splits[row + 1]],
                    values[splits[row] : splits[row + 1]],
                    label_features,
                    label_values,
                    label_shifts,
                )
            continue
        if pair_end > first_pair + 1:
            _scatter(label_features, label_values, dense)
        for pair in pairs[first_pair:pair_end]:
            row_start, row_end = (
                splits[pair // num_candidates],
                splits[pair // num_candidates + 1],
            )
            row_features, row_values = (
                feature_ids[row_start:row_end],
                values[row_start:row_end],
            )
            if pair_end > first_pair + 1:
                sums[pair] += _product(row_features, row_values, dense)
                continue
            _scatter(row_features, row_values, dense)
            sums[pair] += _product(label_features, label_values, dense)
            _clear(row_features, dense)
        if pair_end > first_pair + 1:
            _clear(label_features, dense)


@compiled.loop
def _scatter(feature_ids, values, dense):
    for position in range(len(feature_ids)):
        dense[feature_ids[position]] += values[position]


@compiled.loop
def _clear(feature_ids, dense):
    for feature in feature_ids:
        dense[feature] = 0


@compiled.loop
def _looked_up(feature_ids, values, label_features, label_values, shifts):
    """Returns the product of a row and a label's weights."""
    total = np.float32(0)
    for position in range(len(feature_ids)):
        feature = feature_ids[position]
        shift = shifts[_group_of(feature, len(shifts))]
        place = _place_of(feature, shift, len(label_features))
        if label_features[place] == feature:
            total += values[position] * label_values[place]
    return total


@compiled.loop
def _product(feature_ids, values, dense):
    """Returns the product of a sparse and a dense vector.

    Four sums: no addition waits for the one before it.
    """
    sum_1 = sum_2 = sum_3 = sum_4 = np.float32(0)
    position, end = 0, len(feature_ids)
    while position + 3 < end:
        sum_1 += dense[feature_ids[position]] * values[position]
        sum_2 += dense[feature_ids[position + 1]] * values[position + 1]
        sum_3 += dense[feature_ids[position + 2]] * values[position + 2]
        sum_4 += dense[feature_ids[position + 3]] * values[position + 3]
        position += 4
    while position < end:
        sum_1 += dense[feature_ids[position]] * values[position]
        position += 1
    return sum_1 + sum_2 + (sum_3 + sum_4)
