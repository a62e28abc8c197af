"""Bijections of the labels [0, L), whose slots modulo B are equal buckets.

# L labels, B buckets

Two that need no prime: an affine one modulo L, and Feistel's network (four
rounds over the next even power of two; a slot beyond L is mapped again, "cycle
walking", Black and Rogaway, 2002). They have the interface of a head's hash;
buckets differ by one label at most.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfxml.mach import hashing

_ROUNDS = 4


@dataclasses.dataclass(frozen=True)
class AffinePermutation:
    """y = (a x + b) mod L with a and L coprime."""

    num_labels: int
    a: int
    b: int

    def forward(self, ids: np.ndarray) -> np.ndarray:
        return (self.a * ids + self.b) % self.num_labels

    def backward(self, slots: np.ndarray) -> np.ndarray:
        inverse = pow(self.a, -1, self.num_labels)
        return (slots - self.b) % self.num_labels * inverse % self.num_labels


@dataclasses.dataclass(frozen=True)
class FeistelPermutation:
    """Four rounds of a mixing function, walked until a slot is below L."""

    num_labels: int
    keys: tuple[int, ...]

    @property
    def _bits(self) -> int:
        """Returns the bits of a half."""
        return max(1, -(-(self.num_labels - 1).bit_length() // 2))

    def forward(self, ids: np.ndarray) -> np.ndarray:
        return self._walk(ids, self.keys)

    def backward(self, slots: np.ndarray) -> np.ndarray:
        # A network run backwards is itself, halves swapped, keys reversed.
        bits, low = self._bits, (1 << self._bits) - 1

        def swapped(values):
            return (values & low) << bits | values >> bits

        ids = self._rounds(swapped(slots), self.keys[::-1])
        ids = swapped(ids)
        while (is_beyond := ids >= self.num_labels).any():
            walked = self._rounds(swapped(ids[is_beyond]), self.keys[::-1])
            ids[is_beyond] = swapped(walked)
        return ids

    def _walk(self, values: np.ndarray, keys) -> np.ndarray:
        slots = self._rounds(values, keys)
        while (is_beyond := slots >= self.num_labels).any():
            slots[is_beyond] = self._rounds(slots[is_beyond], keys)
        return slots

    def _rounds(self, values: np.ndarray, keys) -> np.ndarray:
        bits, low = self._bits, (1 << self._bits) - 1
        left, right = values >> bits, values & low
        for key in keys:
            mixed = (right + key) * 0x9E3779B1 & 0xFFFFFFFF
            mixed = (mixed ^ mixed >> 15) * 0x85EBCA77 & 0xFFFFFFFF
            left, right = right, left ^ (mixed ^ mixed >> 13) & low
        return left << bits | right


@dataclasses.dataclass(frozen=True, eq=False)
class PermutedBuckets:
    """A permutation's slots modulo B, in place of a `UniversalHash`."""

    permutation: AffinePermutation | FeistelPermutation
    num_buckets: int
    prime: int = hashing.LARGEST_PRIME  # has no crossings

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        table = self.table(self.permutation.num_labels).astype(np.int32)
        return tf.gather(tf.constant(table), ids)

    def table(self, num_ids: int) -> np.ndarray:
        buckets_of_ids = np.empty(
            num_ids, np.min_scalar_type(self.num_buckets - 1)
        )
        for start, buckets in self.blocks(num_ids):
            buckets_of_ids[start : start + len(buckets)] = buckets
        return buckets_of_ids

    def blocks(self, num_ids: int) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, num_ids, 1 << 15):
            ids = np.arange(start, min(start + (1 << 15), num_ids))
            yield start, self.permutation.forward(ids) % self.num_buckets

    def members(self, bucket: int, num_ids: int) -> np.ndarray:
        slots = np.arange(bucket, num_ids, self.num_buckets, dtype=np.int64)
        return np.sort(self.permutation.backward(slots))


def affine(seed: int, repetition: int, num_buckets: int, num_labels: int):
    """Returns the affine permutation of one repetition."""
    rng = np.random.default_rng((seed, repetition))
    a = 0
    while math.gcd(a, num_labels) != 1:
        a = int(rng.integers(1, num_labels))
    permutation = AffinePermutation(
        num_labels, a, int(rng.integers(num_labels))
    )
    return PermutedBuckets(permutation, num_buckets)


def feistel(seed: int, repetition: int, num_buckets: int, num_labels: int):
    """Returns Feistel's permutation of one repetition."""
    rng = np.random.default_rng((seed, repetition))
    keys = tuple(int(key) for key in rng.integers(2**32, size=_ROUNDS))
    return PermutedBuckets(FeistelPermutation(num_labels, keys), num_buckets)
