"""Ranks labels by a head's serving form, in compiled loops.

# N instances, L labels, R repetitions, B buckets, K best

Each class reads the encoders' outputs, [N, H + 1] each, or the rows where there
is no encoder, and returns estimates; `calibration` turns them into scores.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfxml.cpu import best as best_lib
from tfxml.cpu import (
    byte_products,
    centroid_loops,
    dense_stack,
    label_estimates,
    sums,
    threads,
    upper_bounds,
    weight_arrays,
)
from tfxml.models import calibration, forms, row_forms

_SCORES_AT_ONCE = 1 << 17  # as many as a cache holds
_FEWEST_BOUNDED = 4  # rows whose products are worth upper bounds
_FEWEST_OUTPUTS = 512  # of a kernel, likewise
_FEWEST_IN_LANES = 4  # rows whose terms are worth the transposition
_LABELS_PER_LISTED = 4  # all are summed where rows meet more weights than that
_MEANS = "logit", "mean"  # estimators


class LabelBlocks:
    """A `forms.BlockRanking` whose outputs are the labels."""

    rows_at_once: int | None = 512  # so many rows' outputs are in memory

    def __init__(self, form: forms.BlockRanking):
        self._starts: list[int] = []
        self._blocks: list[_Block] = []
        start = 0
        for block in form.blocks:
            size = block.bias.shape[0]
            dropped_outputs = form.dropped - start
            is_in_block = (dropped_outputs >= 0) & (dropped_outputs < size)
            self._starts.append(start)
            self._blocks.append(
                _Block(block, dropped_outputs[is_in_block].tolist())
            )
            start += size
        self.num_answers = form.num_labels - len(form.dropped)

    def top_k(
        self, encoded: Sequence, k: int, pool: threads.Threads
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' estimates and ids, [N, K] each."""
        best, label_ids = best_lib.nothing(_num_rows(encoded[0]), k)
        for start, block in zip(self._starts, self._blocks, strict=True):
            block.keep_best(encoded[0], start, best, label_ids, pool)
        return best, label_ids


