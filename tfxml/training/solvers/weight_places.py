"""Finds a place in the weight table for each weight of a re-ranker.

# L labels, D features, F weights per label on average, W weights

See `weight_table` for how places follow from hashes and shifts.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfxml.cpu import compiled, place_loops
from tfxml.data import shared_memory
from tfxml.models import place_hashes, weight_table

# Compiled loops read names of their own module.
_group_in_label, _place_of = place_loops.group_of, place_loops.place_of
_NUM_SHIFTS = 1 << 12  # to try
_STEP = 2531  # from one shift to the next; odd, so that all are tried


class _Weights(NamedTuple):
    """The weights to be placed, [W] each."""

    labels: np.ndarray  # int32
    features: np.ndarray  # int32
    values: np.ndarray  # float32


class _Groups(NamedTuple):
    """Groups of weights that share a shift."""

    by_size: np.ndarray  # the groups, the largest first
    labels: np.ndarray  # their labels, in the same order
    starts: np.ndarray  # where each group's weights begin in `order`
    order: np.ndarray  # [W] int32, the weights by group


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
    weights = _Weights(
        labels.astype(np.int32, copy=False),
        features.astype(np.int32, copy=False),
        kernel.astype(np.float32, copy=False),
    )
    starts = np.zeros(num_labels + 1, np.int64)
    _add_counts(weights.labels, starts)
    starts = np.cumsum(starts)
    splits = (
        starts
        + starts // weight_table.WEIGHTS_PER_GAP
        + np.arange(num_labels + 1)
    )
    num_groups = place_hashes.groups_before(num_places, num_labels)
    table = weight_table.Table(
        splits.astype(np.int32),
        shared_memory.zeros(num_groups, np.int32),
        shared_memory.zeros(num_places, np.int32),
        shared_memory.zeros(num_places, np.float32),
        bias.astype(np.float32),
    )
    table.features[:] = num_features
    _fill(weights, _groups(weights, table.splits, num_groups), table)
    return table


@compiled.loop
def _add_counts(labels, counts):
    """Adds each label's number of weights to the number after it."""
    for label in labels:
        counts[label + 1] += 1


def _groups(weights: _Weights, splits: np.ndarray, num_groups: int) -> _Groups:
    """Returns the groups of weights, by their first hash.

    The largest groups come first, while most places are free.
    """
    num_labels = len(splits) - 1
    label_groups = place_hashes.groups_before(
        splits, np.arange(num_labels + 1, dtype=np.int32)
    )
    starts = np.zeros(num_groups + 1, np.int32)
    order = np.empty(len(weights.values), np.int32)
    _sort_by_group(weights, label_groups, starts, order)
    num_used = label_groups[-1]
    sizes = np.diff(starts[: num_used + 1]).astype(np.int16)
    by_size = np.argsort(-sizes, kind="stable")
    labels = np.arange(num_labels, dtype=np.int32)
    return _Groups(
        by_size,
        np.repeat(labels, np.diff(label_groups))[by_size],
        starts,
        order,
    )


@compiled.loop
def _sort_by_group(weights, label_groups, starts, order):
    """Writes where groups start, and the weights by group."""
    ends = starts[1:]
    for weight in range(len(order)):
        ends[_group_of(weights, weight, label_groups)] += 1
    for group in range(len(ends)):
        starts[group + 1] += starts[group]
    # A group's end is moved from its start while it is filled.
    for group in range(len(ends) - 1, 0, -1):
        ends[group] = ends[group - 1]
    ends[0] = 0
    for weight in range(len(order)):
        group = _group_of(weights, weight, label_groups)
        order[ends[group]] = weight
        ends[group] += 1


@compiled.loop
def _group_of(weights, weight, label_groups):
    """Returns a weight's group, as `weight_table.look_up` computes it."""
    label = weights.labels[weight]
    group = label_groups[label]
    num_groups = label_groups[label + 1] - group
    return group + _group_in_label(weights.features[weight], num_groups)


@compiled.loop
def _fill(weights, groups, table):
    """Finds each group's shift and stores its weights at their places.

    If no shift gives all of them a free place, the smallest weight is left out,
    and so on: two with the same second and third hash never fit.
    """
    no_feature = table.features[-1]
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
        size = table.splits[label + 1] - first
        num_members = len(members)
        num_placed = shift = trial = 0
        while num_placed < num_members:
            member = members[num_placed]
            feature = weights.features[member]
            position = first + _place_of(feature, shift, size)
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
