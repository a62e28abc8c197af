"""The best of many scores, without sorting most of them.

# N instances, C scores of an instance, G scores of a group, K best

The K best scores lie in the K groups with the largest maxima, so that only
those are looked into. Equal scores come in their order, as they do in
`tf.math.top_k`: where a group that was not chosen has the least score that
counts, there are enough groups with that score before it.
"""

from __future__ import annotations

import math

import tensorflow as tf

_FEW = 8192  # scores that are not worth it


def top_k(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best scores and their places, [N, K] each, best first.

    Args:
        scores: [N, C], C known.
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
    """Returns what `top_k` does, of scores [C, N]."""
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
    """Returns G, a power of two: about as many groups as scores in K of them.

    1 where nothing is won.
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
    """Returns the best of the chosen groups' scores and of those in none."""
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
