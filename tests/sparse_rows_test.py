"""Products of sparse rows against the dense product of NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.models import sparse_rows

D, H = 9, 4
ROWS = {
    "no rows": [],
    "no features": [[], []],
    "one row without features": [[(3, 1.0)], [], [(3, 2.0), (8, -1.0)]],
    "a feature twice": [[(0, 1.0), (0, 0.5)], [(7, 2.0)]],
}


@pytest.mark.parametrize("form", ["dense", "compact"])
@pytest.mark.parametrize("name", sorted(ROWS))
def test_product_and_gradient(name, form):
    rows = ROWS[name]
    lengths = [len(row) for row in rows]
    flat = [pair for row in rows for pair in row]
    ids = tf.constant([i for i, _ in flat], tf.int32)
    values = tf.constant([v for _, v in flat], tf.float32)
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rng = np.random.default_rng(0)
    kernel = tf.Variable(rng.normal(size=(D, H)).astype(np.float32))
    matrix = np.zeros((len(rows), D), np.float32)
    for n, row in enumerate(rows):
        for feature, value in row:
            matrix[n, feature] += value

    @tf.function
    def run(ids, values):
        with tf.GradientTape() as tape:
            arranged = sparse_rows.arrange(
                tf.RaggedTensor.from_row_splits(ids, splits),
                tf.RaggedTensor.from_row_splits(values, splits),
                D,
                form,
            )
            product = sparse_rows.matmul(arranged, [kernel])
            loss = tf.reduce_sum(product * product)
        gradient = tape.gradient(loss, kernel)
        return product, tf.convert_to_tensor(gradient)

    product, gradient = run(ids, values)
    expected = matrix @ kernel.numpy()
    np.testing.assert_allclose(product, expected, atol=1e-5)
    np.testing.assert_allclose(gradient, 2 * matrix.T @ expected, atol=1e-5)
