"""Rows in compressed sparse row layout, by definition."""

import numpy as np

from tfxml.data import instances


def test_rows_are_scaled_to_length_1_and_empty_ones_stay_empty():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=size).astype(np.float32) for size in (3, 0, 1, 9)]
    rows.append(np.zeros(2, np.float32))
    splits = np.cumsum([0, *map(len, rows)])
    found = np.split(
        instances.normalized(np.concatenate(rows), splits), splits[1:-1]
    )
    for own, row in zip(found, rows, strict=True):
        length = np.linalg.norm(row.astype(np.float64))
        np.testing.assert_allclose(own, row / (length or 1), rtol=1e-6)
