"""Which features say most about each label.

# L labels, D features, F features of a label
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.data import pipeline

_ROWS = 2048  # read at once
_PENDING = 1 << 24  # pairs of label and feature that wait to be summed


def strongest(source: pipeline.Source, number: int) -> np.ndarray:
    """Returns the features with the largest sums over each label's instances.

    Returns:
        [L, F] int32, ascending; D where a label's instances have fewer than
        `number` features. The earlier one of two with equal sums is taken.
    """
    keys, sums = np.zeros(0, np.int64), np.zeros(0, np.float64)
    pending, num_pending = [], 0
    for start in range(0, source.num_instances, _ROWS):
        stop = min(start + _ROWS, source.num_instances)
        pending.append(_pairs(source, start, stop))
        num_pending += len(pending[-1][0])
        if num_pending > _PENDING:
            keys, sums = _summed([(keys, sums), *pending])
            pending, num_pending = [], 0
    keys, sums = _summed([(keys, sums), *pending])
    labels, features = np.divmod(keys, source.num_features)
    order = np.lexsort((features, -sums, labels))
    labels, features = labels[order], features[order]
    ranks = np.arange(len(labels)) - np.searchsorted(labels, labels)
    is_kept = ranks < number
    found = np.full((source.num_labels, number), source.num_features, np.int32)
    found[labels[is_kept], ranks[is_kept]] = features[is_kept]
    found.sort(axis=1)
    return found


def _pairs(source, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a key for each label and feature that meet, and the value."""
    ids, values, label_ids = source.rows(tf.range(start, stop, dtype=tf.int64))
    splits = ids.row_splits.numpy()
    rows = label_ids.value_rowids().numpy()
    lengths = np.diff(splits)[rows]
    # Each label of a row meets the row's run of features.
    ends = np.cumsum(lengths)
    places = np.arange(ends[-1] if len(ends) else 0) + np.repeat(
        splits[rows] - (ends - lengths), lengths
    )
    labels = np.repeat(label_ids.flat_values.numpy().astype(np.int64), lengths)
    keys = labels * source.num_features + ids.flat_values.numpy()[places]
    return keys, values.flat_values.numpy()[places]


def _summed(parts: list) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct keys, ascending, and their values' sums."""
    keys = np.concatenate([one for one, _ in parts])
    values = np.concatenate([one for _, one in parts])
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], values[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    if not len(starts):
        return keys, values
    return keys[starts], np.add.reduceat(values, starts)
