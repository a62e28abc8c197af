"""Finds the instances that each label learns from, and reads their rows.

# N instances, L labels, S candidates of an instance, P pairs of a label and an
# instance
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from tfxml.cpu import compiled
from tfxml.data import inputs as inputs_lib
from tfxml.data import own_labels, parallel
from tfxml.data.feeding import in_memory, pipeline
from tfxml.training.solvers import label_problems

# The labels of a group have at most about this many pairs and share the rows
# that are read for them. Groups are smaller where a processor would be idle.
_PAIRS_PER_GROUP = 1 << 20
_GROUPS_PER_PROCESSOR = 8
# A split with no more features (512 MiB) is read once: a group meets most of a
# small split's rows, and copies for each processor would take more.
_MOST_ENTRIES = 1 << 26
_ROWS_PER_READ = 4096

# Compiled loops read names of their own module.
_POSITIVE = 1 << 31

Solved = TypeVar("Solved")


class AllPairs(NamedTuple):
    """The pairs of all labels in four bytes each, for they are many."""

    splits: np.ndarray  # [L + 1] int64: where a label's pairs begin
    marked: np.ndarray  # [P] uint32: row ids; the top bit marks positives


def pairs(
    source: pipeline.Source, candidates: np.ndarray, skips_own: bool = False
) -> AllPairs:
    """Returns each label's instances, rows ascending.

    They are those that have the label (its positives), and those that have it
    among their candidates only (its negatives).

    Args:
        source: the training split.
        candidates: [N, S] label ids, distinct in each row; of integers in 16
            bits they are read as they are.
        skips_own: whether no label has an instance that is named after it
            among its negatives.

    Raises:
        ValueError: if a label id is out of range, there are 2^31 rows, or it
            is not known what rows are named after.
    """
    if source.num_instances >= _POSITIVE:
        raise ValueError(
            f"`source` must have fewer than {_POSITIVE} rows. "
            f"Received: {source.num_instances} rows"
        )
    lengths, positives = [], []
    for rows in _chunks(source.num_instances):
        _, labels = source.rows(rows)
        lengths.append(labels.row_lengths().numpy())
        positives.append(labels.flat_values.numpy())
    label_ids = np.concatenate(positives)
    for name, ids in (("source labels", label_ids), ("candidates", candidates)):
        label_problems.check_ids(name, ids, source.num_labels)
    if candidates.dtype != np.uint16:
        candidates = candidates.astype(np.int32, copy=False).view(np.uint32)
    splits, marked = _by_label(
        np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        label_ids.astype(np.int32, copy=False).view(np.uint32),
        candidates,
        _own_labels(source, skips_own),
        source.num_labels,
    )
    return AllPairs(splits, marked)


def _own_labels(source: pipeline.Source, skips_own: bool) -> np.ndarray:
    """Returns a label of each row that it is no negative of, [N] int64."""
    if not skips_own:
        return np.full(source.num_instances, own_labels.NONE, np.int64)
    found = source.own_labels()
    if found is None:
        raise ValueError(
            "`source` must know what its rows are named after. Received: one "
            "that does not"
        )
    return found.astype(np.int64)


@compiled.loop
def _by_label(row_splits, positives, candidates, own, num_labels):
    """Returns the members of `AllPairs`.

    Rows are read twice: to count each label's pairs, and to put each pair
    into its label's place.
    """
    splits = np.zeros(num_labels + 1, np.int64)
    ends = np.zeros(num_labels, np.int64)
    marked = np.empty(0, np.uint32)
    for is_counting in (True, False):
        for row in range(len(row_splits) - 1):
            true_labels = positives[row_splits[row] : row_splits[row + 1]]
            for label in true_labels:
                _add_pair(row | _POSITIVE, label, ends, marked)
            for label in candidates[row]:
                is_skipped = np.int64(label) == own[row]
                for true_label in true_labels:
                    is_skipped |= true_label == label
                if not is_skipped:
                    _add_pair(row, label, ends, marked)
        if is_counting:
            for label in range(num_labels):
                splits[label + 1] = splits[label] + ends[label]
                ends[label] = splits[label]
            marked = np.empty(splits[-1], np.uint32)
    return splits, marked


@compiled.loop
def _add_pair(marked_row, label, ends, marked):
    """Puts a pair at its label's end; the first time it is only counted."""
    if len(marked):
        marked[ends[label]] = marked_row
    ends[label] += 1


def by_group(
    source: pipeline.Source,
    pairs: AllPairs,
    solve: Callable[
        [np.ndarray, label_problems.Rows, label_problems.Pairs], Solved
    ],
    scales: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, Solved]]:
    """Yields groups of labels that have positives, each solved.

    Args:
        source: the training split.
        pairs: of all labels.
        solve: called with the labels of a group, the rows that they learn
            from, and their pairs of these rows; in several threads.
        scales: [D], by which the features of these rows are multiplied; None:
            by 1.
    """
    all_labels = groups(pairs)
    shared = None
    if source.row_lengths().sum() <= _MOST_ENTRIES:
        shared = _scaled(all_rows(source), scales)

    def solve_group(labels: np.ndarray) -> Solved:
        rows, group = of_labels(source, pairs, labels, shared)
        if shared is None:
            rows = _scaled(rows, scales)
        return solve(labels, rows, group)

    solved = parallel.in_order(
        solve_group,
        all_labels,
        os.cpu_count() or 1,
    )
    yield from zip(all_labels, solved, strict=True)


