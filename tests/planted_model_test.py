"""The planted model against a slow oracle that sees the features alone."""

import collections
import math

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data.synthetic import synthetic_source

GOLDEN = 0x9E3779B97F4A7C15
DRAW_STEP = 0xD1B54A32D192ED03
STRENGTH, TRIGGER, GENERAL_LABEL = 10, 11, 12


def mix(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z >> 31)


def uniform(seed, draw, counter, slot):
    key = seed + draw * DRAW_STEP
    stream = mix((key + counter * GOLDEN) % 2**64)
    return (mix((stream + slot * GOLDEN) % 2**64) >> 11) / 2**53


def zipf(u, count):
    return int((1 + u * ((count + 1) ** 0.125 - 1)) ** 8) - 1


class Oracle:
    """Computes topics and p(label | x) from feature ids, by the definition."""

    def __init__(
        self, num_labels, seed=0, labels_per_topic=4, features_per_topic=8
    ):
        self.seed = seed
        self.size = features_per_topic
        self.num_slots = labels_per_topic
        self.num_general = max(1, num_labels // 100)
        self.num_own = num_labels - 2 * self.num_general
        self.num_words = min(max(num_labels, 100), 100_000)
        num_topics = math.ceil(self.num_own / labels_per_topic)
        self.num_features = self.num_words + num_topics * self.size

    def blocks(self, feature_ids):
        blocks = collections.defaultdict(set)
        for feature in feature_ids:
            if feature >= self.num_words:
                block, slot = divmod(feature - self.num_words, self.size)
                blocks[block].add(slot)
        return blocks

    def causes(self, feature_ids):
        """Yields (label, probability) of every topic of x and its slots."""
        for topic, slots in self.blocks(feature_ids).items():
            if len(slots) < 2:
                continue
            for j in range(self.num_slots + 2):
                label = topic * self.num_slots + j
                strength = 0.98 * 0.6**j
                if j >= self.num_slots:
                    g = j - self.num_slots
                    u = uniform(self.seed, GENERAL_LABEL, topic, g)
                    label = self.num_own + g * self.num_general
                    label += zipf(u, self.num_general)
                    strength = 0.3
                elif label >= self.num_own:
                    continue
                strength *= 1 - 0.2 * uniform(self.seed, STRENGTH, topic, j)
                u = uniform(self.seed, TRIGGER, topic, j)
                is_triggered = int(u * self.size) in slots
                yield label, strength * (1.0 if is_triggered else 0.5)

    def marginals(self, feature_ids):
        misses = collections.defaultdict(lambda: 1.0)
        for label, p in self.causes(feature_ids):
            misses[label] *= 1 - p
        return {label: 1 - miss for label, miss in sorted(misses.items())}


MODELS = [
    {"num_labels": 1000},
    {
        "num_labels": 1001,  # the last topic has one label of its own
        "seed": 2**63 - 1,
        "labels_per_topic": 5,
        "features_per_topic": 3,
    },
    {"num_labels": 8, "seed": 7, "features_per_topic": 2},
    {"num_labels": 30, "labels_per_topic": 1},
    {"num_labels": 49_000_000},
]


@pytest.mark.parametrize("dependence", [0.0, 1.0])
@pytest.mark.parametrize("arguments", MODELS, ids=lambda m: m["num_labels"])
def test_marginals_are_what_the_features_tell(arguments, dependence):
    source = synthetic_source.SyntheticSource(
        300, dependence=dependence, **arguments
    )
    oracle = Oracle(**arguments)
    assert source.num_features == oracle.num_features
    indices = tf.range(300, dtype=tf.int64)
    found, label_ids = source.rows(indices)
    candidates, p = source.marginals(indices)
    for x, y, ids, row_p in zip(
        found["feature_ids"].to_list(),
        label_ids.to_list(),
        candidates.to_list(),
        p.to_list(),
        strict=True,
    ):
        expected = oracle.marginals(x)
        assert ids == list(expected)
        np.testing.assert_allclose(row_p, list(expected.values()), atol=1e-6)
        assert set(y) <= set(ids)


def test_topics_and_noise_are_as_described():
    source = synthetic_source.SyntheticSource(5000, 1000)
    oracle = Oracle(1000)
    found, _ = source.rows(tf.range(5000, dtype=tf.int64))
    feature_ids = found["feature_ids"].to_list()
    sizes = [
        [len(slots) for slots in oracle.blocks(x).values()] for x in feature_ids
    ]
    num_topics = [sum(size >= 2 for size in row) for row in sizes]
    num_confusers = [sum(size == 1 for size in row) for row in sizes]
    assert set(num_topics) == {1, 2, 3}
    assert set(num_confusers) == {0, 1, 2, 3, 4}


def test_noisy_or_is_needed():
    # Else the test of the marginals could not tell it from a maximum.
    oracle = Oracle(1000)
    source = synthetic_source.SyntheticSource(300, 1000)
    found, _ = source.rows(tf.range(300, dtype=tf.int64))
    feature_ids = found["feature_ids"].to_list()
    repeats = 0
    for x in feature_ids:
        labels = [label for label, _ in oracle.causes(x)]
        repeats += len(labels) > len(set(labels))
    assert repeats > 20


def drawn(dependence, num_instances=20_000):
    """Returns flat (row, label id, p, is on) of all candidates."""
    source = synthetic_source.SyntheticSource(
        num_instances, 1000, dependence=dependence
    )
    indices = tf.range(num_instances, dtype=tf.int64)
    ids, p = source.marginals(indices)
    _, label_ids = source.rows(indices)
    rows = ids.value_rowids().numpy()
    on = label_ids.value_rowids().numpy() * 1000 + label_ids.flat_values.numpy()
    flat_ids = ids.flat_values.numpy()
    is_on = np.isin(rows * 1000 + flat_ids, on)
    return rows, flat_ids, p.flat_values.numpy(), is_on


@pytest.mark.parametrize("dependence", [0.0, 0.5, 1.0])
def test_labels_are_calibrated_with_the_marginals(dependence):
    rows, ids, p, is_on = drawn(dependence)

    # A label occurs once in an instance, so its trials are independent.
    excess = np.bincount(ids, is_on - p)
    variance = np.bincount(ids, p * (1 - p))
    frequent = variance > 5
    z = (excess / np.sqrt(variance))[frequent]
    assert frequent.sum() > 500
    assert np.abs(z).max() < 5
    assert 0.8 < np.mean(z**2) < 1.2

    # Of all labels together, and at each level of p: rows are independent,
    # the labels of a row need not be.
    for level in [np.zeros(len(p), int), (p * 10).astype(int)]:
        clusters, cluster = np.unique(rows * 10 + level, return_inverse=True)
        excess = np.bincount(cluster, is_on - p)
        totals = np.bincount(clusters % 10, excess)
        errors = np.sqrt(np.bincount(clusters % 10, excess**2))
        assert (np.abs(totals) <= 4 * errors).all()


def test_dependence_leaves_the_marginals_and_features():
    indices = tf.range(100, dtype=tf.int64)
    free, tied = (
        synthetic_source.SyntheticSource(100, 1000, dependence=dependence)
        for dependence in (0.0, 1.0)
    )
    for a, b in zip(
        (*free.marginals(indices), *free.rows(indices)[0].values()),
        (*tied.marginals(indices), *tied.rows(indices)[0].values()),
        strict=True,
    ):
        np.testing.assert_array_equal(a.flat_values, b.flat_values)
        np.testing.assert_array_equal(a.row_splits, b.row_splits)


@pytest.mark.parametrize("dependence", [0.0, 0.5, 1.0])
def test_dependence_is_how_often_labels_share_a_uniform(dependence):
    rows, ids, p, is_on = drawn(dependence)
    # The first two of a topic's own labels, that no other topic can turn on.
    pairs = np.flatnonzero(
        (rows[1:] == rows[:-1])
        & (ids[1:] == ids[:-1] + 1)
        & (ids[:-1] % 4 == 0)
        & (ids[1:] < 980)
    )
    first, second = p[pairs], p[pairs + 1]
    both = is_on[pairs] & is_on[pairs + 1]

    def z(expected):
        error = np.sqrt((expected * (1 - expected)).sum())
        return (both.sum() - expected.sum()) / error

    free, tied = first * second, np.minimum(first, second)
    assert abs(z((1 - dependence) * free + dependence * tied)) < 4
    if dependence:
        assert z(free) > 10
