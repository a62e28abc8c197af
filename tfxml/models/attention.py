"""Attention of several heads, and the layers around it.

# N instances, S places that ask, T places that are asked, W dimensions, A heads

Vaswani et al., "Attention is all you need", NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import pooling


def of_heads(
    projections: Sequence[tf.Tensor], num_heads: int, is_seen: tf.Tensor
) -> tf.Tensor:
    """Returns what each place sees, [N, S, W].

    Args:
        projections: queries [N, S, W], keys and values [N, T, W] each.
        num_heads: A, a divisor of W.
        is_seen: 1 or 0; broadcasts to [N, A, S, T].
    """
    width = projections[0].shape[-1]
    queries, keys, values = (
        tf.reshape(x, [*tf.unstack(tf.shape(x)[:2]), num_heads, -1])
        for x in projections
    )
    scores = tf.einsum("nsak,ntak->nast", queries, keys)
    scores *= (width // num_heads) ** -0.5
    weights = pooling.masked_softmax(scores, is_seen)
    seen = tf.einsum("nast,ntak->nsak", weights, values)
    return tf.reshape(seen, [*tf.unstack(tf.shape(seen)[:2]), width])


def sinusoids(number: int | tf.Tensor, width: int) -> tf.Tensor:
    """Returns encodings of the first places, [number, width].

    Half of them are sines and half cosines, of wavelengths from 2 pi to
    20,000 pi (Vaswani et al., section 3.5).
    """
    half = (width + 1) // 2
    rates = 10000.0 ** (-np.arange(half) / max(half, 1))
    angles = tf.cast(tf.range(number), tf.float32)[:, None] * tf.constant(
        rates, tf.float32
    )
    return tf.concat([tf.sin(angles), tf.cos(angles)], axis=1)[:, :width]


def norm(name: str, width: int) -> keras.layers.Layer:
    """Returns a built normalisation of states, [N, S, width]."""
    layer = keras.layers.LayerNormalization(epsilon=1e-6, name=name)
    layer.build((None, None, width))
    return layer


def dense(
    name: str,
    width: int,
    units: int,
    seed: int,
    activation: str | None = None,
) -> keras.layers.Layer:
    """Returns a built dense layer of states, from `width` to `units`."""
    layer = keras.layers.Dense(
        units,
        activation,
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        name=name,
    )
    layer.build((None, None, width))
    return layer
