"""The classifiers of labels' own, learnt from what a head mistakes.

# N instances, L labels, D features, S labels of a shortlist, F weights a label

A label learns from its positives and from the instances in whose shortlist it
stands: those are the negatives that matter. Labels are solved some at a time,
and only the largest weights of all of them are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfxml.data import parallel, pipeline
from tfxml.models import refiner
from tfxml.training import linear_svm

# A step of labels that are solved together should be worth its overhead, and
# their weights stay near the processor.
_FEATURES_A_STEP = 1 << 14
_WEIGHTS_AT_ONCE = 1 << 25
# A label's pairs follow one another, so that the most of any label count.
_MOST_NEGATIVES = 1 << 14
_ROWS = 4096  # read at once
# A label that no training instance has is as far off as a negative should be.
_UNSEEN_BIAS = -1.0


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
    pairs = _fewer_negatives(_pairs(source, shortlists), settings.seed)
    sizes = np.diff(pairs.splits)
    num_positives = np.bincount(
        np.repeat(np.arange(len(sizes)), sizes)[pairs.is_positive],
        minlength=len(sizes),
    )
    # Labels of about equally many pairs together.
    by_size = np.argsort(-sizes, kind="stable")
    by_size = by_size[num_positives[by_size] > 0]
    together = _labels_at_once(source)
    groups = [
        by_size[start : start + together]
        for start in range(0, len(by_size), together)
    ]
    kept = _Largest(source.num_labels * settings.mean_features)
    biases = np.full(source.num_labels, _UNSEEN_BIAS, np.float32)
    solved = parallel.in_order(
        lambda labels: _solve(source, pairs, labels, settings), groups
    )
    for labels, (entries, own) in zip(groups, solved, strict=True):
        kept.add(*entries)
        biases[labels] = own
        between()
    return kept.table(source.num_features, biases)


def _labels_at_once(source: pipeline.Source) -> int:
    """Returns how many labels are solved together."""
    a_row = max(float(np.mean(source.row_lengths())), 1.0)
    most = max(_WEIGHTS_AT_ONCE // source.num_features, 1)
    return int(min(max(_FEATURES_A_STEP / a_row, 1), most))


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


def _fewer_negatives(pairs: linear_svm.Pairs, seed: int) -> linear_svm.Pairs:
    """Returns the pairs with no more negatives a label than there may be."""
    is_kept = np.ones(len(pairs.row_ids), bool)
    for label in np.flatnonzero(np.diff(pairs.splits) > _MOST_NEGATIVES):
        run = slice(pairs.splits[label], pairs.splits[label + 1])
        negatives = run.start + np.flatnonzero(~pairs.is_positive[run])
        rng = np.random.default_rng([seed, label])
        is_kept[rng.permutation(negatives)[_MOST_NEGATIVES:]] = False
    before = np.concatenate([[0], np.cumsum(is_kept)])
    return linear_svm.Pairs(
        before[pairs.splits], pairs.row_ids[is_kept], pairs.is_positive[is_kept]
    )


def _chunks(number: int) -> Iterator[tf.Tensor]:
    for start in range(0, number, _ROWS):
        yield tf.range(start, min(start + _ROWS, number), dtype=tf.int64)


def _solve(source, pairs: linear_svm.Pairs, labels: np.ndarray, settings):
    """Returns labels' weights, as labels, features and values, and biases."""
    runs = [
        np.arange(pairs.splits[label], pairs.splits[label + 1])
        for label in labels
    ]
    own = np.concatenate(runs)
    row_ids, places = np.unique(pairs.row_ids[own], return_inverse=True)
    rows, features = _rows(source, row_ids)
    weights, biases = linear_svm.solve(
        rows,
        linear_svm.Pairs(
            np.cumsum([0, *(len(run) for run in runs)]),
            places,
            pairs.is_positive[own],
        ),
        settings.cost,
        settings.num_passes,
        np.random.default_rng([settings.seed, labels[0]]),
    )
    found = []
    for label, of_label in zip(labels, weights, strict=True):
        chosen = np.flatnonzero(of_label)
        found.append(
            (np.full(len(chosen), label), features[chosen], of_label[chosen])
        )
    entries = [np.concatenate(part) for part in zip(*found, strict=True)]
    return entries, biases


def _rows(source, row_ids: np.ndarray) -> tuple[linear_svm.Rows, np.ndarray]:
    """Returns rows over the features that they have, and which those are."""
    ids, values, _ = source.rows(tf.constant(row_ids))
    feature_ids = ids.flat_values.numpy()
    is_there = np.zeros(source.num_features, bool)
    is_there[feature_ids] = True
    columns = np.cumsum(is_there) - 1
    features = np.flatnonzero(is_there)
    rows = linear_svm.Rows(
        ids.row_splits.numpy(),
        columns[feature_ids],
        values.flat_values.numpy(),
        len(features),
    )
    return rows, features


def _largest_places(sizes: np.ndarray, number: int) -> np.ndarray:
    """Returns the places of the largest `number`, ascending."""
    if len(sizes) <= number:
        return np.arange(len(sizes))
    return np.sort(np.argpartition(-sizes, number - 1)[:number])


class _Largest:
    """The weights largest in size of all that were added, `number` at most."""

    def __init__(self, number: int):
        self._number = number
        none = np.zeros(0, np.int32)
        self._parts, self._size = [(none, none, none.astype(np.float32))], 0

    def add(self, labels, features, values) -> None:
        self._parts.append(
            (
                labels.astype(np.int32),
                features.astype(np.int32),
                values.astype(np.float32),
            )
        )
        self._size += len(labels)
        if self._size > 2 * self._number:
            self._cut()

    def _cut(self) -> None:
        whole = [
            np.concatenate(part) for part in zip(*self._parts, strict=True)
        ]
        chosen = _largest_places(np.abs(whole[2]), self._number)
        self._parts = [tuple(part[chosen] for part in whole)]
        self._size = len(chosen)

    def table(self, num_features: int, biases: np.ndarray) -> refiner.Table:
        """Returns them as they are looked up."""
        self._cut()
        return refiner.table(
            *self._parts[0],
            biases,
            num_features,
            self._number // len(biases),
        )
