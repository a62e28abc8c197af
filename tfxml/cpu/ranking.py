"""Heads' best labels.

# N instances, L labels, C labels of a block, R repetitions, B buckets, K best

Each takes what the encoders return, [N, H] a encoder, or the rows where there
is none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfxml.cpu import best as best_lib
from tfxml.cpu import centroid_loops as host_centroids
from tfxml.cpu import dense_stack, label_estimates, threads, weight_arrays
from tfxml.mach import decode as mach_decode
from tfxml.models import blocks, sparse_rows
from tfxml.models.heads import centroid, mach_head, sigmoid

_SCORES_AT_ONCE = 1 << 17  # of some rows and all labels: what a cache holds


class Sigmoid:
    """What a `SigmoidHead` finds."""

    def __init__(self, own: sigmoid.SigmoidHead):
        self._starts = own.starts
        self._blocks = []
        for start, block in zip(own.starts, own.blocks, strict=True):
            places = own.dropped - start
            is_here = (places >= 0) & (places < block.num_outputs)
            self._blocks.append(_Block(block, places[is_here]))
        self.num_answers = own.num_labels - len(own.dropped)

    def top_k(
        self, encoded: Sequence, k: int, share: threads.Threads
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' probabilities and ids, [N, K] each."""
        best, label_ids = best_lib.nothing(_num_rows(encoded[0]), k)
        for start, block in zip(self._starts, self._blocks, strict=True):
            logits = block.logits(encoded[0], share)

            def keep_best(some: slice, logits=logits, start=start) -> None:
                _keep_best(logits[some], start, best[some], label_ids[some])

            share.over(len(logits), keep_best)
        return probabilities(best), label_ids


