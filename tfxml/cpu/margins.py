"""Ranks candidates again in compiled loops.

# N instances, S candidates of an instance, K best
"""

from __future__ import annotations

import queue

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import sums, threads, weight_arrays
from tfxml.models import forms, reranker_options, row_forms


class Reranker:
    """The re-ranker that a `forms.SparseReranker` describes."""

    def __init__(self, form: forms.SparseReranker):
        self.num_candidates = form.num_candidates
        self._num_features = form.num_features
        self._weight = form.weight
        self._bias = weight_arrays.array(form.bias)
        self._kernel = weight_arrays.array(form.kernel)
        self._splits = weight_arrays.splits(form.splits, len(self._kernel))
        self._features = weight_arrays.ids(form.features, form.num_features + 1)
        self._shifts = np.zeros(0, np.int32)  # none: weights are not looked up
        if form.shifts is not None:
            self._shifts = weight_arrays.array(form.shifts)
        # Arrays of zeros, for reuse.
        self._zeros: queue.SimpleQueue[np.ndarray] = queue.SimpleQueue()

    def rerank(
        self,
        rows: row_forms.RaggedRows,
        logits: np.ndarray,
        label_ids: np.ndarray,
        k: int,
        pool: threads.Threads,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' logits and ids; see `reranker.Reranker`."""
        candidates = np.ascontiguousarray(label_ids[:, : self.num_candidates])
        margins = self.margins(rows, candidates, pool)
        num_candidates = margins.shape[1]
        mixed = (
            np.float32(self._weight * reranker_options.LOGIT_OF_MARGIN)
            * margins
        )
        mixed += np.float32(1 - self._weight) * logits[:, :num_candidates]
        best, best_columns = best_lib.nothing(
            len(mixed), min(k, num_candidates)
        )
        columns = np.arange(num_candidates, dtype=np.int32)

        def keep_best(some: slice) -> None:
            best_lib.keep_best(
                mixed[some], columns, best[some], best_columns[some]
            )

        pool.over(len(mixed), keep_best)
        best_lib.require_labels(best_columns)
        ranked = np.take_along_axis(candidates, best_columns, axis=1)
        if k > num_candidates:
            rest = slice(num_candidates, k)
            least = mixed.min(axis=1, keepdims=True)
            best = np.hstack([best, np.minimum(logits[:, rest], least)])
            ranked = np.hstack([ranked, label_ids[:, rest]])
        return best, ranked

    def margins(
        self,
        rows: row_forms.RaggedRows,
        candidates: np.ndarray,
        pool: threads.Threads,
    ) -> np.ndarray:
        """Returns the margins of given labels [N, S], [N, S]."""
        margins = self._bias[candidates]
        self._add_products(rows, candidates, margins.reshape(-1), pool)
        return margins

    def _add_products(
        self,
        rows: row_forms.RaggedRows,
        candidates: np.ndarray,
        margins: np.ndarray,
        pool: threads.Threads,
    ) -> None:
        """Adds the products of rows and candidates' weights to [N S]."""
        pairs, labels = sums.in_order(candidates.reshape(-1))

        def add(part: slice) -> None:
            # A label belongs to the part in which its first pair is.
            first, last = (
                np.searchsorted(labels, labels[edge])
                if edge < len(labels)
                else edge
                for edge in (part.start, part.stop)
            )
            try:
                dense = self._zeros.get_nowait()
            except queue.Empty:
                dense = np.zeros(self._num_features + 1, np.float32)
            sums.add_margins(
                rows.splits,
                rows.feature_ids,
                rows.values,
                self._splits,
                self._features,
                self._kernel,
                self._shifts,
                pairs[first:last],
                labels[first:last],
                candidates.shape[1],
                dense,
                margins,
            )
            self._zeros.put(dense)

        pool.over(len(labels), add, max_slices=len(candidates))
