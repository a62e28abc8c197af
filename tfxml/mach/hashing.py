"""The 2-universal hash of labels (and features) into buckets.

# L labels, R repetitions, B buckets

h(x) = ((a x + b) mod p) mod B with p = 2^31 - 1, a in [1, p), b in [0, p)
(Carter and Wegman, "Universal classes of hash functions", 1979). For x < p the
product stays below 2^62, so int64 arithmetic is exact on every device, and no
table is needed where a hash is.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

VERSION = 1
PRIME = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class UniversalHash:
    """One hash of ids in [0, 2^31 - 1) into `num_buckets` buckets."""

    num_buckets: int
    a: int
    b: int

    def __post_init__(self):
        if not 1 <= self.num_buckets < PRIME:
            raise ValueError(
                f"`num_buckets` must be in [1, {PRIME}). "
                f"Received: num_buckets={self.num_buckets}"
            )
        if not (1 <= self.a < PRIME and 0 <= self.b < PRIME):
            raise ValueError(
                f"`a` must be in [1, {PRIME}) and `b` in [0, {PRIME}). "
                f"Received: a={self.a}, b={self.b}"
            )

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the buckets of `ids`, the same shape, int32."""
        ids = tf.cast(ids, tf.int64)
        mixed = tf.math.floormod(self.a * ids + self.b, PRIME)
        return tf.cast(tf.math.floormod(mixed, self.num_buckets), tf.int32)

    def table(self, num_ids: int) -> np.ndarray:
        """Returns the buckets of 0 .. num_ids - 1 in the smallest type, [L]."""
        if num_ids > PRIME:
            raise ValueError(
                f"`num_ids` must be at most {PRIME}. Received: {num_ids=}"
            )
        dtype = np.min_scalar_type(self.num_buckets - 1)
        ids = np.arange(num_ids, dtype=np.int64)
        return ((self.a * ids + self.b) % PRIME % self.num_buckets).astype(
            dtype
        )


def from_seed(seed: int, repetition: int, num_buckets: int) -> UniversalHash:
    """Returns the hash of one repetition, a function of its arguments alone."""
    draws = _splitmix64(_splitmix64(seed) ^ repetition)
    return UniversalHash(
        num_buckets,
        a=1 + draws % (PRIME - 1),
        b=_splitmix64(draws) % PRIME,
    )


def identity(num_ids: int) -> UniversalHash:
    """Returns the hash that gives every id a bucket of its own."""
    return UniversalHash(num_ids, a=1, b=0)


def _splitmix64(state: int) -> int:
    """Returns the splitmix64 output of `state` (Steele et al., 2014)."""
    mask = 2**64 - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)
