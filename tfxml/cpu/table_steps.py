"""A training step's work on a table of features, over arrays.

# N instances, D features, E features of all rows, U distinct features of a
# batch, H units
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from tfxml.cpu import buffers, dense_stack, table_loops, threads
from tfxml.models import row_forms

_ENTRIES_OF_COLUMN = 2


class TableSteps:
    """Products of sparse rows and a table, and their gradients."""

    def __init__(self):
        self._lock = threading.Lock()  # encoders may run at the same time
        self._places = np.zeros(0, np.int32)
        self._buffers = buffers.Buffers()

    def product(
        self,
        splits: np.ndarray,
        feature_ids: np.ndarray,
        values: np.ndarray,
        table: np.ndarray,
    ) -> np.ndarray:
        """Returns rows [N, D] times the table [D, H], [N, H]."""
        rows = row_forms.RaggedRows(_unsigned(feature_ids), values, splits)
        no_bias = np.zeros(table.shape[1], np.float32)
        return dense_stack.sparse_product(
            rows, table, no_bias, threads.of_process()
        )

    def gradient(
        self,
        splits: np.ndarray,
        feature_ids: np.ndarray,
        values: np.ndarray,
        upstream: np.ndarray,
        num_features: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the features that occur, [U], and their gradients, [U, H]."""
        ids = _unsigned(feature_ids)
        with self._lock:
            if len(self._places) < num_features:
                self._places = np.zeros(num_features, np.int32)
            features = np.sort(table_loops.distinct(ids, self._places))
            starts, rows, values = table_loops.columns(
                splits, ids, values, features, self._places
            )
            products = self._buffers.take(len(features), upstream.shape[1])

        # A column costs as much as some entries: its product is written.
        costs = starts + _ENTRIES_OF_COLUMN * np.arange(len(starts))

        def run(part: slice) -> None:
            first, last = np.searchsorted(costs, (part.start, part.stop))
            table_loops.column_products(
                starts[first : last + 1],
                rows,
                values,
                upstream,
                products[first:last],
            )

        threads.of_process().over(costs[-1], run)
        return features, products


def lazy_adam(
    rows: np.ndarray,
    gradients: np.ndarray,
    constants: np.ndarray,
    weights: Sequence[np.ndarray],
) -> None:
    """Takes a step of `lazy_optimizers.LazyAdam` in some rows of a table.

    Args:
        rows: [U], distinct.
        gradients: [U, H].
        constants: see `table_loops.lazy_adam`.
        weights: the table, its momentum and velocity, [D, H] each, which are
            changed.
    """
    table, momentum, velocity = weights

    def run(part: slice) -> None:
        table_loops.lazy_adam(
            rows[part], gradients[part], table, momentum, velocity, constants
        )

    threads.of_process().over(len(rows), run)


def _unsigned(ids: np.ndarray) -> np.ndarray:
    """Returns ids for which loops check no sign."""
    return ids.view(f"u{ids.dtype.itemsize}")
