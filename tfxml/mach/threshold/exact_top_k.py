"""Finds the exact best labels without scoring every label.

# N instances, L labels, R repetitions, B buckets, K top labels

Fagin, Lotem and Naor's threshold argument ("Optimal aggregation algorithms
for middleware", 2003) for a monotone estimator: open each repetition's best
buckets; a label in none of them scores at most the estimate of the repetitions'
next bucket scores. There, opening a bucket costs its L / B labels. Here only
labels in opened buckets of two repetitions are looked up, L / B^2 for a pair of
buckets (see `crossings`). A label in fewer has at most the next score in all
repetitions but one, and the best score there. Where that bound is below the
k-th best score found, the answer is certified: it is that of scoring every
label, ties and their order included.

How many buckets are opened follows from the k-th best score: a few for a first
guess of it, then the fewest that certify it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfxml.mach import decode, hashing
from tfxml.mach.threshold import bucket_pairs, crossings, opening

_FIRST_PAIRS = 32_768  # bucket pairs of an instance in the second round
_WIDENING = 8  # factor from one round to the next
_GROUP_ROWS = 32  # instances of a group
_GROUPS_AT_ONCE = 8
_WIDENED_ROWS = 512  # instances widened together: their scores are copied
_GROUP_PAIRS = 2_000_000  # bucket pairs at a time, which bounds memory
_MAX_PAIRS = 8_000_000  # of an instance
_FIRST_DEPTH = 12  # buckets of a repetition to open at first, besides k
_DEPTH = 512  # and later


class Decoded(NamedTuple):
    """The best labels found, and the work done."""

    scores: tf.Tensor  # [N, K] estimates, best first; -inf: no label was found
    label_ids: tf.Tensor  # [N, K] int32
    is_certified: tf.Tensor  # [N]: whether they are the best of all labels
    buckets_opened: tf.Tensor  # [N] int32, in the last round
    labels_scored: tf.Tensor  # [N] int32, in all rounds


def top_k(
    bucket_logits: Sequence[tf.Tensor],
    tables: crossings.Crossings,
    k: int,
    estimator: str,
    budget: int,
) -> Decoded:
    """Returns the best labels' estimates and ids, certified where possible.

    Args:
        bucket_logits: R tensors [N, B].
        tables: of the R repetitions' hashes.
        k: how many labels; with fewer, K is their number.
        estimator: one of `mach_choices.ESTIMATORS`.
        budget: the most bucket pairs looked up for an instance in a round.

    Raises:
        tf.errors.InvalidArgumentError: if a logit is not a number.
    """
    decode.check_estimator(estimator)
    k = min(k, tables.num_labels - len(tables.dropped))
    first_pairs = min(_FIRST_PAIRS, budget)
    # Of the whole batch: how a sigmoid is rounded depends on its place there.
    repetitions = [
        decode.bucket_scores(logits, estimator) for logits in bucket_logits
    ]
    decoded = _decode_in_groups(
        lambda group: _start(group, tables, k, estimator, first_pairs),
        repetitions,
        k,
        _GROUP_ROWS,
        _GROUPS_AT_ONCE,
    )
    return tf.cond(
        tf.reduce_all(decoded.is_certified),
        lambda: decoded,
        lambda: _further_rounds(
            decoded, repetitions, tables, estimator, first_pairs, budget
        ),
    )


def _decode_in_groups(
    decode_group, tensors: Sequence, k: int, num_rows: int, at_once: int
) -> Decoded:
    """Calls `decode_group` on groups of instances; joins the results.

    Most ops run on one core: several groups keep the other cores busy.
    """
    num_instances = tf.shape(tensors[0])[0]
    num_groups = tf.maximum(-(-num_instances // num_rows), 1)
    arrays = [
        tf.TensorArray(
            dtype, num_groups, infer_shape=False, element_shape=shape
        )
        for dtype, shape in (
            (tf.float32, [None, k]),
            (tf.int32, [None, k]),
            (tf.bool, [None]),
            (tf.int32, [None]),
            (tf.int32, [None]),
        )
    ]

    def step(group, arrays):
        rows = slice(group * num_rows, (group + 1) * num_rows)
        decoded = decode_group([tensor[rows] for tensor in tensors])
        return group + 1, [
            array.write(group, member)
            for array, member in zip(arrays, decoded, strict=True)
        ]

    _, arrays = tf.while_loop(
        lambda group, arrays: group < num_groups,
        step,
        (tf.constant(0), arrays),
        parallel_iterations=at_once,
    )
    return Decoded(*(array.concat() for array in arrays))


def _start(repetitions, tables, k: int, estimator: str, pairs: int) -> Decoded:
    """Opens a few buckets to guess the k-th score, then those it requires."""
    scores = _checked(tf.stack(repetitions, axis=1))
    num_instances = tf.shape(scores)[0]
    state = Decoded(
        tf.fill([num_instances, k], -float("inf")),
        tf.zeros([num_instances, k], tf.int32),
        tf.zeros([num_instances], tf.bool),
        tf.zeros([num_instances], tf.int32),
        tf.zeros([num_instances], tf.int32),
    )
    ranked = opening.rank(scores, _FIRST_DEPTH + k)
    depths = opening.first_depths(ranked, k)
    rows = tf.range(num_instances)
    state = _open(state, ranked, tables, rows, depths, estimator)
    rows = tf.boolean_mask(rows, ~state.is_certified)
    return _round(state, ranked, tables, rows, pairs, estimator)


def _further_rounds(
    decoded: Decoded, repetitions, tables, estimator, pairs: int, budget: int
):
    """Runs more rounds for the instances that are not certified yet."""

    def widen(tensors):
        state = Decoded(*tensors[: len(decoded)])
        scores_by_repetition = tensors[len(decoded) :]
        ranked = opening.rank(tf.stack(scores_by_repetition, axis=1), _DEPTH)
        return _widen(state, ranked, tables, pairs, budget, estimator)

    rows = tf.where(~decoded.is_certified)  # [n, 1]
    tensors = [
        tf.gather(tensor, rows[:, 0]) for tensor in (*decoded, *repetitions)
    ]
    k = decoded.scores.shape[1]
    widened = _decode_in_groups(widen, tensors, k, _WIDENED_ROWS, at_once=1)
    return Decoded(
        *(
            tf.tensor_scatter_nd_update(before, rows, after)
            for before, after in zip(decoded, widened, strict=True)
        )
    )


def _checked(scores):
    """Returns the scores, which must be numbers."""
    total = tf.reduce_sum(scores)  # also NaN for infinities of both signs
    is_number = tf.cond(
        tf.math.is_nan(total),
        lambda: ~tf.reduce_any(tf.math.is_nan(scores)),
        lambda: tf.constant(True),
    )
    check = tf.debugging.Assert(
        is_number, ["`bucket_logits` must be numbers. Received: NaN"]
    )
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(scores)


def _widen(state, ranked, tables, pairs: int, most_pairs: int, estimator):
    """Opens more buckets each round, up to `most_pairs` pairs per instance."""

    def is_left(pairs, state):
        return (pairs <= most_pairs) & ~tf.reduce_all(state.is_certified)

    def widen(pairs, state):
        rows = tf.cast(tf.where(~state.is_certified)[:, 0], tf.int32)
        state = _round(state, ranked, tables, rows, pairs, estimator)
        # The last round takes all pairs that are allowed.
        return tf.where(
            pairs < most_pairs,
            tf.minimum(pairs * _WIDENING, most_pairs),
            most_pairs + 1,
        ), state

    return tf.while_loop(is_left, widen, (tf.constant(pairs), state))[1]


def exact_top_k(
    bucket_logits: Sequence[tf.Tensor],
    hashes: Sequence[hashing.UniversalHash],
    tables: crossings.Crossings,
    k: int,
    estimator: str,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `decode.top_k` returns.

    For instances without a certificate every label is scored.
    """
    # A pair costs about as much as scoring a label in 32 repetitions.
    affordable = tables.num_labels * len(hashes) // 32
    decoded = top_k(
        bucket_logits, tables, k, estimator, min(affordable, _MAX_PAIRS)
    )
    scores, label_ids = decoded.scores, decoded.label_ids
    rows = tf.where(~decoded.is_certified)  # [n, 1]

    def score_every_label():
        # Gathered after the sigmoid, whose rounding depends on the place.
        terms = decode.terms(bucket_logits, estimator)
        rest = decode.top_k_of_terms(
            [tf.gather(term, rows[:, 0]) for term in terms],
            hashes,
            tables.num_labels,
            k,
            estimator,
            dropped=tables.dropped,
        )
        return (
            tf.tensor_scatter_nd_update(scores, rows, rest[0]),
            tf.tensor_scatter_nd_update(label_ids, rows, rest[1]),
        )

    return tf.cond(
        tf.reduce_all(decoded.is_certified),
        lambda: (scores, label_ids),
        score_every_label,
    )


