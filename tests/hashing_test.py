"""The hash against Python's integers, and its 2-universality."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.mach import hashing


@pytest.mark.parametrize("num_buckets", [2, 100, 10_000, 70_000])
def test_table_graph_and_definition_agree(num_buckets):
    one = hashing.from_seed(3, 1, num_buckets)
    ids = [0, 1, 2, 41_217, 48_999_999, 2**31 - 2]
    expected = [(one.a * x + one.b) % (2**31 - 1) % num_buckets for x in ids]
    np.testing.assert_array_equal(one(tf.constant(ids)), expected)
    assert one.table(3).tolist() == expected[:3]


def test_table_has_the_smallest_type():
    assert hashing.from_seed(0, 0, 256).table(9).dtype == np.uint8
    assert hashing.from_seed(0, 0, 257).table(9).dtype == np.uint16
    assert hashing.from_seed(0, 0, 65_537).table(9).dtype == np.uint32


def test_pairs_collide_as_often_as_a_2_universal_hash_allows():
    num_buckets, trials = 50, 4000
    rng = np.random.default_rng(0)
    collisions = 0
    for trial in range(trials):
        x, y = rng.choice(1_000_000, 2, replace=False)
        table = hashing.from_seed(trial, 0, num_buckets)(tf.constant([x, y]))
        collisions += int(table[0] == table[1])
    expected = trials / num_buckets
    assert abs(collisions - expected) < 4 * expected**0.5


def test_seed_and_repetition_decide_alone():
    assert hashing.from_seed(1, 2, 9) == hashing.from_seed(1, 2, 9)
    many = {hashing.from_seed(s, r, 9) for s in range(9) for r in range(9)}
    assert len(many) == 81


def test_recorded_hash_stays_what_it_is():
    """Version 1, worked out by hand from splitmix64's published constants."""

    def mix(state):
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    assert mix(0) == 0xE220A8397B1DCDAF  # splitmix64's first output, seed 0
    draw = mix(mix(7) ^ 3)
    one = hashing.from_seed(7, 3, 100)
    assert hashing.VERSION == 1
    assert (one.a, one.b) == (
        1 + draw % (2**31 - 2),
        mix(draw) % (2**31 - 1),
    )
