"""Pairs of an instance and a label that are not scored.

Data sets with label features come with reciprocal pairs: an instance and the
label that is the same thing (`filter_labels_test.txt`), trivial to predict.

P@k is the same whether or not the true labels keep the pairs, since no list
has them. nDCG, PSP and Recall are lower if they do: the best ranking then has
labels that no list may contain. SiameseXML's evaluation keeps them; ECLARE's
and PECOS's (examples/pina) remove them, as `remove_from_labels` does. State
which with any published number.

# n instances, K predictions an instance, F pairs to remove
"""

from __future__ import annotations

import numpy as np

from tfxml.data import instances
from tfxml.evaluation import ranked_lists


def remove_from_predictions(
    top_ids: np.ndarray, pairs: np.ndarray, k: int, row_start: int = 0
) -> np.ndarray:
    """Returns the lists without the given (row, label) pairs, [n, k].

    Labels after a removed one move up, so k remain if K is at least k
    plus the number of pairs of that row; missing ones are -1.

    Args:
      top_ids: [n, K] int, best first, of rows `row_start` onwards.
      pairs: [F, 2] int, row of the whole data set and label; pairs of rows
        elsewhere are ignored.
      k: how many to keep, K at most.
    """
    top_ids = np.array(top_ids)
    if top_ids.ndim != 2 or not 1 <= k <= top_ids.shape[1]:
        need = f"be at least 1 and at most K of {top_ids.shape}"
        raise ranked_lists.argument_error("k", need, k)
    rows, label_ids = _pairs_of(pairs, row_start, len(top_ids))
    matches, ranks = ranked_lists.find(top_ids, rows, label_ids)
    top_ids[rows[matches], ranks] = -1
    changed_rows = np.unique(rows[matches])
    order = np.argsort(top_ids[changed_rows] < 0, axis=1, kind="stable")
    top_ids[changed_rows] = np.take_along_axis(
        top_ids[changed_rows], order, axis=1
    )
    return top_ids[:, :k]


def remove_from_labels(
    label_splits: np.ndarray,
    label_ids: np.ndarray,
    pairs: np.ndarray,
    row_start: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns true labels, splits and ids, without the given pairs.

    `pairs` and `row_start` are as in `remove_from_predictions`.
    """
    num_rows = len(label_splits) - 1
    pair_rows, pair_labels = _pairs_of(pairs, row_start, num_rows)
    rows = np.repeat(np.arange(num_rows), np.diff(label_splits))
    # One int64 key per entry: ids and rows of a batch are below 2^31.
    is_kept = ~np.isin(
        (rows << 31) + label_ids, (pair_rows << 31) + pair_labels
    )
    lengths = np.bincount(rows[is_kept], minlength=num_rows)
    return instances.splits_from_lengths(lengths), label_ids[is_kept]


def _pairs_of(pairs, row_start, num_rows) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows, from 0, and the labels of pairs in the given rows."""
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ranked_lists.argument_error(
            "pairs", "have shape [F, 2]", pairs.shape
        )
    ranked_lists.check_range("pairs", pairs, 0, 1 << 31)
    rows = pairs[:, 0].astype(np.int64) - row_start
    is_inside = (rows >= 0) & (rows < num_rows)
    return rows[is_inside], pairs[is_inside, 1].astype(np.int64)
