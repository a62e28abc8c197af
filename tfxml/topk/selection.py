"""Finds the best of many scores without sorting most of them.

# N instances, C scores of an instance, G scores of a group, K best

The K best scores are in the K groups with the largest maxima, so only these
groups are searched. Equal scores keep their order, as in `tf.math.top_k`: where
a group that is not chosen holds the K-th best score, enough groups before it
hold that score too.
"""

from __future__ import annotations

import math

import tensorflow as tf

_FEW = 8192  # scores: `tf.math.top_k` is faster


def top_k(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best scores and their places, [N, K] each, best first.

    Args:
        scores: [N, C], C static.
        k: at most C.
    """
    num_scores = scores.shape[1]
    group_size = _group_size(num_scores, k)
    if group_size == 1:
        return tf.math.top_k(scores, k)
    num_groups = num_scores // group_size
    groups = tf.reshape(
        scores[:, : num_groups * group_size], [-1, num_groups, group_size]
    )
    best_groups = _best_groups(tf.reduce_max(groups, axis=2), k)
    group_scores = tf.gather(
        groups, best_groups, axis=1, batch_dims=1
    )  # [N, K, G]
    return _best_of(
        tf.reshape(group_scores, [-1, k * group_size]),
        best_groups,
        scores[:, num_groups * group_size :],
        num_scores,
        k,
    )


def top_k_of_columns(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `top_k` returns, for scores [C, N]."""
    num_scores = scores.shape[0]
    group_size = _group_size(num_scores, k)
    if group_size == 1:
        return tf.math.top_k(tf.transpose(scores), k)
    num_groups = num_scores // group_size
    num_instances = tf.shape(scores)[1]
    groups = tf.reshape(
        scores[: num_groups * group_size],
        [num_groups, group_size, num_instances],
    )
    best_groups = _best_groups(tf.transpose(tf.reduce_max(groups, axis=1)), k)
    places = _places(best_groups, group_size)  # [N, K G]
    columns = tf.broadcast_to(
        tf.range(num_instances)[:, None], tf.shape(places)
    )
    return _best_of(
        tf.gather_nd(scores, tf.stack([places, columns], axis=-1)),
        best_groups,
        tf.transpose(scores[num_groups * group_size :]),
        num_scores,
        k,
    )


def _group_size(num_scores: int, k: int) -> int:
    """Returns G, a power of two, or 1 where groups save no time.

    Chosen so that K groups hold about as many scores as there are groups.
    """
    if num_scores < _FEW or 8 * k > num_scores:
        return 1
    return 2 ** round(math.log2(math.sqrt(num_scores / k)))


def _best_groups(maxima: tf.Tensor, k: int) -> tf.Tensor:
    """Returns the groups [N, K] with the largest of `maxima`, ascending."""
    return tf.sort(tf.math.top_k(maxima, k).indices, axis=1)


def _places(best_groups: tf.Tensor, group_size: int) -> tf.Tensor:
    """Returns the places [N, K G] of the scores of groups."""
    places = best_groups[:, :, None] * group_size + tf.range(group_size)
    return tf.reshape(places, [-1, best_groups.shape[1] * group_size])


def _best_of(group_scores, best_groups, tail, num_scores: int, k: int):
    """Returns the best of the groups' scores and of the tail.

    Args:
        group_scores: [N, K G], the scores of the best groups.
        best_groups: [N, K], ascending.
        tail: [N, fewer than G], the scores after the last group.
        num_scores: C.
        k: how many.
    """
    num_tail = tail.shape[1]
    group_size = group_scores.shape[1] // k
    best, positions = tf.math.top_k(tf.concat([group_scores, tail], axis=1), k)
    groups = tf.gather(
        best_groups,
        tf.minimum(positions // group_size, k - 1),
        axis=1,
        batch_dims=1,
    )
    places = tf.where(
        positions < k * group_size,
        groups * group_size + positions % group_size,
        positions - k * group_size + (num_scores - num_tail),
    )
    return best, places