def _round(state: Decoded, ranked, tables, rows, most_pairs, estimator):
    """Opens the buckets that certify `rows`, up to `most_pairs` pairs."""
    kth = tf.gather(state.scores[:, -1], rows)
    depths = opening.depths(
        opening.of_rows(ranked, rows), kth, most_pairs, estimator
    )
    ends = tf.cumsum(tf.cast(opening.num_pairs(depths), tf.int64))

    def is_left(start, state):
        return start < tf.size(rows)

    def step(start, state):
        pairs_before = tf.where(start > 0, ends[tf.maximum(start - 1, 0)], 0)
        stop = tf.searchsorted(ends, [pairs_before + _GROUP_PAIRS], "right")[0]
        stop = tf.maximum(stop, start + 1)
        group = slice(start, stop)
        state = _open(
            state, ranked, tables, rows[group], depths[group], estimator
        )
        return stop, state

    return tf.while_loop(is_left, step, (tf.constant(0), state))[1]


def _open(state: Decoded, ranked, tables, rows, depths, estimator) -> Decoded:
    """Opens the `depths` [n, R] best buckets of `rows`."""
    ranked = opening.of_rows(ranked, rows)
    old_scores = tf.gather(state.scores, rows)
    k = state.scores.shape[1]
    scores, label_ids, scored = bucket_pairs.best(
        ranked, tables, depths, old_scores[:, -1], k, estimator
    )
    is_certified = opening.bound(ranked, depths, estimator) < scores[:, -1]
    # Without a certificate the better guess is kept.
    is_better = is_certified | (scores[:, -1] > old_scores[:, -1])
    is_better |= tf.math.is_inf(old_scores[:, -1])
    scores = tf.where(is_better[:, None], scores, old_scores)
    label_ids = tf.where(
        is_better[:, None], label_ids, tf.gather(state.label_ids, rows)
    )
    indices = rows[:, None]
    update = tf.tensor_scatter_nd_update
    return Decoded(
        update(state.scores, indices, scores),
        update(state.label_ids, indices, label_ids),
        update(state.is_certified, indices, is_certified),
        update(state.buckets_opened, indices, tf.reduce_sum(depths, 1)),
        tf.tensor_scatter_nd_add(state.labels_scored, indices, scored),
    )
