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
    number = scores.shape[1]
    size = _group_size(number, k)
    if size == 1:
        return tf.math.top_k(scores, k)
    num_groups = number // size
    groups = tf.reshape(scores[:, : num_groups * size], [-1, num_groups, size])
    chosen = _best_groups(tf.reduce_max(groups, axis=2), k)
    found = tf.gather(groups, chosen, axis=1, batch_dims=1)  # [N, K, G]
    return _best_of(
        tf.reshape(found, [-1, k * size]),
        chosen,
        scores[:, num_groups * size :],
        number,
        k,
    )


def top_k_of_columns(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `top_k` returns, for scores [C, N]."""
    number = scores.shape[0]
    size = _group_size(number, k)
    if size == 1:
        return tf.math.top_k(tf.transpose(scores), k)
    num_groups = number // size
    num_instances = tf.shape(scores)[1]
    groups = tf.reshape(
        scores[: num_groups * size], [num_groups, size, num_instances]
    )
    chosen = _best_groups(tf.transpose(tf.reduce_max(groups, axis=1)), k)
    places = _places(chosen, size)  # [N, K G]
    columns = tf.broadcast_to(
        tf.range(num_instances)[:, None], tf.shape(places)
    )
    return _best_of(
        tf.gather_nd(scores, tf.stack([places, columns], axis=-1)),
        chosen,
        tf.transpose(scores[num_groups * size :]),
        number,
        k,
    )


def _group_size(number: int, k: int) -> int:
    """Returns G, a power of two, or 1 where groups gain nothing.

    There are then about as many groups as scores in K of them.
    """
    if number < _FEW or 8 * k > number:
        return 1
    return 2 ** round(math.log2(math.sqrt(number / k)))


def _best_groups(maxima: tf.Tensor, k: int) -> tf.Tensor:
    """Returns the groups [N, K] with the largest of `maxima`, ascending."""
    return tf.sort(tf.math.top_k(maxima, k).indices, axis=1)


def _places(chosen: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the places [N, K G] of the scores of groups."""
    places = chosen[:, :, None] * size + tf.range(size)
    return tf.reshape(places, [-1, chosen.shape[1] * size])


def _best_of(found, chosen, tail, number: int, k: int):
    """Returns the best of the chosen groups' scores and of the last few.

    Args:
        found: [N, K G], the groups' scores.
        chosen: [N, K], the groups, ascending.
        tail: [N, fewer than G], the scores behind the last group.
        number: C.
        k: how many.
    """
    left = tail.shape[1]
    size = found.shape[1] // k
    best, among = tf.math.top_k(tf.concat([found, tail], axis=1), k)
    groups = tf.gather(
        chosen, tf.minimum(among // size, k - 1), axis=1, batch_dims=1
    )
    places = tf.where(
        among < k * size,
        groups * size + among % size,
        among - k * size + (number - left),
    )
    return best, places
