"""From the states of a text's words to one vector.

# N instances, T places, H units, Q queries

Places without a word count for nothing, so that how far a batch is padded
changes no output. A text without words gives zeros.
"""

from __future__ import annotations

import tensorflow as tf


def largest(states: tf.Tensor, is_word: tf.Tensor) -> tf.Tensor:
    """Returns each unit's largest state, [N, H].

    Args:
        states: [N, T, H].
        is_word: [N, T], 1 or 0.
    """
    hidden = (1 - is_word[:, :, None]) * states.dtype.min
    best = tf.reduce_max(states * is_word[:, :, None] + hidden, axis=1)
    return best * tf.reduce_max(is_word, axis=1, keepdims=True)


def mean(states: tf.Tensor, is_word: tf.Tensor) -> tf.Tensor:
    """Returns the mean state of the words, [N, H]; see `largest`."""
    total = tf.reduce_sum(states * is_word[:, :, None], axis=1)
    number = tf.reduce_sum(is_word, axis=1, keepdims=True)
    return total / tf.maximum(number, 1.0)


def attention(
    states: tf.Tensor, is_word: tf.Tensor, queries: tf.Tensor
) -> tf.Tensor:
    """Returns means of the states that queries weigh, [N, Q H].

    Args:
        states: [N, T, H].
        is_word: [N, T], 1 or 0.
        queries: [Q, H].
    """
    weights = masked_softmax(
        tf.einsum("nth,qh->nqt", states, queries), is_word[:, None, :]
    )
    means = tf.einsum("nqt,nth->nqh", weights, states)
    size = queries.shape[0] * queries.shape[1]
    return tf.reshape(means, [-1, size])


def masked_softmax(scores: tf.Tensor, is_word: tf.Tensor) -> tf.Tensor:
    """Returns the softmax over the last axis of the places with a word.

    Zeros where there is no word at all. `is_word` broadcasts to `scores`.
    """
    scores = scores * is_word + (1 - is_word) * -1e9
    return tf.nn.softmax(scores) * is_word
