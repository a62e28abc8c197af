"""The hash against Python's integers, and its 2-universality."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfxml.mach import hashing

VERSION_1 = 2**31 - 1  # the capacity, and so the prime, of version 1


@pytest.mark.parametrize("capacity", [49_000_000, VERSION_1])
@pytest.mark.parametrize("num_buckets", [2, 100, 10_000, 70_000])
def test_table_graph_and_definition_agree(num_buckets, capacity):
    one = hashing.from_seed(3, 1, num_buckets, capacity)
    ids = [0, 1, 2, 41_217, 48_999_999, one.prime - 1]
    expected = [(one.a * x + one.b) % one.prime % num_buckets for x in ids]
    np.testing.assert_array_equal(one(tf.constant(ids)), expected)
    assert one.table(3).tolist() == expected[:3]


def test_table_has_the_smallest_type():
    assert hashing.from_seed(0, 0, 256, 999).table(9).dtype == np.uint8
    assert hashing.from_seed(0, 0, 257, 999).table(9).dtype == np.uint16
    assert hashing.from_seed(0, 0, 65_537, 9).table(9).dtype == np.uint32


def test_a_table_is_the_same_over_many_blocks():
    one = hashing.from_seed(0, 0, 1000, 3_000_000)
    ids = np.array([0, 2**20 - 1, 2**20, 2_999_999])
    expected = [(one.a * int(x) + one.b) % one.prime % 1000 for x in ids]
    assert one.table(3_000_000)[ids].tolist() == expected


def _sieve(limit):
    is_prime = np.ones(limit, bool)
    is_prime[:2] = False
    for number in range(2, int(limit**0.5) + 1):
        if is_prime[number]:
            is_prime[number * number :: number] = False
    return np.flatnonzero(is_prime)


def test_smallest_prime_is_that_of_a_sieve():
    primes = _sieve(200_000)
    for least in range(0, 190_000, 7):
        expected = primes[np.searchsorted(primes, least)]
        assert hashing.smallest_prime(least) == expected


@pytest.mark.parametrize(
    ("least", "prime"),
    # The 5,000,000th prime and the eighth Mersenne prime.
    [(86_028_120, 86_028_121), (2_147_483_630, 2_147_483_647)],
)
def test_large_primes(least, prime):
    assert hashing.smallest_prime(least) == prime


@pytest.mark.parametrize("num_buckets", [1, 7, 10, 101])
def test_members_are_those_of_the_table(num_buckets):
    one = hashing.from_seed(4, 2, num_buckets, 101)
    table = one.table(90)
    for bucket in range(num_buckets):
        expected = np.flatnonzero(table == bucket)
        assert one.members(bucket, 90).tolist() == expected.tolist()


def test_buckets_are_balanced():
    one = hashing.from_seed(1, 0, 100, 100_000)
    sizes = np.bincount(one.table(one.prime), minlength=100)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("num_buckets", [2, 5, 12])
def test_no_pair_collides_more_often_than_1_of_B(num_buckets):
    """Over the whole family, which is small enough to enumerate."""
    prime = 13
    for x, y in itertools.combinations(range(prime), 2):
        family = itertools.product(range(1, prime), range(prime))
        collisions = sum(
            (a * x + b) % prime % num_buckets
            == (a * y + b) % prime % num_buckets
            for a, b in family
        )
        assert collisions * num_buckets <= prime * (prime - 1)


@pytest.mark.parametrize("capacity", [1_000_000, VERSION_1])
def test_drawn_hashes_collide_as_often_as_the_family(capacity):
    num_buckets, trials = 50, 4000
    rng = np.random.default_rng(0)
    collisions = 0
    for trial in range(trials):
        x, y = rng.choice(1_000_000, 2, replace=False)
        one = hashing.from_seed(trial, 0, num_buckets, capacity)
        table = one(tf.constant([x, y]))
        collisions += int(table[0] == table[1])
    expected = trials / num_buckets
    assert abs(collisions - expected) < 4 * expected**0.5


def test_seed_and_repetition_decide_alone():
    def draw(seed, repetition):
        return hashing.from_seed(seed, repetition, 9, 1000)

    assert draw(1, 2) == draw(1, 2)
    assert len({draw(s, r) for s in range(9) for r in range(9)}) == 81


@pytest.mark.parametrize(
    ("kwargs", "named"),
    [
        ({"prime": 100}, "prime"),
        ({"prime": 2**31 + 11}, "prime"),
        ({"num_buckets": 14}, "num_buckets"),
        ({"a": 13}, "`a`"),
        ({"b": 13}, "`b`"),
        ({"b": 1.5}, "`b`"),
        ({"a": np.array([2])}, "`a`"),
    ],
)
def test_arguments_out_of_range_are_refused(kwargs, named):
    values = {"num_buckets": 5, "a": 2, "b": 3, "prime": 13, **kwargs}
    with pytest.raises(ValueError, match=named):
        hashing.UniversalHash(**values)


@pytest.mark.parametrize(
    ("capacity", "prime"), [(VERSION_1, VERSION_1), (1000, 1009)]
)
def test_hashes_are_those_of_the_published_constants(capacity, prime):
    """Worked out by hand from splitmix64's published constants.

    At the largest prime it is also what version 1 was.
    """

    def mix(state):
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    assert mix(0) == 0xE220A8397B1DCDAF  # splitmix64's first output, seed 0
    draw = mix(mix(7) ^ 3)
    one = hashing.from_seed(7, 3, 100, capacity)
    assert hashing.VERSION == 2
    assert one.prime == prime
    assert (one.a, one.b) == (1 + draw % (prime - 1), mix(draw) % prime)
