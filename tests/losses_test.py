"""The sparse cross-entropies against the dense definition."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.models import contract
from tfxml.models.losses import fused, sigmoid_cross_entropy

LOSS = sigmoid_cross_entropy.SigmoidCrossEntropy()

N, H, B = 5, 3, 7


def _case(seed):
    rng = np.random.default_rng(seed)
    targets = (rng.random((N, B)) < 0.3).astype(np.float64)
    weights = rng.random(N)
    weights[1] = 0.0
    rows, columns = np.nonzero(targets)
    positives = contract.Positives(
        tf.constant(rows, tf.int32),
        tf.constant(columns, tf.int32),
        tf.constant(weights[rows], tf.float32),
    )
    return rng, targets, weights, positives


def _dense_loss(logits, targets, weights):
    """-sum_i w_i sum_j y log s(z) + (1 - y) log(1 - s(z)), by definition."""
    p = 1 / (1 + np.exp(-logits))
    terms = targets * np.log(p) + (1 - targets) * np.log(1 - p)
    return -(weights[:, None] * terms).sum()


@pytest.mark.parametrize("seed", range(3))
def test_loss_from_logits_equals_the_definition(seed):
    rng, targets, weights, positives = _case(seed)
    logits = tf.Variable(rng.normal(size=(N, B)) * 3, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = LOSS.trained_value(
            logits, positives, tf.constant(weights, tf.float32)
        )
    z = logits.numpy().astype(np.float64)
    expected = weights[:, None] * (1 / (1 + np.exp(-z)) - targets)
    np.testing.assert_allclose(
        loss, _dense_loss(z, targets, weights), rtol=1e-5
    )
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_fused_loss_and_gradients_equal_the_definition(seed):
    rng, targets, weights, positives = _case(seed)
    encoded = tf.Variable(rng.normal(size=(N, H)), dtype=tf.float32)
    kernel = tf.Variable(rng.normal(size=(B, H)), dtype=tf.float32)
    bias = tf.Variable(rng.normal(size=B), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = 2.0 * fused.of_product(
            LOSS,
            tf.convert_to_tensor(encoded),
            tf.convert_to_tensor(kernel),
            tf.convert_to_tensor(bias),
            positives,
            tf.constant(weights, tf.float32),
        )
    gradients = tape.gradient(loss, [encoded, kernel, bias])
    e, k, b = (v.numpy().astype(np.float64) for v in (encoded, kernel, bias))
    z = e @ k.T + b
    d_logits = 2 * weights[:, None] * (1 / (1 + np.exp(-z)) - targets)
    np.testing.assert_allclose(
        loss, 2 * _dense_loss(z, targets, weights), rtol=1e-5
    )
    expected = (d_logits @ k, d_logits.T @ e, d_logits.sum(axis=0))
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-5)


def test_large_logits_stay_finite():
    logits = tf.constant([[200.0, -200.0]])
    positives = contract.Positives(
        tf.constant([0]), tf.constant([1]), tf.constant([1.0])
    )
    loss = LOSS.trained_value(logits, positives, tf.constant([1.0]))
    assert float(loss) == pytest.approx(400.0)
