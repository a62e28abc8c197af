"""Puts the weights of a re-ranker where one look finds them.

# L labels, F weights a label on average, W weights, T places, G groups of them

A label's weights lie in places found by hashes of the feature, no two in one.
A first hash tells a weight's group, and each group has a shift of its own, by
which all of its weights find free places (Belazzougui, Botelho,
Dietzfelbinger, "Hash, displace, and compress", ESA 2009).
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled
from tfxml.models import weight_table

_BITS = weight_table.BITS  # compiled loops read names of their own module
_SHIFTS = 1 << 12  # how many shifts are tried
_STEP = 2531  # odd, from the shift that is tried to the next


def place(
    labels: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    num_features: int,
    mean_features: int,
) -> weight_table.Table:
    """Returns the weights at their places.

    Args:
        labels, features, kernel: [W], each weight's label, feature and value,
            no pair of label and feature twice; W is at most L times
            `mean_features`.
        bias: [L].
        num_features: D.
        mean_features: F.
    """
    num_labels = len(bias)
    num_places = weight_table.capacity(num_labels, mean_features)
    counts = np.bincount(labels, minlength=num_labels)
    starts = np.concatenate([[0], np.cumsum(counts)])
    splits = (
        starts
        + starts // weight_table.WEIGHTS_OF_FIVE
        + np.arange(num_labels + 1)
    )
    found = weight_table.Table(
        splits.astype(np.int32),
        np.zeros(weight_table.groups_before(num_places, num_labels), np.int32),
        np.full(num_places, num_features, np.int32),
        np.zeros(num_places, np.float32),
        bias.astype(np.float32),
    )
    groups = weight_table.groups_before(splits, np.arange(num_labels + 1))
    first, *hashes = weight_table.hashes_of(features.astype(np.int64))
    num_groups = np.diff(groups)
    group_of = groups[labels] + _part(first, num_groups[labels])
    sizes = np.bincount(group_of, minlength=groups[-1])
    # The largest groups come first, while there is space.
    by_size = np.argsort(-sizes.astype(np.int16), kind="stable")
    _fill(
        splits,
        by_size,
        np.repeat(np.arange(num_labels), num_groups)[by_size],
        np.concatenate([[0], np.cumsum(sizes)]),
        np.argsort(group_of),
        *(one.astype(np.int32) for one in hashes),
        features.astype(np.int32, copy=False),
        kernel.astype(np.float32, copy=False),
        found.shifts,
        found.features,
        found.kernel,
    )
    return found


def _part(hashed: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns numbers below `sizes`, by hashes of 20 bits."""
    fraction = hashed.astype(np.float32) * np.float32(2.0**-_BITS)
    return (fraction * sizes.astype(np.float32)).astype(np.int64)


@compiled.loop
def _fill(
    splits,
    groups,
    labels,
    starts,
    order,
    second,
    third,
    features,
    kernel,
    shifts,
    places,
    weights,
):
    """Finds each group's shift and puts its weights at their places.

    `groups` come in this order, with their labels. `order` are the weights by
    group, `starts` where a group's begin. Of a group for which there is no
    shift the smallest weight is left out, as where two have the same second and
    the same third hash.
    """
    empty = places[-1]
    last = (1 << _BITS) - 1
    unit = np.float32(2.0**-_BITS)
    most = 0
    for group in range(len(groups)):
        most = max(most, starts[group + 1] - starts[group])
    found = np.empty(most, np.int64)
    for turn in range(len(groups)):
        group, label = groups[turn], labels[turn]
        some = order[starts[group] : starts[group + 1]]
        room = np.float32(splits[label + 1] - splits[label])
        left = len(some)
        number = shift = trial = 0
        while number < left:
            shifted = third[some[number]] + second[some[number]] * shift
            fraction = np.float32(shifted & last) * unit
            place = splits[label] + int(fraction * room)
            is_free = places[place] == empty
            for other in range(number):
                is_free &= found[other] != place
            found[number] = place
            number += 1
            if is_free:
                continue
            number = 0
            shift = (shift + _STEP) % _SHIFTS
            trial += 1
            if trial == _SHIFTS:
                trial = 0
                left -= 1
                least = left
                for other in range(left):
                    if abs(kernel[some[other]]) < abs(kernel[some[least]]):
                        least = other
                some[least] = some[left]
        for number in range(left):
            places[found[number]] = features[some[number]]
            weights[found[number]] = kernel[some[number]]
        shifts[group] = shift