def groups(pairs: AllPairs) -> list[np.ndarray]:
    """Returns groups of the labels that have positives, the largest first."""
    sizes = np.diff(pairs.splits)
    num_positives = _num_positives(pairs.splits, pairs.marked)
    by_size = np.argsort(-sizes, kind="stable")
    by_size = by_size[num_positives[by_size] > 0]
    if not len(by_size):
        return []
    ends = np.cumsum(sizes[by_size])
    pairs_per_processor = ends[-1] // (
        _GROUPS_PER_PROCESSOR * (os.cpu_count() or 1)
    )
    group_size = min(_PAIRS_PER_GROUP, pairs_per_processor + 1)
    changes = np.flatnonzero(np.diff((ends - 1) // group_size)) + 1
    return np.split(by_size, changes)


@compiled.loop
def _num_positives(splits, marked):
    """Returns how many positives each label has, [L]."""
    counts = np.zeros(len(splits) - 1, np.int64)
    for label in range(len(counts)):
        for pair in range(splits[label], splits[label + 1]):
            counts[label] += marked[pair] >= _POSITIVE
    return counts


def all_rows(source: pipeline.Source) -> label_problems.Rows:
    """Returns the rows of a whole split.

    Those of a split in memory are not copied; others are read in parts.
    """
    if isinstance(source, in_memory.InMemorySource):
        held = source.instances
        weights = held.weights
        if weights is None:
            weights = np.ones(source.num_instances, np.float32)
        return label_problems.Rows(
            held.feature_splits,
            held.feature_ids.view(np.uint32),
            held.feature_values,
            source.num_features,
            weights,
        )
    splits = np.zeros(source.num_instances + 1, np.int64)
    np.cumsum(source.row_lengths(), out=splits[1:])
    feature_ids = np.empty(splits[-1], np.uint32)
    values = np.empty(splits[-1], np.float32)
    weights = np.empty(source.num_instances, np.float32)
    last = 0
    for part in parts(source):
        first, last = last, last + len(part.splits) - 1
        place = slice(splits[first], splits[last])
        feature_ids[place], values[place] = part.feature_ids, part.values
        weights[first:last] = part.weights
    return label_problems.Rows(
        splits, feature_ids, values, source.num_features, weights
    )


def parts(source: pipeline.Source) -> Iterator[label_problems.Rows]:
    """Yields the rows of a whole split, some thousand at a time."""
    for indices in _chunks(source.num_instances):
        yield _rows(source, indices)


def _scaled(
    rows: label_problems.Rows, scales: np.ndarray | None
) -> label_problems.Rows:
    """Returns rows whose features are multiplied by scales."""
    if scales is None:
        return rows
    return rows._replace(values=rows.values * scales[rows.feature_ids])


def of_labels(
    source: pipeline.Source,
    pairs: AllPairs,
    labels: np.ndarray,
    rows: label_problems.Rows | None = None,
) -> tuple[label_problems.Rows, label_problems.Pairs]:
    """Returns the rows of some labels' pairs, and the pairs of these rows.

    Args:
        source: the training split.
        pairs: of all labels.
        labels: the ids of these labels.
        rows: those of the whole split; None: those of the pairs are read.
    """
    splits, row_ids, is_positive = _unmarked(pairs.splits, pairs.marked, labels)
    if rows is None:
        distinct_ids, row_ids = np.unique(row_ids, return_inverse=True)
        rows = _rows(source, tf.constant(distinct_ids, tf.int64))
    return rows, label_problems.Pairs(splits, row_ids, is_positive)


@compiled.loop
def _unmarked(splits, marked, labels):
    """Returns the members of `label_problems.Pairs` of some labels."""
    ends = np.zeros(len(labels) + 1, np.int64)
    for place, label in enumerate(labels):
        ends[place + 1] = ends[place] + splits[label + 1] - splits[label]
    row_ids = np.empty(ends[-1], np.int64)
    is_positive = np.empty(ends[-1], np.bool_)
    for place, label in enumerate(labels):
        offset = splits[label] - ends[place]
        for pair in range(ends[place], ends[place + 1]):
            row = marked[pair + offset]
            is_positive[pair] = row >= _POSITIVE
            row_ids[pair] = row & (_POSITIVE - 1)
    return ends, row_ids, is_positive


def _rows(source: pipeline.Source, indices: tf.Tensor) -> label_problems.Rows:
    """Returns the rows at some places of a split."""
    inputs, _ = source.rows(indices)
    ids = inputs[inputs_lib.FEATURE_IDS]
    return label_problems.Rows(
        ids.row_splits.numpy(),
        ids.flat_values.numpy(),
        inputs[inputs_lib.FEATURE_VALUES].flat_values.numpy(),
        source.num_features,
        source.weights(indices).numpy(),
    )


def _chunks(num_rows: int) -> Iterator[tf.Tensor]:
    """Yields the numbers of the rows that are read together."""
    for start in range(0, num_rows, _ROWS_PER_READ):
        stop = min(start + _ROWS_PER_READ, num_rows)
        yield tf.range(start, stop, dtype=tf.int64)
