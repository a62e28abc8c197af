"""The 2-universal hash of labels (and features) into buckets.

# L labels, R repetitions, B buckets, p a prime, J slots of a bucket

h(x) = ((a x + b) mod p) mod B with a in [1, p), b in [0, p) (Carter and
Wegman, "Universal classes of hash functions", 1979). Two ids below p collide
with probability at most 1/B. As p < 2^31 the product stays below 2^62, so int64
arithmetic is exact on every device, and hashing needs no table.

x -> (a x + b) mod p is a bijection of [0, p), so the members of a bucket need
no table either: they are the ids of the slots y = c, c + B, c + 2 B, ... below
p. Where p is little more than L nearly all slots hold an id, and buckets differ
by few members. Labels can be added up to p without moving any, so p is chosen
for the number of labels to allow for (`capacity`).

Version 1 used p = 2^31 - 1 for any number of labels; version 2 chooses p.
"""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

VERSION = 2
LARGEST_PRIME = 2**31 - 1
_BLOCK = 1 << 15  # ids hashed at a time: they fit a cache


@dataclasses.dataclass(frozen=True)
class UniversalHash:
    """One hash of ids in [0, prime) into `num_buckets` buckets."""

    num_buckets: int
    a: int
    b: int
    prime: int = LARGEST_PRIME  # which files of version 1 leave out

    def __post_init__(self):
        for name, value in vars(self).items():
            if not isinstance(value, numbers.Integral):
                raise ValueError(
                    f"`{name}` must be a whole number. Received: {value!r:.80}"
                )
        if not (2 <= self.prime <= LARGEST_PRIME and _is_prime(self.prime)):
            raise ValueError(
                f"`prime` must be a prime of at most {LARGEST_PRIME}. "
                f"Received: prime={self.prime}"
            )
        if not 1 <= self.num_buckets <= self.prime:
            raise ValueError(
                f"`num_buckets` must be in [1, {self.prime}]. "
                f"Received: num_buckets={self.num_buckets}"
            )
        if not (1 <= self.a < self.prime and 0 <= self.b < self.prime):
            raise ValueError(
                f"`a` must be in [1, {self.prime}) and `b` in "
                f"[0, {self.prime}). Received: a={self.a}, b={self.b}"
            )

    def __call__(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns the buckets of `ids`, the same shape, int32."""
        import tensorflow as tf  # here: arrays need no TensorFlow

        ids = tf.cast(ids, tf.int64)
        mixed = tf.math.floormod(self.a * ids + self.b, self.prime)
        return tf.cast(tf.math.floormod(mixed, self.num_buckets), tf.int32)

    def table(self, num_ids: int) -> np.ndarray:
        """Returns the buckets of 0 .. num_ids - 1 in the smallest type, [L]."""
        if num_ids > self.prime:
            raise ValueError(
                f"`num_ids` must be at most {self.prime}. Received: {num_ids=}"
            )
        buckets_of_ids = np.empty(
            num_ids, np.min_scalar_type(self.num_buckets - 1)
        )
        for start, buckets in self.blocks(num_ids):
            buckets_of_ids[start : start + len(buckets)] = buckets
        return buckets_of_ids

    def blocks(self, num_ids: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the first id and the buckets of blocks of 0 .. num_ids - 1.

        The slots of a block are those of ids 0, 1, ... plus a shift: an
        addition instead of a 64-bit remainder.
        """
        slots_of_block = np.arange(min(num_ids, _BLOCK)) * self.a % self.prime
        for start in range(0, num_ids, _BLOCK):
            shift = (self.a * start + self.b) % self.prime
            slots = slots_of_block[: num_ids - start] + shift
            slots -= self.prime * (slots >= self.prime)
            slots = slots.astype(np.uint32)
            yield start, slots - slots // self.num_buckets * self.num_buckets

    def buckets(self, ids: np.ndarray) -> np.ndarray:
        """Returns the buckets of `ids`, int64."""
        ids = ids.astype(np.int64)
        return (self.a * ids + self.b) % self.prime % self.num_buckets

    def members(self, bucket: int, num_ids: int) -> np.ndarray:
        """Returns the ids below `num_ids` in a bucket, ascending."""
        slots = np.arange(bucket, self.prime, self.num_buckets, dtype=np.int64)
        ids = (slots - self.b) % self.prime * self.inverse % self.prime
        return np.sort(ids[ids < num_ids])

    @property
    def inverse(self) -> int:
        """Returns the inverse of `a` modulo the prime."""
        return pow(self.a, -1, self.prime)


def from_seed(
    seed: int, repetition: int, num_buckets: int, capacity: int
) -> UniversalHash:
    """Returns the hash of one repetition, a function of its arguments alone.

    Args:
        seed: of all repetitions.
        repetition: which one.
        num_buckets: B.
        capacity: the most labels there can ever be.
    """
    prime = smallest_prime(max(capacity, num_buckets))
    draws = _splitmix64(_splitmix64(seed) ^ repetition)
    return UniversalHash(
        num_buckets,
        a=1 + draws % (prime - 1),
        b=_splitmix64(draws) % prime,
        prime=prime,
    )


def identity(num_ids: int) -> UniversalHash:
    """Returns the hash that gives each id its own bucket."""
    return UniversalHash(num_ids, a=1, b=0, prime=smallest_prime(num_ids))


def smallest_prime(minimum: int) -> int:
    """Returns the smallest prime that is at least `minimum`."""
    if minimum > LARGEST_PRIME:
        raise ValueError(
            f"`minimum` must be at most {LARGEST_PRIME}. Received: {minimum=}"
        )
    candidate = max(minimum, 2)
    while not _is_prime(candidate):
        candidate += 1
    return candidate


def _is_prime(number: int) -> bool:
    """Tells whether a number below 3,215,031,751 is prime.

    Miller and Rabin's test with these bases is exact there (Pomerance,
    Selfridge and Wagstaff, 1980).
    """
    bases = (2, 3, 5, 7)
    if number < 2 or any(number % base == 0 for base in bases):
        return number in bases
    num_twos = ((number - 1) & (1 - number)).bit_length() - 1
    odd_factor = (number - 1) >> num_twos
    for base in bases:
        power = pow(base, odd_factor, number)
        if power in (1, number - 1):
            continue
        for _ in range(num_twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def _splitmix64(state: int) -> int:
    """Returns the splitmix64 output of `state` (Steele et al., 2014)."""
    mask = 2**64 - 1
    z = (state + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)
