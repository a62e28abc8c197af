"""Which instances labels learn from, and the rows of some labels' instances.

# N instances, L labels, S labels of a shortlist
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfxml.data import pipeline
from tfxml.training import linear_svm

# Labels that are looked at together have about so many pairs, and share the
# rows that were read for them; fewer, so that no processor is left idle.
_PAIRS_AT_ONCE = 1 << 20
_GROUPS_A_PROCESSOR = 4
_ROWS = 4096  # read at once


def pairs(source: pipeline.Source, shortlists: np.ndarray) -> linear_svm.Pairs:
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


def groups(pairs: linear_svm.Pairs) -> list[np.ndarray]:
    """Returns labels that have positives, some together, the largest first."""
    sizes = np.diff(pairs.splits)
    num_positives = np.bincount(
        np.repeat(np.arange(len(sizes)), sizes)[pairs.is_positive],
        minlength=len(sizes),
    )
    by_size = np.argsort(-sizes, kind="stable")
    by_size = by_size[num_positives[by_size] > 0]
    if not len(by_size):
        return []
    ends = np.cumsum(sizes[by_size])
    share = ends[-1] // (_GROUPS_A_PROCESSOR * (os.cpu_count() or 1))
    at_once = min(_PAIRS_AT_ONCE, share + 1)
    changes = np.flatnonzero(np.diff((ends - 1) // at_once)) + 1
    return np.split(by_size, changes)


def of_labels(
    source: pipeline.Source, pairs: linear_svm.Pairs, labels: np.ndarray
) -> tuple[linear_svm.Rows, linear_svm.Pairs]:
    """Returns the rows of some labels' pairs, and the pairs of these rows."""
    sizes = (pairs.splits[1:] - pairs.splits[:-1])[labels]
    splits = np.concatenate([[0], np.cumsum(sizes)])
    own = np.arange(splits[-1]) + np.repeat(
        pairs.splits[labels] - splits[:-1], sizes
    )
    row_ids, places = np.unique(pairs.row_ids[own], return_inverse=True)
    ids, values, _ = source.rows(tf.constant(row_ids))
    rows = linear_svm.Rows(
        ids.row_splits.numpy(),
        ids.flat_values.numpy(),
        values.flat_values.numpy(),
        source.num_features,
    )
    return rows, linear_svm.Pairs(splits, places, pairs.is_positive[own])


def _chunks(number: int) -> Iterator[tf.Tensor]:
    for start in range(0, number, _ROWS):
        yield tf.range(start, min(start + _ROWS, number), dtype=tf.int64)
