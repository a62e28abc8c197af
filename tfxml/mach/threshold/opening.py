"""Chooses the buckets to open, and bounds the labels in fewer than two of them.

# n instances, R repetitions, B buckets, D depth: a repetition's best buckets
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfxml.mach import decode

_FIRST_REPETITIONS = 8  # whose buckets are opened for the first guess
_GROUP_SIZE = 16  # buckets
_PRICE_BITS = 16  # the lowest price of a bucket is 2^-16 of the highest
_PRICE_STEPS = 12  # of the bisection


class Ranked(NamedTuple):
    """Bucket scores and each repetition's best buckets."""

    scores: tf.Tensor  # [N, R, B]
    rows: tf.Tensor  # [n] int32, which of the N each instance is
    best: tf.Tensor  # [n, R, D + 1], best first
    buckets: tf.Tensor  # [n, R, D + 1] int32


def rank(scores: tf.Tensor, depth: int) -> Ranked:
    """Ranks the best `depth` + 1 buckets of each repetition."""
    best, buckets = _best_buckets(scores, min(depth + 1, scores.shape[2]))
    return Ranked(scores, tf.range(tf.shape(scores)[0]), best, buckets)


def of_rows(ranked: Ranked, rows: tf.Tensor) -> Ranked:
    """Returns the ranks of some rows, [n]."""
    return Ranked(
        ranked.scores,  # not gathered: they are large
        *(tf.gather(member, rows) for member in ranked[1:]),
    )


def first_depths(ranked: Ranked, k: int) -> tf.Tensor:
    """Returns how many buckets are opened for the first guess, [N, R]."""
    num_repetitions, depth = ranked.best.shape[1:]
    depths = tf.where(
        tf.range(num_repetitions) < _FIRST_REPETITIONS, min(k + 1, depth - 1), 0
    )
    return tf.tile(depths[None], [tf.shape(ranked.best)[0], 1])


def bound(ranked: Ranked, depths: tf.Tensor, estimator: str) -> tf.Tensor:
    """Returns the most that a label in fewer than two opened buckets scores.

    Args:
        ranked: buckets of n instances.
        depths: [n, R], how many buckets are opened.
        estimator: one of `mach_choices.ESTIMATORS`.

    Returns:
        [n].
    """
    best = ranked.best[:, :, 0]
    next_scores = tf.gather(ranked.best, depths, batch_dims=2)  # [n, R]
    if estimator in ("mean", "logit"):
        gain = tf.reduce_max(best - next_scores, axis=1)
        total = tf.reduce_sum(next_scores, axis=1) + gain
        terms = tf.reduce_mean(tf.abs(best) + tf.abs(next_scores), axis=1)
        return total / next_scores.shape[1] + slack(terms, best.shape[1])
    # At worst the best score of all replaces the smallest.
    ordered = tf.sort(next_scores, axis=1)[:, 1:]
    best_of_all = tf.reduce_max(best, axis=1, keepdims=True)
    return decode.combine(
        tf.unstack(tf.concat([ordered, best_of_all], axis=1), axis=1), estimator
    )


def slack(terms: tf.Tensor, num_repetitions: int) -> tf.Tensor:
    """Returns a bound on the rounding errors of an estimate and its bound.

    A sum of R terms t is off by at most (R + 1) 2^-24 sum |t|, and sum |t| is
    at most 2 sum max(t, 0) - sum t, which the best scores and the estimate
    bound. A label with larger terms has a larger error, but its estimate is
    lower by more than that.

    Args:
        terms: means over the repetitions of |best| and of the estimate's
            |terms|.
        num_repetitions: R.
    """
    return terms * ((num_repetitions + 3) * 2.0**-22)


def num_pairs(depths: tf.Tensor) -> tf.Tensor:
    """Returns how many pairs of opened buckets are of two repetitions, [n]."""
    opened = tf.reduce_sum(depths, axis=1)
    return (opened * opened - tf.reduce_sum(depths * depths, axis=1)) // 2