class HashedLabels:
    """A `forms.BlockRanking` of repetitions; it estimates all labels."""

    rows_at_once: int | None = 512  # so many rows' outputs are in memory

    def __init__(self, form: forms.BlockRanking):
        if form.hashes is None:
            raise ValueError("`form` must have hashes. Received: hashes=None")
        self._form = form
        self._blocks = [_Block(block) for block in form.blocks]
        sizes = [label_hash.num_buckets for label_hash in form.hashes]
        self._num_buckets = sizes[0]
        offsets = np.cumsum([0, *sizes])  # of a repetition's terms among all
        buckets = np.stack(
            [
                label_hash.table(form.num_labels) + first
                for label_hash, first in zip(
                    form.hashes, offsets[:-1], strict=True
                )
            ]
        )
        buckets[:, form.dropped] = offsets[-1]  # whose term is -inf
        self._buckets = buckets.astype(np.min_scalar_type(offsets[-1]))
        self.num_answers = form.num_labels - len(form.dropped)

    def top_k(
        self, encoded: Sequence, k: int, pool: threads.Threads
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' estimates and ids, [N, K] each."""
        form, num_repetitions = self._form, len(self._blocks)
        logits = self._logits(encoded, pool)
        if form.estimator != "logit":
            logits = [calibration.sigmoid(scores) for scores in logits]
        best, label_ids = best_lib.nothing(len(logits[0]), k)
        if len(best) < _FEWEST_IN_LANES:
            self._keep_best_of_few(_joined(logits), best, label_ids, pool)
        else:
            self._keep_best_of_many(logits, best, label_ids, pool)
        if form.is_unbiased:
            mass = sum(
                scores.sum(axis=1, keepdims=True) for scores in logits
            ) / np.float32(num_repetitions)
            from tfxml.mach import decode  # here: it imports TensorFlow

            best = decode.unbiased_mean(best, mass, self._num_buckets)
        return best, label_ids

    def _logits(
        self, encoded: Sequence, pool: threads.Threads
    ) -> list[np.ndarray]:
        """Returns the logits of each repetition, [N, B]."""
        num_repetitions = len(self._blocks)
        inputs = [
            encoded[index * len(encoded) // num_repetitions]
            for index in range(num_repetitions)
        ]
        pairs = list(zip(self._blocks, inputs, strict=True))
        if _num_rows(encoded[0]) > 1 or pairs[0][0].is_linear:
            return [block.logits(rows, pool) for block, rows in pairs]
        # Of one row a processor reads a kernel.
        units = {id(rows): _active(rows) for rows in encoded}
        logits: list[Any] = [None] * num_repetitions

        def multiply(repetitions: slice) -> None:
            for index in range(repetitions.start, repetitions.stop):
                block, rows = pairs[index]
                logits[index] = block.product(units[id(rows)])

        pool.over(num_repetitions, multiply)
        return logits

    def _keep_best_of_few(
        self,
        terms: np.ndarray,
        best: np.ndarray,
        label_ids: np.ndarray,
        pool: threads.Threads,
    ) -> None:
        """Writes lists [N, K] of the best labels by terms [N, T].

        Threads share the labels.
        """
        num_labels = self._form.num_labels
        estimates = np.empty((len(terms), num_labels), np.float32)
        pool.over(
            num_labels, lambda labels: self._estimate(terms, labels, estimates)
        )
        _keep_best(estimates, 0, best, label_ids)

    def _keep_best_of_many(
        self,
        logits: Sequence[np.ndarray],
        best: np.ndarray,
        label_ids: np.ndarray,
        pool: threads.Threads,
    ) -> None:
        """Writes the same by the terms of each repetition, [N, B].

        Threads share the rows.
        """
        form = self._form
        in_lanes = form.estimator in _MEANS
        rows_at_once = label_estimates.ROWS_AT_ONCE
        if not in_lanes:
            rows_at_once = max(_SCORES_AT_ONCE // form.num_labels, 1)

        def keep_best(rows_of_thread: slice) -> None:
            for rows in _parts(rows_of_thread, rows_at_once):
                terms = _joined([scores[rows] for scores in logits])
                if in_lanes:
                    label_estimates.keep_best_means(
                        terms, self._buckets, best[rows], label_ids[rows]
                    )
                    continue
                estimates = np.empty((len(terms), form.num_labels), np.float32)
                self._estimate(terms, slice(0, form.num_labels), estimates)
                _keep_best(estimates, 0, best[rows], label_ids[rows])

        pool.over(len(best), keep_best)

    def _estimate(
        self, terms: np.ndarray, labels: slice, estimates: np.ndarray
    ) -> None:
        """Writes the estimates of some labels, of [n, L], from terms [n, T]."""
        run = labels.start, labels.stop
        if self._form.estimator in _MEANS:
            label_estimates.means(terms, self._buckets, *run, estimates)
            return
        ranks = _RANKS[self._form.estimator](len(self._blocks))
        label_estimates.middles(terms, self._buckets, *run, *ranks, estimates)


class IndexedLabels:
    """A `forms.InvertedIndex`; it keeps the estimates of a row at a time."""

    rows_at_once: int | None = None

    def __init__(self, form: forms.InvertedIndex):
        self._form = form
        labels = weight_arrays.ids(form.labels, form.num_labels)
        splits = weight_arrays.splits(form.splits, len(labels))
        weights = weight_arrays.array(form.kernel)
        is_used = (weights != 0) & ~np.isin(labels, form.dropped)
        places = np.concatenate([[0], np.cumsum(is_used.sum(axis=1))])
        self._splits = places[splits]
        # As few bytes as possible: most of the time goes into reading them.
        self._labels = labels[is_used].astype(
            np.min_scalar_type(form.num_labels - 1)
        )
        self._weights = weights[is_used]
        self._label_ids = np.arange(form.num_labels, dtype=np.uint32)
        self.num_answers = form.num_labels - len(form.dropped)

    def top_k(
        self, encoded: Sequence, k: int, pool: threads.Threads
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' estimates and ids, [N, K] each."""
        (rows,) = encoded
        form = self._form
        best, label_ids = best_lib.nothing(_num_rows(rows), k)

        def keep_best(rows_of_thread: slice) -> None:
            centroid_loops.keep_best(
                rows.splits[rows_of_thread.start : rows_of_thread.stop + 1],
                rows.feature_ids,
                rows.values,
                self._splits,
                self._labels,
                self._weights,
                form.dropped,
                self._label_ids,
                form.num_labels // _LABELS_PER_LISTED,
                best[rows_of_thread],
                label_ids[rows_of_thread],
            )

        pool.over(len(best), keep_best)
        return form.slope * (best - form.middle), label_ids


def ranking(
    form: forms.BlockRanking | forms.InvertedIndex,
) -> LabelBlocks | HashedLabels | IndexedLabels:
    """Returns the ranking of a form."""
    if isinstance(form, forms.InvertedIndex):
        return IndexedLabels(form)
    return LabelBlocks(form) if form.hashes is None else HashedLabels(form)


# Which ranks of a label's terms are averaged, by the number of repetitions.
_RANKS = {
    "min": lambda number: (0, 1),
    "median": lambda number: ((number - 1) // 2, number // 2 + 1),
}


class _Block:
    """A `forms.Block`. The logits of dropped outputs are -inf."""

    def __init__(self, form: forms.Block, dropped: Sequence[int] = ()):
        self._kernel = weight_arrays.array(form.kernel)
        self._bias = weight_arrays.array(form.bias).copy()
        self._bias[list(dropped)] = -np.inf
        self.is_linear = form.is_linear
        if not form.is_linear:
            # Inputs end in a 1: faster than adding the bias afterwards.
            self._kernel = np.ascontiguousarray(
                np.vstack([self._kernel.T, self._bias])
            )
        self._tensor: Any = None  # of the kernel; the two share memory

    def logits(self, encoded: Any, pool: threads.Threads) -> np.ndarray:
        """Returns [N, B]."""
        if self.is_linear:
            return dense_stack.sparse_product(
                encoded, self._kernel, self._bias, pool
            )
        if len(encoded) == 1:  # done before TensorFlow has started an op
            return self.product(_active(encoded))
        # NumPy's threads would spin for a while after it, and slow the loops.
        # But TensorFlow is not imported for its product.
        if "tensorflow" not in sys.modules:
            return encoded @ self._kernel
        import tensorflow as tf

        with tf.device("CPU"):
            if self._tensor is None:
                self._tensor = tf.constant(self._kernel)
                self._kernel = np.asarray(self._tensor)
            return np.asarray(tf.matmul(encoded, self._tensor))

    def keep_best(
        self,
        encoded: Any,
        first_label: int,
        best: np.ndarray,
        best_ids: np.ndarray,
        pool: threads.Threads,
    ) -> None:
        """Adds the logits of labels from `first_label` on to lists [N, K]."""
        num_outputs = len(self._bias)
        if (
            not self.is_linear
            and len(encoded) >= _FEWEST_BOUNDED
            and num_outputs >= _FEWEST_OUTPUTS
            and encoded.shape[1] <= upper_bounds.MOST_UNITS
            and byte_products.are_fast()
        ):
            label_ids = np.arange(
                first_label, first_label + num_outputs, dtype=np.uint32
            )
            bounds = self._upper_bounds

            def keep(rows: slice) -> None:
                bounds.keep_best(
                    encoded[rows], label_ids, best[rows], best_ids[rows]
                )
        else:
            logits = self.logits(encoded, pool)

            def keep(rows: slice) -> None:
                _keep_best(
                    logits[rows], first_label, best[rows], best_ids[rows]
                )

        pool.over(len(best), keep)

    @functools.cached_property
    def _upper_bounds(self) -> upper_bounds.UpperBounds:
        return upper_bounds.UpperBounds(np.ascontiguousarray(self._kernel.T))

    def product(self, row: row_forms.RaggedRows) -> np.ndarray:
        """Returns the logits [1, B] of a row's units that are not 0.

        It takes as long as reading the kernel, of which the other units spare
        their part.
        """
        product = np.zeros((1, self._kernel.shape[1]), np.float32)
        sums.add_products(
            row.splits, row.feature_ids, row.values, self._kernel, product
        )
        return product


def _joined(terms: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the terms of all repetitions, and the one of dropped labels."""
    of_dropped = np.full((len(terms[0]), 1), -np.inf, np.float32)
    return np.concatenate([*terms, of_dropped], axis=1)


def _parts(rows: slice, size: int) -> Iterator[slice]:
    """Yields slices of at most `size` rows that make up a slice."""
    for start in range(rows.start, rows.stop, size):
        yield slice(start, min(start + size, rows.stop))


def _active(encoded: np.ndarray) -> row_forms.RaggedRows:
    """Returns one row [1, H] as its units that are not 0."""
    units = np.flatnonzero(encoded[0])
    return row_forms.RaggedRows(
        units.astype(np.uint32), encoded[0][units], np.array([0, len(units)])
    )


def _keep_best(
    scores: np.ndarray, first_label: int, best: np.ndarray, best_ids: np.ndarray
) -> None:
    """Adds the scores [N, C] of labels from `first_label` on."""
    label_ids = np.arange(first_label, first_label + scores.shape[1])
    best_lib.keep_best(scores, label_ids.astype(np.uint32), best, best_ids)


def _num_rows(encoded) -> int:
    """Returns N."""
    if isinstance(encoded, row_forms.RaggedRows):
        return len(encoded.splits) - 1
    return len(encoded)
