"""Ranks the labels that are in two or more opened buckets.

# n instances, R repetitions, B buckets, K top labels, C candidate labels
"""

from __future__ import annotations

import itertools

import tensorflow as tf

from tfxml.mach import decode
from tfxml.mach.threshold import crossings, opening

_SIFT_AFTER = (4, 12)  # repetitions after which hopeless candidates are dropped


def best(
    ranked: opening.Ranked,
    tables: crossings.Crossings,
    depths: tf.Tensor,
    kth: tf.Tensor,
    k: int,
    estimator: str,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns the best labels of those in two or more opened buckets.

    Args:
        ranked: buckets of n instances.
        tables: of the repetitions.
        depths: [n, R], how many buckets are opened.
        kth: [n]; labels that score less may be left out.
        k: how many labels.
        estimator: one of `mach_choices.ESTIMATORS`.

    Returns:
        Estimates [n, K], label ids [n, K], and how many labels were scored in
        all repetitions [n].
    """
    instances, labels = _shared(ranked, tables, depths)
    instances, labels, repetition_terms = _sift(
        ranked, tables, instances, labels, kth, estimator
    )
    scores = decode.combine(repetition_terms, estimator)
    return _best_of_rows(instances, labels, scores, tf.size(kth), k)


def _shared(ranked: opening.Ranked, tables: crossings.Crossings, depths):
    """Returns instances and labels of pairs of opened buckets, [C]."""
    is_open = tf.range(ranked.best.shape[2]) < depths[:, :, None]
    opened = tf.cast(tf.where(is_open), tf.int32)  # [I, 3]
    instances, repetitions = opened[:, 0], opened[:, 1]
    num_repetitions = depths.shape[1]
    ends = tf.cumsum(tf.reshape(depths, [-1]))
    return crossings.labels_in_two(
        tables,
        crossings.Items(
            instances, repetitions, tf.boolean_mask(ranked.buckets, is_open)
        ),
        tf.gather(ends, instances * num_repetitions + repetitions),
        tf.gather(ends, instances * num_repetitions + num_repetitions - 1),
    )


def _sift(ranked: opening.Ranked, tables, instances, labels, kth, estimator):
    """Returns the candidates that may score `kth` [n], with their terms.

    A label is dropped as soon as its scores in the first repetitions and the
    best scores of the others give an estimate below `kth`.

    Returns:
        [C] instances and labels, sorted and distinct, and R terms [C].
    """
    num_repetitions, num_buckets = ranked.scores.shape[1:]
    flat_scores = tf.reshape(ranked.scores, [-1])
    signs = tf.constant(decode.signs(num_repetitions, estimator))
    best_terms, min_scores = ranked.best[:, :, 0], _min_scores(ranked, kth)
    repetition_terms = []
    stops = [stop for stop in _SIFT_AFTER if stop < num_repetitions]
    for start, stop in itertools.pairwise([0, *stops, num_repetitions]):
        slots = tables.a[start:stop, None] * labels + tables.b[start:stop, None]
        buckets = tf.math.floormod(
            tf.math.floormod(slots, tables.prime), tables.num_buckets
        )
        repetitions = tf.gather(ranked.rows, instances) * num_repetitions
        repetitions += tf.range(start, stop)[:, None]
        scores = tf.gather(
            flat_scores, repetitions * num_buckets + tf.cast(buckets, tf.int32)
        )
        repetition_terms += tf.unstack(scores * signs[start:stop, None])
        if stop < num_repetitions:
            max_scores = _max_scores(
                repetition_terms, best_terms[:, stop:], instances, estimator
            )
            kept_candidates = tf.where(
                max_scores >= tf.gather(min_scores, instances)
            )[:, 0]
            instances, labels, *repetition_terms = (
                tf.gather(values, kept_candidates)
                for values in (instances, labels, *repetition_terms)
            )
        if start == 0:
            distinct = _distinct_positions(instances, labels, tables.prime)
            instances, labels, *repetition_terms = (
                tf.gather(values, distinct)
                for values in (instances, labels, *repetition_terms)
            )
    return instances, labels, repetition_terms


def _min_scores(ranked: opening.Ranked, kth) -> tf.Tensor:
    """Returns the least score of a label that may be among the best, [n]."""
    best_means = tf.reduce_mean(tf.abs(ranked.best[:, :, 0]), axis=1)
    num_repetitions = ranked.best.shape[1]
    return kth - opening.slack(2 * best_means + tf.abs(kth), num_repetitions)


def _max_scores(
    repetition_terms, best_terms, instances, estimator: str
) -> tf.Tensor:
    """Returns bounds on labels' estimates from the first repetitions, [C].

    Args:
        of_repetitions: terms of the first repetitions, [C] each.
        best_terms: [n, R - first], the best scores of the others.
        instances: [C].
        estimator: one of `mach_choices.ESTIMATORS`.
    """
    if estimator in ("mean", "logit"):
        num_known, num_others = len(repetition_terms), best_terms.shape[1]
        known_sum = decode.combine(repetition_terms, estimator) * num_known
        best_of_others = tf.gather(tf.reduce_sum(best_terms, axis=1), instances)
        return (known_sum + best_of_others) / (num_known + num_others)
    if estimator == "min":
        return decode.combine(repetition_terms, estimator)
    best_of_others = tf.unstack(
        tf.gather(tf.transpose(best_terms), instances, axis=1)
    )
    return decode.combine([*repetition_terms, *best_of_others], estimator)


def _distinct_positions(instances, labels, prime: int) -> tf.Tensor:
    """Returns the places of distinct candidates, by instance and label."""
    keys = tf.cast(instances, tf.int64) * prime + labels
    order = tf.argsort(keys)
    keys = tf.gather(keys, order)
    is_new = tf.concat([keys[:1] >= 0, keys[1:] > keys[:-1]], axis=0)
    return tf.boolean_mask(order, is_new)


def _best_of_rows(instances, labels, scores, num_rows, k: int):
    """Returns each instance's k best candidates, which are sorted."""
    lengths = tf.math.unsorted_segment_sum(
        tf.ones_like(instances), instances, num_rows
    )
    starts = tf.cumsum(lengths, exclusive=True)
    width = tf.maximum(tf.reduce_max(lengths), k)
    columns = tf.range(tf.size(instances)) - tf.gather(starts, instances)
    places = tf.stack([instances, columns], axis=1)
    shape = tf.stack([num_rows, width])
    dense = tf.tensor_scatter_nd_update(
        tf.fill(shape, -float("inf")), places, scores
    )
    scores, columns = tf.math.top_k(dense, k)
    ids = tf.scatter_nd(places, tf.cast(labels, tf.int32), shape)
    return scores, tf.gather(ids, columns, batch_dims=1), lengths
