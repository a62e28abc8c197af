"""Losses by compiled loops against their definition in float64."""

import numpy as np
import pytest

from tfxml.cpu import loss_steps


@pytest.mark.parametrize(
    ("num_rows", "num_outputs"), [(0, 3), (1, 1), (2, 15), (5, 16), (7, 33)]
)
@pytest.mark.parametrize("scale", [0.01, 5.0, 200.0])
def test_sigmoid_cross_entropy(num_rows, num_outputs, scale):
    rng = np.random.default_rng(0)
    steps = loss_steps.SigmoidCrossEntropy()
    for _ in range(3):  # in the same memory
        shape = num_rows, num_outputs
        products = rng.normal(0, scale, shape).astype(np.float32)
        bias = rng.normal(size=num_outputs).astype(np.float32)
        weights = rng.random(num_rows).astype(np.float32)
        weights[1:2] = 0
        # Some twice, as where labels of a MACH bucket meet.
        rows = rng.integers(0, max(num_rows, 1), 4 * min(num_rows, 1))
        columns = rng.integers(0, num_outputs, len(rows))
        of_positives = rng.random(len(rows)).astype(np.float32)
        loss, gradients, of_bias = steps(
            products, bias, weights, rows, columns, of_positives
        )
        logits = (products + bias).astype(np.float64)
        with np.errstate(over="ignore"):
            expected = weights[:, None] / (1 + np.exp(-logits))
        np.subtract.at(expected, (rows, columns), of_positives)
        np.testing.assert_allclose(gradients, expected, atol=1e-6)
        np.testing.assert_allclose(of_bias, expected.sum(axis=0), atol=1e-5)
        softplus = np.logaddexp(0, logits)
        value = (weights @ softplus).sum()
        value -= of_positives @ logits[rows, columns]
        assert loss == pytest.approx(value, rel=1e-5, abs=1e-5)
