"""Which terms a collection of texts holds, and which of them become features.

# N documents, V terms seen so far
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from tfxml.data import parallel, tokenizer


class TermCounts:
    """Counts terms over batches of documents; memory grows with V alone."""

    def __init__(self):
        self.num_documents = 0
        self._positions = collections.defaultdict()
        self._positions.default_factory = self._positions.__len__
        self._document_counts = np.zeros(1024, np.int64)  # the first V count
        self._total_counts = np.zeros(1024, np.int64)

    def add(
        self,
        num_documents: int,
        terms: Sequence[bytes],
        document_counts: np.ndarray,
        total_counts: np.ndarray,
    ) -> None:
        """Adds a batch: how often each of its distinct terms occurs there."""
        positions = np.fromiter(
            map(self._positions.__getitem__, terms), np.int64, len(terms)
        )
        self._document_counts = _with_room(
            self._document_counts, len(self._positions)
        )
        self._total_counts = _with_room(
            self._total_counts, len(self._positions)
        )
        self._document_counts[positions] += document_counts
        self._total_counts[positions] += total_counts
        self.num_documents += num_documents

    def select(
        self, min_df: int | float, max_features: int | None
    ) -> tuple[list[str], np.ndarray]:
        """Returns the terms to keep, alphabetical, and their document counts.

        Args:
            min_df: the fewest documents of a term; below 1, as a share of all.
            max_features: how many terms to keep, those of the largest total
                counts, and among equals the first in the alphabet.

        Raises:
            ValueError: if `min_df` is more than N, or no term is left.
        """
        least = min_df if min_df >= 1 else min_df * self.num_documents
        if least > self.num_documents:
            raise ValueError(
                "`min_df` must be at most the number of documents, "
                f"{self.num_documents}. Received: min_df={min_df}"
            )
        terms = np.array(list(self._positions), object)
        kept = np.flatnonzero(self._document_counts[: len(terms)] >= least)
        if not kept.size:
            raise ValueError(
                "`batches` must hold a term (two or more letters or digits) "
                "in at least `min_df` documents. Received: "
                f"{self.num_documents} documents with {len(terms)} terms, "
                f"min_df={min_df}"
            )
        # The order of UTF-8 bytes is that of Python's strings: by code point.
        kept = kept[np.argsort(terms[kept])]
        if max_features is not None:
            by_total = np.argsort(-self._total_counts[kept], kind="stable")
            kept = kept[np.sort(by_total[:max_features])]
        names = [term.decode("utf-8") for term in terms[kept]]
        return names, self._document_counts[kept]


def count(batches: Iterable[Sequence[str]], ngrams: int) -> TermCounts:
    """Returns the counts of the terms of runs of documents."""

    graph = tokenizer.graph(lambda texts: _batch_counts(texts, ngrams))

    def batch_counts(texts):
        return len(texts), *(x.numpy() for x in graph(tokenizer.tensor(texts)))

    counts = TermCounts()
    for batch in parallel.in_order(batch_counts, batches):
        counts.add(*batch)
    return counts


def smooth_idf(document_counts: np.ndarray, num_documents: int) -> np.ndarray:
    """Returns 1 + ln((1 + N) / (1 + n)) of each count n, float32.

    As scikit-learn's TfidfTransformer(smooth_idf=True).
    """
    ratio = (1.0 + num_documents) / (1.0 + document_counts)
    return (1.0 + np.log(ratio)).astype(np.float32)


def _batch_counts(texts: tf.Tensor, ngrams: int) -> list[tf.Tensor]:
    """Returns terms and their document and total counts in a batch."""
    terms, occurrences = tokenizer.terms(texts, ngrams)
    ids, counts = tokenizer.count(occurrences)
    size = tf.size(terms, tf.int64)
    documents = tf.math.unsorted_segment_sum(
        tf.ones_like(counts), ids.values, size
    )
    totals = tf.math.unsorted_segment_sum(counts, ids.values, size)
    seen = tf.where(documents > 0)[:, 0]  # not so: words that are too short
    return [tf.gather(x, seen) for x in (terms, documents, totals)]


def _with_room(counts: np.ndarray, size: int) -> np.ndarray:
    """Returns the counts, or a longer copy that ends in zeros."""
    if size <= len(counts):
        return counts
    longer = np.zeros(max(size, 2 * len(counts)), counts.dtype)
    longer[: len(counts)] = counts
    return longer
