"""The exact best labels without a look at every label.

# N instances, L labels, R worlds, B buckets, K top labels, D depth,
# I opened buckets, C candidate labels

Fagin, Lotem and Naor's threshold argument ("Optimal aggregation algorithms
for middleware", 2003) for a monotone estimator: open each world's best
buckets; a label in none of them scores no more than the estimate of the
worlds' next bucket scores. Opening a bucket costs its L / B labels. Here
opening costs nothing, and only labels that are in opened buckets of two
worlds are looked up: L / B^2 for two buckets (see `crossings`). A label in
fewer has the next score in all worlds but one, and there at most the best.
Where that bound is below the k-th best score found, the answer is certified:
it is that of a look at every label, ties and their order included.

How many buckets of each world are opened follows from the k-th best score:
first a guess of it from few buckets, then the fewest that certify it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfxml.mach import crossings, decode, hashing, opening

_FIRST_PAIRS = 32_768  # bucket pairs of an instance in the second round
_WIDENING = 8  # times as many in each further round
_GROUP_PAIRS = 2_000_000  # bucket pairs at once: what memory is bounded by
_MOST_PAIRS = 8_000_000  # of an instance
_FIRST_DEPTH = 32  # buckets of a world that can be opened at first
_DEPTH = 512  # and later
_SIFTED = (4, 12)  # worlds after which labels are dropped


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
        tables: of the R worlds' hashes.
        k: how many labels; K is no more than there are.
        estimator: one of `decode.ESTIMATORS`.
        budget: the most bucket pairs looked up for an instance in a round.

    Raises:
        tf.errors.InvalidArgumentError: if a logit is not a number.
    """
    decode.check_estimator(estimator)
    scores = tf.stack(
        [
            decode.bucket_scores(one, estimator)
            for one in decode.checked(bucket_logits)
        ],
        axis=1,
    )
    num_instances = tf.shape(scores)[0]
    k = min(k, tables.num_labels)
    state = Decoded(
        tf.fill([num_instances, k], -float("inf")),
        tf.zeros([num_instances, k], tf.int32),
        tf.zeros([num_instances], tf.bool),
        tf.zeros([num_instances], tf.int32),
        tf.zeros([num_instances], tf.int32),
    )
    ranked = opening.rank(scores, _FIRST_DEPTH)
    depths = opening.first_depths(ranked, k)
    rows = tf.range(num_instances)
    state = _open(state, ranked, tables, rows, depths, estimator)
    first_pairs = min(_FIRST_PAIRS, budget)
    state = _widen(state, ranked, tables, first_pairs, first_pairs, estimator)
    left = tf.where(~state.is_certified)  # [n, 1]
    rest = Decoded(*(tf.gather(one, left[:, 0]) for one in state))
    ranked = opening.rank(tf.gather(scores, left[:, 0]), _DEPTH)
    rest = _widen(
        rest, ranked, tables, _WIDENING * first_pairs, budget, estimator
    )
    return Decoded(
        *(
            tf.tensor_scatter_nd_update(one, left, other)
            for one, other in zip(state, rest, strict=True)
        )
    )


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
    # A pair costs about as much as 32 scores of one label in one world.
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
    instances, labels = _candidates(ranked, tables, depths)
    before = tf.gather(state.scores, rows)
    instances, labels, of_worlds = _sift(
        ranked, tables, instances, labels, before[:, -1], estimator
    )
    scores = decode.combine(tf.unstack(of_worlds, axis=1), estimator)
    k = state.scores.shape[1]
    scores, label_ids = _best(scores, instances, labels, tf.size(rows), k)
    is_certified = opening.bound(ranked, depths, estimator) < scores[:, -1]
    # Without a certificate the better guess stays.
    is_better = is_certified | (scores[:, -1] > before[:, -1])
    is_better |= tf.math.is_inf(before[:, -1])
    scores = tf.where(is_better[:, None], scores, before)
    label_ids = tf.where(
        is_better[:, None], label_ids, tf.gather(state.label_ids, rows)
    )
    scored = tf.math.unsorted_segment_sum(
        tf.ones_like(instances), instances, tf.size(rows)
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


def _candidates(ranked: opening.Ranked, tables, depths):
    """Returns instances and labels in two opened buckets, once, [C]."""
    is_open = tf.range(ranked.best.shape[2]) < depths[:, :, None]
    found = tf.cast(tf.where(is_open), tf.int32)  # [I, 3]
    instances, worlds = found[:, 0], found[:, 1]
    num_worlds = depths.shape[1]
    ends = tf.cumsum(tf.reshape(depths, [-1]))
    instances, labels = crossings.labels_in_two(
        tables,
        crossings.Items(
            instances, worlds, tf.boolean_mask(ranked.buckets, is_open)
        ),
        tf.gather(ends, instances * num_worlds + worlds),
        tf.gather(ends, instances * num_worlds + num_worlds - 1),
    )
    keys = tf.cast(instances, tf.int64) * tables.prime + labels
    keys, _ = tf.unique(keys)
    instances = tf.cast(keys // tables.prime, tf.int32)
    return instances, keys - tf.cast(instances, tf.int64) * tables.prime


def _sift(ranked: opening.Ranked, tables, instances, labels, kth, estimator):
    """Returns the candidates that may score `kth` [n], with world scores.

    A label is dropped as soon as its scores in the first worlds, with the
    best there is in the others, are below.

    Returns:
        [C] instances and labels by instance and label, and [C, R] scores.
    """
    num_worlds, num_buckets = ranked.scores.shape[1:]
    flat = tf.reshape(ranked.scores, [-1])
    signs = tf.constant(decode.signs(num_worlds, estimator))
    best = ranked.best[:, :, 0] * signs
    of_worlds, start = [], 0
    stages = [stop for stop in _SIFTED if stop < num_worlds]
    for stop in (*stages, num_worlds):
        buckets = tf.math.floormod(
            tf.math.floormod(
                tables.a[start:stop] * labels[:, None] + tables.b[start:stop],
                tables.prime,
            ),
            tables.num_buckets,
        )
        worlds = instances[:, None] * num_worlds + tf.range(start, stop)
        scores = tf.gather(
            flat, worlds * num_buckets + tf.cast(buckets, tf.int32)
        )
        of_worlds.append(scores * signs[start:stop])
        so_far = tf.concat(of_worlds, axis=1)
        most = tf.concat([so_far, tf.gather(best[:, stop:], instances)], 1)
        most = decode.combine(tf.unstack(most, axis=1), estimator)
        least = tf.gather(kth - ranked.slack, instances)
        is_kept = most >= least
        instances = tf.boolean_mask(instances, is_kept)
        labels = tf.boolean_mask(labels, is_kept)
        of_worlds = [tf.boolean_mask(so_far, is_kept)]
        start = stop
    order = tf.argsort(tf.cast(instances, tf.int64) * tables.prime + labels)
    return (
        tf.gather(instances, order),
        tf.gather(labels, order),
        tf.gather(of_worlds[0], order),
    )


def _best(scores, instances, labels, num_rows, k: int):
    """Returns the k best of candidates that lie by row and label."""
    lengths = tf.math.unsorted_segment_sum(
        tf.ones_like(instances), instances, num_rows
    )
    firsts = tf.cumsum(lengths, exclusive=True)
    width = tf.maximum(tf.reduce_max(lengths), k)
    columns = tf.range(tf.size(instances)) - tf.gather(firsts, instances)
    places = tf.stack([instances, columns], axis=1)
    shape = tf.stack([num_rows, width])
    dense = tf.tensor_scatter_nd_update(
        tf.fill(shape, -float("inf")), places, scores
    )
    scores, columns = tf.math.top_k(dense, k)
    ids = tf.scatter_nd(places, tf.cast(labels, tf.int32), shape)
    return scores, tf.gather(ids, columns, batch_dims=1)
