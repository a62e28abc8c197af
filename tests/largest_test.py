"""Which weights are kept, by definition."""

import numpy as np
import pytest

from tfxml.training.solvers import largest


@pytest.mark.parametrize("levels", [3, 1000, 1 << 30])
@pytest.mark.parametrize("max_kept", [1, 700, 5000])
def test_the_largest_are_kept_and_of_equal_ones_the_first(levels, max_kept):
    rng = np.random.default_rng(levels)
    # Few levels: many ties, some of them 0.
    weights = rng.integers(-levels, levels + 1, 9000).astype(np.float32) / 7
    features = np.arange(9000, dtype=np.int32)
    keeper = largest.Largest(max_kept)
    for labels in np.split(np.arange(90), 9):
        these = slice(100 * labels[0], 100 * (labels[-1] + 1))
        splits = np.arange(0, 1001, 100)
        keeper.add(labels, splits, features[these], weights[these])
    order = np.argsort(-np.abs(weights), kind="stable")[:max_kept]
    kept = np.sort(order)
    labels, kept_features, values = keeper.result()
    np.testing.assert_array_equal(kept_features, kept)
    np.testing.assert_array_equal(labels, kept // 100)
    np.testing.assert_array_equal(values, weights[kept])
    assert keeper.least == np.abs(weights[order[-1]])
