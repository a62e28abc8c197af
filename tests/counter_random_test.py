import numpy as np
import pytest
import tensorflow as tf

from tfxml.data.synthetic import counter_random

GOLDEN = 0x9E3779B97F4A7C15


def test_mix_gives_the_published_outputs_of_splitmix64():
    # https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    states = [(1234567 + i * GOLDEN) % 2**64 for i in range(1, 6)]
    bits = counter_random.mix(tf.constant(np.array(states, np.uint64)))
    assert bits.numpy().tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


def test_uniforms_depend_on_the_counter_not_on_its_place():
    counters = tf.constant([5, 0, -1, 2**62, 5], tf.int64)
    u = counter_random.uniform(3, 1, counters, 2, 3).numpy()
    assert u.shape == (5, 2, 3)
    np.testing.assert_array_equal(u[0], u[4])
    for i in range(5):
        one = counter_random.uniform(3, 1, counters[i : i + 1], 2, 3)
        np.testing.assert_array_equal(u[i], one[0])
    flat = counter_random.uniform(3, 1, counters, 6).numpy()
    np.testing.assert_array_equal(u.reshape(5, 6), flat)


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_uniforms_are_uniform(seed):
    counters = tf.range(50_000, dtype=tf.int64)
    u = counter_random.uniform(seed, 2, counters, 4).numpy()
    assert u.min() >= 0 and u.max() < 1
    counts = np.histogram(u, 100, (0, 1))[0]
    expected = u.size / 100
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - 99) < 5 * np.sqrt(2 * 99)


def test_slots_counters_draws_and_seeds_are_uncorrelated():
    counters = tf.range(50_000, dtype=tf.int64)
    columns = [
        *counter_random.uniform(0, 0, counters, 3).numpy().T,
        *counter_random.uniform(0, 0, counters + 1, 2).numpy().T,
        *counter_random.uniform(0, 1, counters, 2).numpy().T,
        *counter_random.uniform(1, 0, counters, 2).numpy().T,
    ]
    off_diagonal = np.corrcoef(columns)[np.triu_indices(len(columns), 1)]
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(50_000)


@pytest.mark.parametrize("count", [1, 2, 250, 12_250_000, 2**31 - 1])
def test_zipf_stays_in_range(count):
    u = tf.constant([0.0, 2.0**-53, 0.5, 1 - 2.0**-53], tf.float64)
    ranks = counter_random.zipf(u, count).numpy()
    assert ranks[0] == 0
    assert ranks[-1] == count - 1
    assert (np.diff(ranks) >= 0).all()


def test_zipf_has_its_popularity():
    count, points = 250, 1_000_000
    u = (np.arange(points) + 0.5) / points
    ranks = counter_random.zipf(tf.constant(u), count).numpy()
    measured = np.bincount(ranks, minlength=count) / points
    # The integral of x**(-7/8) over [rank + 1, rank + 2), normalised.
    edges = np.arange(1, count + 2) ** 0.125
    expected = np.diff(edges) / (edges[-1] - edges[0])
    np.testing.assert_allclose(measured, expected, atol=2 / points)
