"""Counts the terms of documents and selects those that become features.

# N documents, V terms seen so far
"""

from __future__ import annotations

import collections
import heapq
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO

import numpy as np
import tensorflow as tf

from tfxml.data import parallel
from tfxml.data.text import tokenizer

# Terms counted in memory, at about 150 bytes each.
MOST_TERMS = 3_000_000

# A term, how many documents it occurs in, and how often it occurs.
_Count = tuple[bytes, int, int]


class TermCounts:
    """Counts terms over batches of documents, exactly and in bounded memory.

    Beyond `most_terms` the counts are written to a temporary file, sorted by
    term, and counting starts again; `select` merges the files. `most_terms` and
    the selected terms bound the memory.
    """

    _document_counts: np.ndarray  # the first V elements are in use
    _total_counts: np.ndarray  # as above

    def __init__(self, most_terms: int = MOST_TERMS):
        self.num_documents = 0
        self._most_terms = most_terms
        self._runs: list[IO[bytes]] = []  # files of sorted lines
        self._start()

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
        self._document_counts = _with_space(
            self._document_counts, len(self._positions)
        )
        self._total_counts = _with_space(
            self._total_counts, len(self._positions)
        )
        self._document_counts[positions] += document_counts
        self._total_counts[positions] += total_counts
        self.num_documents += num_documents
        if len(self._positions) > self._most_terms:
            self._spill()

    def select(
        self, min_df: int | float, max_features: int | None
    ) -> tuple[list[str], np.ndarray]:
        """Returns the terms to keep, sorted, and their document counts.

        Args:
            min_df: the fewest documents of a term; below 1: a fraction of all.
            max_features: how many terms to keep, those of the largest total
                counts, of equal ones the first in the alphabet; None: all.

        Raises:
            ValueError: if `min_df` is more than N, or no term is left.
        """
        min_documents = min_df if min_df >= 1 else min_df * self.num_documents
        if min_documents > self.num_documents:
            raise ValueError(
                "`min_df` must be at most the number of documents, "
                f"{self.num_documents}. Received: min_df={min_df}"
            )
        num_terms, terms, document_counts, total_counts = self._frequent(
            min_documents
        )
        if not terms:
            raise ValueError(
                "`batches` must hold a term (two or more letters or digits) "
                "in at least `min_df` documents. Received: "
                f"{self.num_documents} documents with {num_terms} terms, "
                f"min_df={min_df}"
            )
        selected: np.ndarray = np.arange(len(terms))
        if max_features is not None:
            by_total = np.argsort(-total_counts, kind="stable")
            selected = np.sort(by_total[:max_features])
        return [terms[i].decode("utf-8") for i in selected], document_counts[
            selected
        ]

    def words(self, min_df: int | float) -> tuple[list[str], np.ndarray]:
        """Returns the single words of enough documents, and their counts.

        Args:
            min_df: as of `select`.
        """
        min_documents = min_df if min_df >= 1 else min_df * self.num_documents
        _, terms, _, totals = self._frequent(min_documents)
        is_word = np.array([b" " not in term for term in terms], bool)
        words = [terms[i].decode("utf-8") for i in np.flatnonzero(is_word)]
        return words, totals[is_word]

    def _frequent(
        self, min_documents: float
    ) -> tuple[int, list[bytes], np.ndarray, np.ndarray]:
        """Returns the number of all terms, and the terms of enough documents.

        They are sorted by their UTF-8 bytes, which is Python's order of
        strings, by code point, and come with their document and total counts.
        """
        num_terms, terms, documents, totals = 0, [], [], []
        for term, document_count, total_count in _merged(
            [*map(_read_run, self._runs), self._ascending()]
        ):
            num_terms += 1
            if document_count >= min_documents:
                terms.append(term)
                documents.append(document_count)
                totals.append(total_count)
        return (
            num_terms,
            terms,
            np.array(documents, np.int64),
            np.array(totals, np.int64),
        )

    def _start(self) -> None:
        self._positions: collections.defaultdict[bytes, int]
        self._positions = collections.defaultdict()
        self._positions.default_factory = self._positions.__len__
        self._document_counts = np.zeros(1024, np.int64)
        self._total_counts = np.zeros(1024, np.int64)

    def _ascending(self) -> Iterator[_Count]:
        """Yields the counts in memory, sorted by term."""
        for term in sorted(self._positions):
            position = self._positions[term]
            yield (
                term,
                int(self._document_counts[position]),
                int(self._total_counts[position]),
            )

    def _spill(self) -> None:
        # No term holds a line break or a tab: it is words joined by blanks.
        run = tempfile.TemporaryFile()
        run.writelines(b"%b\t%d\t%d\n" % count for count in self._ascending())
        self._runs.append(run)
        self._start()


def _read_run(run: IO[bytes]) -> Iterator[_Count]:
    run.seek(0)
    for line in run:
        term, document_count, total_count = line.split(b"\t")
        yield term, int(document_count), int(total_count)


def _merged(runs: list[Iterator[_Count]]) -> Iterator[_Count]:
    """Yields the sums over sorted runs, sorted."""
    ordered = heapq.merge(*runs)
    for term, counts in itertools.groupby(ordered, lambda count: count[0]):
        document_count = total_count = 0
        for _, documents, total in counts:
            document_count += documents
            total_count += total
        yield term, document_count, total_count


def count(
    batches: Iterable[Sequence[str]],
    ngrams: int,
    most_terms: int = MOST_TERMS,
    normalize: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> TermCounts:
    """Returns the counts of the terms of normalised documents.

    Args:
        batches: runs of documents.
        ngrams: the longest n-gram, in words.
        most_terms: how many to count in memory.
        normalize: applied to the texts first.
    """
    graph = tokenizer.graph(
        lambda texts: _batch_counts(normalize(texts), ngrams)
    )

    def batch_counts(texts):
        return len(texts), *(x.numpy() for x in graph(tokenizer.tensor(texts)))

    counts = TermCounts(most_terms)
    for batch in parallel.in_order(batch_counts, batches):
        counts.add(*batch)
    return counts


def smooth_idf(document_counts: np.ndarray, num_documents: int) -> np.ndarray:
    """Returns 1 + ln((1 + N) / (1 + n)) of each count n, float32.

    As in scikit-learn's TfidfTransformer(smooth_idf=True).
    """
    ratio = (1.0 + num_documents) / (1.0 + document_counts)
    return (1.0 + np.log(ratio)).astype(np.float32)


def ngram_factors(terms: Sequence[str], weight: float) -> np.ndarray:
    """Returns `weight` for each term of two words and more, else 1, float32."""
    return np.array([weight if " " in term else 1 for term in terms], "f4")


def _batch_counts(texts: tf.Tensor, ngrams: int) -> list[tf.Tensor]:
    """Returns terms and their document and total counts in a batch."""
    terms, occurrences = tokenizer.terms(texts, ngrams)
    ids, counts = tokenizer.count(occurrences)
    size = tf.size(terms, tf.int64)
    documents = tf.math.unsorted_segment_sum(
        tf.ones_like(counts), ids.values, size
    )
    totals = tf.math.unsorted_segment_sum(counts, ids.values, size)
    # Words that are too short do not occur.
    occurring = tf.where(documents > 0)[:, 0]
    return [tf.gather(x, occurring) for x in (terms, documents, totals)]


def _with_space(counts: np.ndarray, size: int) -> np.ndarray:
    """Returns the counts, or a longer copy padded with zeros."""
    if size <= len(counts):
        return counts
    larger = np.zeros(max(size, 2 * len(counts)), counts.dtype)
    larger[: len(counts)] = counts
    return larger
