"""The exact best labels without a look at every label.

# N instances, L labels, R repetitions, B buckets, K top labels, D depth,
# I opened buckets, C candidate labels

Fagin, Lotem and Naor's threshold argument ("Optimal aggregation algorithms
for middleware", 2003) for a monotone estimator: open each repetition's best
buckets; a label in none of them scores no more than the estimate of the
repetitions' next bucket scores. Opening a bucket costs its L / B labels. Here
opening costs nothing, and only labels that are in opened buckets of two
repetitions are looked up: L / B^2 for two buckets (see `crossings`). A label in
fewer has the next score in all repetitions but one, and there at most the best.
Where that bound is below the k-th best score found, the answer is certified:
it is that of a look at every label, ties and their order included.

How many buckets of each repetition are opened follows from the k-th best score:
first a guess of it from few buckets, then the fewest that certify it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfxml.mach import decode, hashing
from tfxml.mach.threshold import bucket_pairs, crossings, opening

_FIRST_PAIRS = 32_768  # bucket pairs of an instance in the second round
_WIDENING = 8  # times as many in each further round
_GROUP_ROWS = 32  # instances of a group
_GROUPS_AT_ONCE = 8
_REST_ROWS = 512  # instances widened at once: their scores are copied
_GROUP_PAIRS = 2_000_000  # bucket pairs at once: what memory is bounded by
_MOST_PAIRS = 8_000_000  # of an instance
_FIRST_DEPTH = (
    12  # buckets of a repetition that can be opened at first, beside k
)
_DEPTH = 512  # and later


class Decoded(NamedTuple):
    """The best labels found, and at what cost."""

    scores: tf.Tensor  # [N, K] estimates, best first; -inf where none is found
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
    """Returns the best labels' estimates and ids, certified where it can be.

    Args:
        bucket_logits: R tensors [N, B].
        tables: of the R repetitions' hashes.
        k: how many labels; K is no more than there are.
        estimator: one of `decode.ESTIMATORS`.
        budget: the most bucket pairs looked up for an instance in a round.

    Raises:
        tf.errors.InvalidArgumentError: if a logit is not a number.
    """
    decode.check_estimator(estimator)
    k = min(k, tables.num_labels - len(tables.dropped))
    first_pairs = min(_FIRST_PAIRS, budget)
    # Of the whole batch: a rounded sigmoid depends on its place there.
    repetitions = [
        decode.bucket_scores(one, estimator) for one in bucket_logits
    ]
    found = _of_groups(
        lambda some: _first(some, tables, k, estimator, first_pairs),
        repetitions,
        k,
        _GROUP_ROWS,
        _GROUPS_AT_ONCE,
    )
    return tf.cond(
        tf.reduce_all(found.is_certified),
        lambda: found,
        lambda: _rest(
            found, repetitions, tables, estimator, first_pairs, budget
        ),
    )


def _of_groups(
    find, tensors: Sequence[tf.Tensor], k: int, num_rows: int, at_once: int
) -> Decoded:
    """Returns what `find` does of groups of instances, several at once.

    Most of the ops run on one core; groups of their own keep the others busy.
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
        found = find([one[rows] for one in tensors])
        return group + 1, [
            array.write(group, one)
            for array, one in zip(arrays, found, strict=True)
        ]

    _, arrays = tf.while_loop(
        lambda group, arrays: group < num_groups,
        step,
        (tf.constant(0), arrays),
        parallel_iterations=at_once,
    )
    return Decoded(*(array.concat() for array in arrays))


def _first(repetitions, tables, k: int, estimator: str, pairs: int) -> Decoded:
    """Opens few buckets for a guess, then what the guess asks for."""
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


def _rest(
    found: Decoded, repetitions, tables, estimator, pairs: int, budget: int
):
    """Returns `found`, its instances without a certificate widened."""

    def widen(some):
        state, of_repetitions = Decoded(*some[: len(found)]), some[len(found) :]
        ranked = opening.rank(tf.stack(of_repetitions, axis=1), _DEPTH)
        return _widen(state, ranked, tables, pairs, budget, estimator)

    left = tf.where(~found.is_certified)  # [n, 1]
    tensors = [tf.gather(one, left[:, 0]) for one in (*found, *repetitions)]
    k = found.scores.shape[1]
    rest = _of_groups(widen, tensors, k, _REST_ROWS, at_once=1)
    return Decoded(
        *(
            tf.tensor_scatter_nd_update(one, left, other)
            for one, other in zip(found, rest, strict=True)
        )
    )


def _checked(scores):
    """Returns the scores; refuses what is not a number."""
    total = tf.reduce_sum(scores)  # NaN for infinities of both signs too
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
    """Opens more and more, up to `most_pairs` pairs of an instance."""

    def is_left(pairs, state):
        return (pairs <= most_pairs) & ~tf.reduce_all(state.is_certified)

    def widen(pairs, state):
        rows = tf.cast(tf.where(~state.is_certified)[:, 0], tf.int32)
        state = _round(state, ranked, tables, rows, pairs, estimator)
        # The last round takes all that is allowed.
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
    """Returns what `decode.top_k` does.

    Instances without a certificate are decoded by looking at every label.
    """
    # A pair costs about as much as 32 scores of one label in one repetition.
    affordable = tables.num_labels * len(hashes) // 32
    found = top_k(
        bucket_logits, tables, k, estimator, min(affordable, _MOST_PAIRS)
    )
    scores, label_ids = found.scores, found.label_ids
    rows = tf.where(~found.is_certified)  # [n, 1]

    def look_at_all():
        # Gathered only now: a rounded sigmoid depends on its place in a batch.
        terms = decode.terms(bucket_logits, estimator)
        rest = decode.top_k_of_terms(
            [tf.gather(one, rows[:, 0]) for one in terms],
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
        tf.reduce_all(found.is_certified),
        lambda: (scores, label_ids),
        look_at_all,
    )


def _round(state: Decoded, ranked, tables, rows, most_pairs, estimator):
    """Opens what certifies `rows`, or as much as `most_pairs` allows."""
    kth = tf.gather(state.scores[:, -1], rows)
    depths = opening.depths(
        opening.of_rows(ranked, rows), kth, most_pairs, estimator
    )
    ends = tf.cumsum(tf.cast(opening.num_pairs(depths), tf.int64))

    def is_left(start, state):
        return start < tf.size(rows)

    def step(start, state):
        done = tf.where(start > 0, ends[tf.maximum(start - 1, 0)], 0)
        stop = tf.searchsorted(ends, [done + _GROUP_PAIRS], "right")[0]
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
    before = tf.gather(state.scores, rows)
    k = state.scores.shape[1]
    scores, label_ids, scored = bucket_pairs.best(
        ranked, tables, depths, before[:, -1], k, estimator
    )
    is_certified = opening.bound(ranked, depths, estimator) < scores[:, -1]
    # Without a certificate the better guess stays.
    is_better = is_certified | (scores[:, -1] > before[:, -1])
    is_better |= tf.math.is_inf(before[:, -1])
    scores = tf.where(is_better[:, None], scores, before)
    label_ids = tf.where(
        is_better[:, None], label_ids, tf.gather(state.label_ids, rows)
    )
    places = rows[:, None]
    update = tf.tensor_scatter_nd_update
    return Decoded(
        update(state.scores, places, scores),
        update(state.label_ids, places, label_ids),
        update(state.is_certified, places, is_certified),
        update(state.buckets_opened, places, tf.reduce_sum(depths, 1)),
        tf.tensor_scatter_nd_add(state.labels_scored, places, scored),
    )
