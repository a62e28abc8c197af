"""Probabilities of sets, when those of their labels have been calibrated.

# N instances, S sets, K labels
"""

from __future__ import annotations

import tensorflow as tf


def calibrated(
    is_member: tf.Tensor,
    log_probabilities: tf.Tensor,
    before: tf.Tensor,
    after: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the sets again, the most probable first, and their log P.

    What labels say of one another stays: a set is as many times more probable
    than before as it is for independent labels, whose sets are then exactly
    those of the calibrated scores. Where the given sets come to more than 1,
    they are scaled to it.

    Args:
        is_member: [N, S, K], which labels each set has.
        log_probabilities: [N, S].
        before: [N, K], the labels' logits.
        after: [N, K], those of their calibrated scores.
    """
    members = tf.cast(is_member, after.dtype)
    # log (1 - p) of all labels, and how the odds of the members change.
    absent = tf.nn.softplus(before) - tf.nn.softplus(after)
    log_p = (
        log_probabilities
        + tf.reduce_sum(absent, axis=1, keepdims=True)
        + tf.einsum("nsk,nk->ns", members, after - before)
    )
    total = tf.reduce_logsumexp(log_p, axis=1, keepdims=True)
    log_p -= tf.maximum(total, 0.0)
    log_p, order = tf.math.top_k(log_p, tf.shape(log_p)[1])
    return tf.gather(is_member, order, axis=1, batch_dims=1), log_p