def depths(
    ranked: Ranked, kth: tf.Tensor, most_pairs: int, estimator: str
) -> tf.Tensor:
    """Returns how many buckets to open so that the bound falls below `kth`.

    Where that takes more than `most_pairs` pairs: as many as these allow.

    Args:
        ranked: buckets of n instances.
        kth: [n], the k-th best scores so far.
        most_pairs: of opened buckets of an instance.
        estimator: one of `mach_choices.ESTIMATORS`.

    Returns:
        [n, R] int32.
    """
    if estimator in ("mean", "logit"):
        return _depths_of_sum(ranked, kth, most_pairs)
    return _depths_of_rank(ranked, kth, most_pairs, estimator)


def _depths_of_sum(ranked: Ranked, kth, most_pairs) -> tf.Tensor:
    """Returns depths [n, R] of sums, with few buckets in all.

    A bucket has a price, and each repetition opens buckets while their scores
    fall by more than that. Bisection finds the highest price at which the bound
    is below `kth`, or the lowest that keeps to `most_pairs`.
    """
    depth = ranked.best.shape[2]
    bucket_ranks = tf.range(depth, dtype=tf.float32)

    def depths_at(price):
        costs = ranked.best + price[:, None, None] * bucket_ranks
        return tf.argmin(costs, axis=2, output_type=tf.int32)

    def is_cheap_enough(depths):
        return (bound(ranked, depths, "mean") < kth) | (
            num_pairs(depths) > most_pairs
        )

    high = tf.reduce_max(ranked.best[:, :, 0] - ranked.best[:, :, -1], axis=1)
    low = high * 2.0**-_PRICE_BITS

    def halve(low, high):
        middle = tf.sqrt(low * high)
        is_enough = is_cheap_enough(depths_at(middle))
        return (
            tf.where(is_enough, middle, low),
            tf.where(is_enough, high, middle),
        )

    low, high = tf.while_loop(
        lambda *_: True,
        halve,
        (low, high),
        maximum_iterations=_PRICE_STEPS,
    )
    depths = depths_at(low)
    is_affordable = num_pairs(depths) <= most_pairs
    return tf.where(is_affordable[:, None], depths, depths_at(high))


def _depths_of_rank(ranked: Ranked, kth, most_pairs, estimator) -> tf.Tensor:
    """Returns depths [n, R] of `min` or `median`.

    Enough repetitions open all buckets that score at least `kth`: two for the
    minimum, and one more than decide the median.
    """
    num_repetitions, depth = ranked.best.shape[1:]
    num_opening = (
        2
        if estimator == "min"
        else min(num_repetitions // 2 + 2, num_repetitions)
    )
    depths = tf.reduce_sum(
        tf.cast(ranked.best[:, :, :-1] >= kth[:, None, None], tf.int32), axis=2
    )
    max_depth = tf.sqrt(2.0 * tf.cast(most_pairs, tf.float32) / num_opening**2)
    depths = tf.minimum(depths, tf.cast(max_depth, tf.int32))
    order = tf.argsort(tf.argsort(depths, stable=True), stable=True)
    return tf.where(order < num_opening, depths, 0)


def _best_buckets(scores, depth: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best scores of the last axis and their places.

    The best D are in the D groups with the best maxima, or behind the last
    group. Searching groups first takes half the time where they are many.
    """
    num_repetitions, num_buckets = scores.shape[1:]
    num_groups = num_buckets // _GROUP_SIZE
    if num_groups < 2 * depth:
        return tf.math.top_k(scores, depth)
    grouped = num_groups * _GROUP_SIZE
    groups = tf.reshape(
        scores[:, :, :grouped], [-1, num_repetitions, num_groups, _GROUP_SIZE]
    )
    _, best_groups = tf.math.top_k(
        tf.reduce_max(groups, axis=3), depth, sorted=False
    )
    candidate_shape = [-1, num_repetitions, depth * _GROUP_SIZE]
    candidates = tf.reshape(
        tf.gather(groups, best_groups, batch_dims=2), candidate_shape
    )
    buckets = best_groups[..., None] * _GROUP_SIZE + tf.range(_GROUP_SIZE)
    buckets = tf.reshape(buckets, candidate_shape)
    if grouped < num_buckets:
        ungrouped = tf.range(grouped, num_buckets) + tf.zeros_like(
            buckets[:, :, :1]
        )
        candidates = tf.concat([candidates, scores[:, :, grouped:]], axis=2)
        buckets = tf.concat([buckets, ungrouped], axis=2)
    best, best_groups = tf.math.top_k(candidates, depth)
    return best, tf.gather(buckets, best_groups, batch_dims=2)
