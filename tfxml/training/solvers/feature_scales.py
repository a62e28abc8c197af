"""Weighs features by their inverse document frequency.

Classifiers learn from rows that are multiplied by scales, and their weights
are multiplied by the same scales afterwards: a product with a row as it comes
is then the product that was learnt, so no model knows of them.

# N instances, D features, E features of all rows
"""

from __future__ import annotations

import numpy as np

from tfxml.data.feeding import pipeline
from tfxml.data.text import vocabulary
from tfxml.training.solvers import label_pairs


def idf(source: pipeline.Source) -> np.ndarray:
    """Returns 1 + ln((1 + N) / (1 + n)) of features in n instances.

    Divided by what keeps the mean length of the rows, [D] float32.

    Args:
        source: the training split.
    """
    counts = np.zeros(source.num_features, np.int64)
    for rows in label_pairs.parts(source):
        present = rows.feature_ids[rows.values != 0]
        counts += np.bincount(present, minlength=source.num_features)
    scales = vocabulary.smooth_idf(counts, source.num_instances)
    before = after = 0.0
    for rows in label_pairs.parts(source):
        scaled = rows.values * scales[rows.feature_ids]
        before += _lengths(rows.splits, rows.values)
        after += _lengths(rows.splits, scaled)
    return scales if after == 0 else scales * np.float32(before / after)


def _lengths(splits: np.ndarray, values: np.ndarray) -> float:
    """Returns the sum of the lengths of rows with these values [E]."""
    squares = np.concatenate([[0.0], np.cumsum(values.astype(np.float64) ** 2)])
    return float(np.sqrt(np.diff(squares[splits]).clip(0)).sum())
