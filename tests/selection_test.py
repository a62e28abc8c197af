"""The best scores through groups, against a stable sort."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.topk import selection


def _oracle(scores, k):
    places = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, places, axis=1), places


def _check(scores, k):
    wanted = _oracle(scores, k)
    for best in (
        selection.top_k(tf.constant(scores), k),
        selection.top_k_of_columns(tf.constant(scores.T), k),
    ):
        for ours, oracle in zip(best, wanted, strict=True):
            np.testing.assert_array_equal(ours, oracle)


@pytest.mark.parametrize("k", [1, 5, 100])
@pytest.mark.parametrize("number", [300, 8191, 8192, 8200, 16384, 41218])
@pytest.mark.parametrize("num_rows", [0, 1, 7])
def test_as_sorted(num_rows, number, k):
    rng = np.random.default_rng(k)
    _check(rng.normal(size=(num_rows, number)).astype(np.float32), k)


@pytest.mark.parametrize("k", [1, 5, 100])
@pytest.mark.parametrize("most", [1, 2, 9, 300])
def test_equal_scores_come_in_their_order(most, k):
    rng = np.random.default_rng(most)
    _check(rng.integers(0, most, (9, 12345)).astype(np.float32), k)


def test_dropped_scores_come_last():
    scores = np.full((2, 9000), -np.inf, np.float32)
    scores[0, [8999, 17, 4000]] = 1, 2, 3
    _check(scores, 5)


def test_one_graph_for_every_number_of_rows():
    spec = tf.TensorSpec([None, 10_000])
    rows = tf.function(
        lambda scores: selection.top_k(scores, 3), input_signature=[spec]
    )
    rng = np.random.default_rng(0)
    for num_rows in (0, 1, 6):
        scores = rng.normal(size=(num_rows, 10_000)).astype(np.float32)
        for ours, oracle in zip(rows(scores), _oracle(scores, 3), strict=True):
            np.testing.assert_array_equal(ours, oracle)
