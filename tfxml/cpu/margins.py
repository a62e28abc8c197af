"""The second look at a head's best labels.

# N instances, S labels of a candidates, K best
"""

from __future__ import annotations

import queue

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import ranking, sums, threads, weight_arrays
from tfxml.models import reranker, sparse_rows


class Reranker:
    """What a `reranker.Reranker` does."""

    def __init__(self, own: reranker.Reranker):
        self.num_candidates = own.num_candidates
        self._num_features = own.num_features
        self._share = own.share
        self._splits = weight_arrays.array(own.splits)
        self._features = weight_arrays.array(own.features).view(np.uint32)
        self._kernel = weight_arrays.array(own.kernel)
        self._bias = weight_arrays.array(own.bias)
        self._zeros = queue.SimpleQueue()  # which are used again

    def rerank(
        self,
        rows: sparse_rows.RaggedRows,
        scores: np.ndarray,
        label_ids: np.ndarray,
        k: int,
        share: threads.Threads,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' scores and ids; see `reranker.Reranker`."""
        candidates = np.ascontiguousarray(label_ids[:, : self.num_candidates])
        margins = self._bias[candidates]
        self._add_products(rows, candidates, margins.reshape(-1), share)
        logits = logits_of(scores)
        own = np.float32(self._share * reranker.LOGIT_OF_MARGIN) * margins
        own += np.float32(1 - self._share) * logits[:, : margins.shape[1]]
        best, places = best_lib.nothing(len(own), min(k, own.shape[1]))
        columns = np.arange(own.shape[1], dtype=np.int32)
        best_lib.keep_best(own, columns, best, places)
        reranked = np.take_along_axis(candidates, places, axis=1)
        if k > own.shape[1]:
            behind = slice(own.shape[1], k)
            least = own.min(axis=1, keepdims=True)
            best = np.hstack([best, np.minimum(logits[:, behind], least)])
            reranked = np.hstack([reranked, label_ids[:, behind]])
        return ranking.probabilities(best), reranked

    def _add_products(self, rows, candidates, margins, share) -> None:
        """Adds the products of rows and their labels' weights, [N S]."""
        wanted = candidates.reshape(-1)
        # Of 16 bits, where that is enough, numbers are sorted by their digits.
        fewest_bits = wanted.astype(np.min_scalar_type(len(self._bias) - 1))
        pairs = np.argsort(fewest_bits, kind="stable")
        labels = wanted[pairs]

        def add(some: slice) -> None:
            # Not cut within a label.
            first, last = np.searchsorted(labels, [some.start, some.stop])
            try:
                dense = self._zeros.get_nowait()
            except queue.Empty:
                dense = np.zeros(self._num_features + 1, np.float32)
            sums.margins(
                rows.splits,
                rows.feature_ids,
                rows.values,
                self._splits,
                self._features,
                self._kernel,
                dense,
                pairs[first:last],
                labels[first:last],
                candidates.shape[1],
                margins,
            )
            self._zeros.put(dense)

        share.over(len(self._bias), add, most=len(candidates))


def logits_of(scores: np.ndarray) -> np.ndarray:
    """Returns the logits of a head's scores, kept finite."""
    least = ranking.probabilities(np.float32(-reranker.LARGEST_LOGIT))
    scores = np.clip(scores, least, 1 - least)
    return np.log(scores) - np.log1p(-scores)
