"""Counts how often labels occur together in a source.

# L labels
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import tensorflow as tf

from tfxml.data.feeding import pipeline

_CHUNK = 4096  # instances at a time


def count(source: pipeline.Source) -> scipy.sparse.csr_matrix:
    """Returns in how many instances each two labels occur, [L, L] sparse.

    The diagonal has in how many each label occurs.
    """
    size = source.num_labels
    counts = scipy.sparse.csr_matrix((size, size), dtype=np.int64)
    for first in range(0, source.num_instances, _CHUNK):
        last = min(first + _CHUNK, source.num_instances)
        _, labels = source.rows(tf.range(first, last, dtype=tf.int64))
        ids = labels.flat_values.numpy()
        sets = scipy.sparse.csr_matrix(
            (np.ones(len(ids), np.int64), ids, labels.row_splits.numpy()),
            shape=(last - first, size),
        )
        counts = counts + sets.T @ sets
    return counts.tocsr()
