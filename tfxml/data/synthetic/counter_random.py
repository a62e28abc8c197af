"""Random numbers that are a pure function of (seed, draw, counter, slot).

There is no state, so order does not matter. Only integer arithmetic and
correctly rounded operations (+, *, casts) are used: exp or pow may round
differently in the vector loop and the scalar loop of one kernel, and a number
would then depend on its position in the batch.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from tfxml.data import data_options

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: splitmix64's increment
_DRAW_STEP = 0xD1B54A32D192ED03  # odd, and no small multiple of the above


def mix(bits: tf.Tensor) -> tf.Tensor:
    """Returns the finaliser of splitmix64, a bijection of uint64.

    Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators,
    OOPSLA 2014, with the constants of Vigna's splitmix64.c.
    """
    bits = _xor_shift(bits, 30) * _uint64(0xBF58476D1CE4E5B9)
    bits = _xor_shift(bits, 27) * _uint64(0x94D049BB133111EB)
    return _xor_shift(bits, 31)


def uniform(
    seed: int, draw: int, counters: tf.Tensor, *shape: int
) -> tf.Tensor:
    """Returns uniforms in [0, 1), [*counters.shape, *shape] float64.

    Args:
        seed: of the data set.
        draw: what the numbers are for.
        counters: int64 of any shape, such as instances.
        shape: of the numbers of one counter, its slots.
    """
    key = _uint64((seed + draw * _DRAW_STEP) % 2**64)
    streams = mix(key + tf.cast(counters, tf.uint64) * _uint64(_GOLDEN))
    for _ in shape:
        streams = tf.expand_dims(streams, -1)
    slots = np.arange(math.prod(shape), dtype=np.uint64) * np.uint64(_GOLDEN)
    bits = mix(streams + slots.reshape(shape))
    high = tf.bitwise.right_shift(bits, _uint64(11))
    return tf.cast(high, tf.float64) * 2.0**-53


def floor(x: tf.Tensor) -> tf.Tensor:
    """Returns the integer part of x >= 0, int64."""
    return tf.cast(x, tf.int64)


def zipf(u: tf.Tensor, count: int, exponent: float = 0.875) -> tf.Tensor:
    """Returns ranks in [0, count) from uniforms, popularity ~ rank**-exponent.

    Inverts the distribution function of the continuous density x**-exponent on
    [1, count + 1), which needs no table of `count` entries. With an exponent of
    `data_options.ZIPF_EXPONENTS` the inverse is a power of two, or the inverse
    of one.
    """
    if exponent not in data_options.ZIPF_EXPONENTS:
        raise ValueError(
            f"`exponent` must be one of {data_options.ZIPF_EXPONENTS}. "
            f"Received: exponent={exponent}"
        )
    # An eighth, half, quarter or eighth root of the largest x.
    root, power = float(count + 1), round(1 / abs(1 - exponent))
    for _ in range(power.bit_length() - 1):
        root = math.sqrt(root)
    if exponent > 1:
        x = 1.0 / (1.0 - u * (1.0 - 1.0 / root))
    else:
        x = 1.0 + u * (root - 1.0)
    for _ in range(power.bit_length() - 1):
        x = x * x
    # Rounding may reach count + 1 when u is next to 1.
    return tf.minimum(floor(x) - 1, count - 1)


def _xor_shift(bits: tf.Tensor, shift: int) -> tf.Tensor:
    shifted = tf.bitwise.right_shift(bits, _uint64(shift))
    return tf.bitwise.bitwise_xor(bits, shifted)


def _uint64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)