class Mach:
    """What a `MachHead` finds, of all labels' estimates."""

    def __init__(self, own: mach_head.MachHead):
        self._own = own
        self._blocks = [_Block(one) for one in own.blocks]
        sizes = [one.num_buckets for one in own.hashes]
        firsts = np.cumsum([0, *sizes])  # of a repetition's terms among all
        self._buckets = np.stack(
            [
                one.table(own.num_labels) + first
                for one, first in zip(own.hashes, firsts[:-1], strict=True)
            ]
        ).astype(np.min_scalar_type(firsts[-1]))
        self.num_answers = own.num_labels - len(own.dropped)

    def top_k(
        self, encoded: Sequence, k: int, share: threads.Threads
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' scores and ids, [N, K] each."""
        own, num_repetitions = self._own, len(self._blocks)
        logits = [
            block.logits(
                encoded[repetition * len(encoded) // num_repetitions], share
            )
            for repetition, block in enumerate(self._blocks)
        ]
        by_logit = own.estimator == "logit"
        scores = logits if by_logit else [probabilities(one) for one in logits]
        terms = np.concatenate(scores, axis=1)

        def estimates(some: slice) -> np.ndarray:
            found = np.empty(
                (some.stop - some.start, own.num_labels), np.float32
            )
            if own.estimator in ("logit", "mean"):
                label_estimates.means(terms[some], self._buckets, found)
            else:
                ranks = _RANKS[own.estimator](num_repetitions)
                label_estimates.middles(
                    terms[some], self._buckets, *ranks, found
                )
            found[:, own.dropped] = -np.inf
            return found

        best, label_ids = best_lib.nothing(len(terms), k)
        at_once = max(_SCORES_AT_ONCE // own.num_labels, 1)

        def keep_best(some: slice) -> None:
            for start in range(some.start, some.stop, at_once):
                few = slice(start, min(start + at_once, some.stop))
                _keep_best(estimates(few), 0, best[few], label_ids[few])

        share.over(len(terms), keep_best)
        if by_logit:
            best = probabilities(best)
        elif own.estimator == "mean" and own.has_collisions():
            mass = terms.sum(axis=1, keepdims=True) / np.float32(
                num_repetitions
            )
            best = mach_decode.unbiased_mean(
                best, mass, own.hashes[0].num_buckets
            )
        return best, label_ids


class Centroids:
    """What a `CentroidHead` finds."""

    def __init__(self, own: centroid.CentroidHead):
        self._splits = weight_arrays.array(own.splits)
        self._labels = weight_arrays.array(own.labels).view(np.uint32)
        self._kernel = weight_arrays.array(own.kernel)
        self._dropped = own.dropped
        self._num_labels = own.num_labels
        self.num_answers = own.num_labels - len(own.dropped)
        if len(own.dropped):
            is_dropped = np.isin(self._labels, own.dropped)
            self._kernel = np.where(is_dropped, np.float32(0), self._kernel)

    def top_k(
        self, encoded: Sequence, k: int, share: threads.Threads
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' scores and ids, [N, K] each."""
        (rows,) = encoded
        best, label_ids = best_lib.nothing(_num_rows(rows), k)
        table = self._splits, self._labels, self._kernel

        def keep_best(some: slice) -> None:
            has_few = host_centroids.keep_positive(
                rows.splits[some.start : some.stop + 1],
                rows.feature_ids,
                rows.values,
                *table,
                self._num_labels,
                best[some],
                label_ids[some],
            )
            for row in some.start + np.flatnonzero(has_few):
                cosines = np.zeros((1, self._num_labels), np.float32)
                host_centroids.add_cosines(
                    rows.splits[row : row + 2],
                    rows.feature_ids,
                    rows.values,
                    *table,
                    cosines,
                )
                cosines[:, self._dropped] = -np.inf
                _keep_best(
                    cosines, 0, best[row : row + 1], label_ids[row : row + 1]
                )

        share.over(len(best), keep_best)
        return probabilities(centroid.logits_of(best)), label_ids


HEADS = {
    sigmoid.SigmoidHead: Sigmoid,
    mach_head.MachHead: Mach,
    centroid.CentroidHead: Centroids,
}
# Of how many repetitions' terms in order which are looked at.
_RANKS = {
    "min": lambda number: (0, 1),
    "median": lambda number: ((number - 1) // 2, number // 2 + 1),
}


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Returns the sigmoid of logits."""
    with np.errstate(over="ignore"):  # of a large one's exponential: 0
        return 1 / (1 + np.exp(-logits))


class _Block:
    """What an `OutputBlock` finds; outputs that are dropped: -infinity."""

    def __init__(self, own: blocks.OutputBlock, dropped=()):
        self._kernel = weight_arrays.array(own.kernel)
        self._bias = weight_arrays.array(own.bias)
        self._bias[list(dropped)] = -np.inf
        self._is_linear = own.is_linear
        if not own.is_linear:
            # Inputs end in a 1, which is quicker than adding the bias.
            whole = np.vstack([self._kernel.T, self._bias])
            with tf.device("CPU"):
                self._kernel = tf.constant(whole)

    def logits(self, encoded, share: threads.Threads) -> np.ndarray:
        """Returns [N, B]."""
        if self._is_linear:
            return dense_stack.sparse_product(
                encoded, self._kernel, self._bias, share
            )
        if len(encoded) == 1:  # sooner done than TensorFlow has begun
            return encoded @ np.asarray(self._kernel)
        # NumPy's threads would go on waiting busily, in the way of others.
        with tf.device("CPU"):
            return np.asarray(tf.matmul(encoded, self._kernel))


def _keep_best(
    scores: np.ndarray, first_label: int, best: np.ndarray, ids: np.ndarray
) -> None:
    """Adds the scores [N, C] of labels that follow one another."""
    label_ids = np.arange(first_label, first_label + scores.shape[1])
    best_lib.keep_best(scores, label_ids.astype(np.uint32), best, ids)


def _num_rows(encoded) -> int:
    """Returns N."""
    if isinstance(encoded, sparse_rows.RaggedRows):
        return len(encoded.splits) - 1
    return len(encoded)
