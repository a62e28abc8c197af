"""The classifiers of labels' own, learnt from what a head mistakes.

# N instances, L labels, D features, S labels of a shortlist, F weights a label

A label learns from its positives and from the instances in whose shortlist it
stands: those are the negatives that matter. Labels are solved some at a time,
and only the largest weights of all of them are kept.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfxml.data import parallel, pipeline
from tfxml.models import refiner
from tfxml.training import linear_svm

# Labels that are solved together have about so many pairs, and share the rows
# that were read for them.
_PAIRS_AT_ONCE = 1 << 20
_ROWS = 4096  # read at once
# A label that no training instance has is as far off as a negative should be.
_UNSEEN_BIAS = -1.0
_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio


@dataclasses.dataclass(frozen=True)
class Settings:
    """How labels' own classifiers are learnt."""

    cost: float  # C of `linear_svm`
    num_passes: int
    mean_features: int  # F: how many weights a label keeps, on average
    seed: int


def learn(
    source: pipeline.Source,
    shortlists: np.ndarray,
    settings: Settings,
    between: Callable[[], None] = lambda: None,
) -> refiner.Table:
    """Returns the labels' own classifiers.

    Args:
        source: the training split.
        shortlists: [N, S] label ids, what the head finds best.
        settings: how they are learnt.
        between: called whenever some labels are done.
    """
    pairs = _pairs(source, shortlists)
    kept = _Largest(source.num_labels * settings.mean_features)
    biases = np.full(source.num_labels, _UNSEEN_BIAS, np.float32)
    groups = _groups(pairs)
    solved = parallel.in_order(
        lambda labels: _solve(source, pairs, labels, settings, kept.least),
        groups,
        os.cpu_count() or 1,
    )
    for labels, found in zip(groups, solved, strict=True):
        kept.add(labels, found)
        biases[labels] = found.biases
        between()
    return refiner.table(
        *kept.result(), biases, source.num_features, settings.mean_features
    )


def _groups(pairs: linear_svm.Pairs) -> list[np.ndarray]:
    """Returns labels that have positives, some together, the largest first."""
    sizes = np.diff(pairs.splits)
    num_positives = np.bincount(
        np.repeat(np.arange(len(sizes)), sizes)[pairs.is_positive],
        minlength=len(sizes),
    )
    by_size = np.argsort(-sizes, kind="stable")
    by_size = by_size[num_positives[by_size] > 0]
    before = np.cumsum(sizes[by_size]) - sizes[by_size]
    changes = np.flatnonzero(np.diff(before // _PAIRS_AT_ONCE)) + 1
    return np.split(by_size, changes) if len(by_size) else []


def _pairs(source: pipeline.Source, shortlists: np.ndarray) -> linear_svm.Pairs:
    """Returns the positives and the shortlisted of each label, rows ascending.

    One number a pair, so that a sort brings all in order: label, row, and 0
    for a positive, which so comes first.
    """
    number = source.num_instances
    positives = []
    for rows in _chunks(number):
        labels = source.rows(rows)[2]
        row_ids = tf.gather(rows, labels.value_rowids()).numpy()
        positives.append(labels.flat_values.numpy() * np.int64(number))
        positives[-1] = (positives[-1] + row_ids) * 2
    rows = np.arange(number, dtype=np.int64)[:, None]
    listed = (shortlists * np.int64(number) + rows) * 2 + 1
    keys = np.concatenate([*positives, listed.ravel()])
    keys.sort()
    keys = keys[np.diff(keys // 2, prepend=-1) > 0]
    labels, row_ids = np.divmod(keys // 2, number)
    splits = np.searchsorted(labels, np.arange(source.num_labels + 1))
    return linear_svm.Pairs(splits, row_ids, keys % 2 == 0)


def _chunks(number: int) -> Iterator[tf.Tensor]:
    for start in range(0, number, _ROWS):
        yield tf.range(start, min(start + _ROWS, number), dtype=tf.int64)


def _solve(
    source,
    pairs: linear_svm.Pairs,
    labels: np.ndarray,
    settings: Settings,
    least: float,
) -> linear_svm.Solved:
    """Returns some labels' weights, `least` in size, and biases."""
    sizes = (pairs.splits[1:] - pairs.splits[:-1])[labels]
    splits = np.concatenate([[0], np.cumsum(sizes)])
    own = np.arange(splits[-1]) + np.repeat(
        pairs.splits[labels] - splits[:-1], sizes
    )
    row_ids, places = np.unique(pairs.row_ids[own], return_inverse=True)
    ids, values, _ = source.rows(tf.constant(row_ids))
    return linear_svm.solve(
        linear_svm.Rows(
            ids.row_splits.numpy(),
            ids.flat_values.numpy(),
            values.flat_values.numpy(),
            source.num_features,
        ),
        linear_svm.Pairs(splits, places, pairs.is_positive[own]),
        settings.cost,
        settings.num_passes,
        _seeds(labels, settings.seed),
        least,
    )


def _seeds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns a seed for each label, whichever it is solved with."""
    states = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    mixed = (labels.astype(np.uint64) + states[0]) * np.uint64(_MULTIPLIER)
    return (mixed ^ (mixed >> np.uint64(32))) * np.uint64(_MULTIPLIER)


def _largest_places(sizes: np.ndarray, number: int) -> np.ndarray:
    """Returns the places of the largest `number`, of equals the first."""
    if len(sizes) <= number:
        return np.arange(len(sizes))
    last = np.partition(sizes, len(sizes) - number)[len(sizes) - number]
    is_chosen = sizes > last
    equals = np.flatnonzero(sizes == last)
    is_chosen[equals[: number - np.count_nonzero(is_chosen)]] = True
    return np.flatnonzero(is_chosen)


class _Largest:
    """The weights largest in size of all that were added, `number` at most."""

    def __init__(self, number: int):
        self._number = number
        none = np.zeros(0, np.int32)
        self._parts, self._size = [(none, none, none.astype(np.float32))], 0
        self.least = 0.0  # what is smaller in size is not among them

    def add(self, labels: np.ndarray, found: linear_svm.Solved) -> None:
        owners = np.repeat(labels.astype(np.int32), np.diff(found.splits))
        self._parts.append((owners, found.feature_ids, found.weights))
        self._size += len(owners)
        if self._size > 2 * self._number:
            self._cut()

    def _cut(self) -> None:
        whole = [
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        ]
        chosen = _largest_places(np.abs(whole[2]), self._number)
        self._parts = [tuple(part[chosen] for part in whole)]
        self._size = len(chosen)
        if self._size == self._number:
            self.least = float(np.abs(self._parts[0][2]).min())

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns labels, features and values."""
        self._cut()
        return self._parts[0]
