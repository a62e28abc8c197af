"""Finds a place in the weight table for each weight of a re-ranker.

# L labels, D features, F weights per label on average, W weights

See `weight_table` for how places follow from hashes and shifts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfxml.cpu import compiled
from tfxml.models import weight_table

_BITS = weight_table.BITS  # compiled loops read names of their own module
_NUM_SHIFTS = 1 << 12  # to try
_STEP = 2531  # from one shift to the next; odd, so that all are tried


class _Weights(NamedTuple):
    """The weights to be placed, [W] each."""

    second: np.ndarray  # int32 hash of the feature
    third: np.ndarray  # int32 hash of the feature
    features: np.ndarray  # int32
    values: np.ndarray  # float32


class _Groups(NamedTuple):
    """Groups of weights that share a shift."""

    by_size: np.ndarray  # the groups, the largest first
    labels: np.ndarray  # their labels, in the same order
    starts: np.ndarray  # where each group's weights begin in `order`
    order: np.ndarray  # [W], the weights by group


def place(
    labels: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    num_features: int,
    mean_features: int,
) -> weight_table.Table:
    """Returns the table of the given weights.

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
    num_groups = weight_table.groups_before(num_places, num_labels)
    table = weight_table.Table(
        splits.astype(np.int32),
        np.zeros(num_groups, np.int32),
        np.full(num_places, num_features, np.int32),
        np.zeros(num_places, np.float32),
        bias.astype(np.float32),
    )
    first, second, third = weight_table.hashes_of(features.astype(np.int64))
    weights = _Weights(
        second.astype(np.int32),
        third.astype(np.int32),
        features.astype(np.int32, copy=False),
        kernel.astype(np.float32, copy=False),
    )
    _fill(weights, _groups(labels, first, splits), table)
    return table


def _groups(
    labels: np.ndarray, first: np.ndarray, splits: np.ndarray
) -> _Groups:
    """Returns the groups of weights, by their first hash.

    The largest groups come first, while most places are free.
    """
    num_labels = len(splits) - 1
    groups = weight_table.groups_before(splits, np.arange(num_labels + 1))
    num_groups = np.diff(groups)
    # As `weight_table.look_up` computes it.
    fraction = first.astype(np.float32) * np.float32(2.0**-_BITS)
    group_in_label = fraction * num_groups[labels].astype(np.float32)
    group_of = groups[labels] + group_in_label.astype(np.int64)
    sizes = np.bincount(group_of, minlength=groups[-1])
    by_size = np.argsort(-sizes.astype(np.int16), kind="stable")
    return _Groups(
        by_size,
        np.repeat(np.arange(num_labels), num_groups)[by_size],
        np.concatenate([[0], np.cumsum(sizes)]),
        np.argsort(group_of),
    )


@compiled.loop
def _fill(weights, groups, table):
    """Finds each group's shift and stores its weights at their places.

    If no shift gives all of them a free place, the smallest weight is left out,
    and so on: two with the same second and third hash never fit.
    """
    no_feature = table.features[-1]
    mask = (1 << _BITS) - 1
    unit = np.float32(2.0**-_BITS)
    max_size = 0
    for group in range(len(groups.by_size)):
        max_size = max(
            max_size, groups.starts[group + 1] - groups.starts[group]
        )
    places = np.empty(max_size, np.int64)
    for size_rank in range(len(groups.by_size)):
        group, label = groups.by_size[size_rank], groups.labels[size_rank]
        members = groups.order[groups.starts[group] : groups.starts[group + 1]]
        first = table.splits[label]
        size = np.float32(table.splits[label + 1] - first)
        num_members = len(members)
        num_placed = shift = trial = 0
        while num_placed < num_members:
            member = members[num_placed]
            shifted = weights.third[member] + weights.second[member] * shift
            fraction = np.float32(shifted & mask) * unit
            position = first + int(fraction * size)
            is_free = table.features[position] == no_feature
            for earlier in range(num_placed):
                is_free &= places[earlier] != position
            places[num_placed] = position
            num_placed += 1
            if is_free:
                continue
            num_placed = 0
            shift = (shift + _STEP) % _NUM_SHIFTS
            trial += 1
            if trial == _NUM_SHIFTS:
                trial = 0
                num_members -= 1
                _swap_out_smallest(weights.values, members, num_members)
        for rank in range(num_placed):
            table.features[places[rank]] = weights.features[members[rank]]
            table.kernel[places[rank]] = weights.values[members[rank]]
        table.shifts[group] = shift


@compiled.loop
def _swap_out_smallest(values, members, last):
    """Overwrites the member of the smallest weight with the last one."""
    smallest = last
    for candidate in range(last):
        if abs(values[members[candidate]]) < abs(values[members[smallest]]):
            smallest = candidate
    members[smallest] = members[last]
