"""Upper bounds from products of bytes against products by NumPy."""

import numpy as np
import pytest

from tfxml.cpu import best as best_lib
from tfxml.cpu import byte_products, ranking, threads, upper_bounds
from tfxml.models import forms

needs_bytes = pytest.mark.skipif(
    not byte_products.are_fast(), reason="this processor has no AVX-512 VNNI"
)
SHAPES = [(1, 1, 5), (7, 37, 100), (100, 64, 64), (13, 257, 700)]


def _layers(num_rows, num_units, num_outputs):
    """Returns rows as layers give them, and a kernel with its biases."""
    rng = np.random.default_rng(num_units)
    encoded = np.maximum(rng.normal(size=(num_rows, num_units + 1)), 0)
    encoded *= rng.gamma(1, size=(num_rows, 1))
    encoded[num_rows // 2] = 0
    encoded[:, -1] = 1
    kernel = rng.normal(size=(num_outputs, num_units + 1))
    kernel *= rng.gamma(1, size=(num_outputs, 1))
    kernel[num_outputs // 2] = 0
    return encoded.astype(np.float32), kernel.astype(np.float32)


@needs_bytes
@pytest.mark.parametrize("shape", SHAPES)
def test_products_are_between_what_bytes_bound(shape):
    encoded, kernel = _layers(*shape)
    kernel[1, -1] = -np.inf
    bounds, excess = upper_bounds.UpperBounds(kernel).bounds(encoded)
    products = encoded.astype(np.float64) @ kernel.astype(np.float64).T
    assert (bounds >= products).all()
    finite = np.isfinite(products)
    gaps = np.where(finite, bounds - np.where(finite, products, 0), 0)
    assert (gaps <= excess[:, None]).all()
    assert (bounds[:, 1] == -np.inf).all()
    # A bound that bounds all is of no use.
    lengths = np.linalg.norm(encoded[:, :-1], axis=1)
    lengths *= np.linalg.norm(kernel[:, :-1], axis=1).max()
    assert (excess <= 0.1 * lengths + 1e-4).all()


@needs_bytes
@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_best_are_those_of_exact_products(shape, k):
    encoded, kernel = _layers(*shape)
    num_rows, _, num_outputs = shape
    kernel[-1] = kernel[0]  # equal products: the first is better
    kernel[1, -1] = -np.inf
    k = min(k, num_outputs - 1)
    label_ids = np.arange(7, 7 + num_outputs, dtype=np.uint32)
    best, ids = best_lib.nothing(num_rows, k)
    finder = upper_bounds.UpperBounds(kernel)
    finder.keep_best(encoded, label_ids, best, ids)
    products = encoded.astype(np.float64) @ kernel.astype(np.float64).T
    wanted = -np.sort(-products, axis=1)[:, :k]
    scale = np.abs(encoded) @ np.abs(np.nan_to_num(kernel, neginf=0)).max(
        axis=0
    )
    assert (np.abs(best - wanted) <= 1e-6 * scale[:, None] + 1e-6).all()
    found = np.take_along_axis(products, ids - 7, axis=1)
    assert (np.abs(found - best) <= 1e-6 * scale[:, None] + 1e-6).all()
    assert all(len(set(row)) == k for row in ids)
    ranks = [list(row).index for row in ids]
    for row, rank in zip(ids, ranks, strict=True):
        if num_outputs + 6 in row:
            assert rank(7) < rank(num_outputs + 6)


@needs_bytes
def test_lists_of_blocks_are_merged():
    encoded, kernel = _layers(20, 50, 300)
    together, apart = best_lib.nothing(20, 9), best_lib.nothing(20, 9)
    label_ids = np.arange(300, dtype=np.uint32)
    upper_bounds.UpperBounds(kernel).keep_best(encoded, label_ids, *together)
    for some in np.split(label_ids, [100, 104]):
        finder = upper_bounds.UpperBounds(kernel[some])
        finder.keep_best(encoded, some, *apart)
    np.testing.assert_array_equal(apart[1], together[1])
    np.testing.assert_array_equal(apart[0], together[0])


@needs_bytes
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_numbers_that_are_none_or_too_large_leave_no_labels(value):
    encoded, kernel = _layers(8, 30, 64)
    encoded[3, 4] = value
    best, ids = best_lib.nothing(8, 5)
    label_ids = np.arange(64, dtype=np.uint32)
    upper_bounds.UpperBounds(kernel).keep_best(encoded, label_ids, best, ids)
    is_number = np.arange(8) != 3
    assert (ids[is_number] != best_lib.NO_LABEL).all()
    if value == 1e30:  # its products are float32 numbers
        wanted = np.argsort(-(encoded[3].astype(float) @ kernel.T))[:5]
        np.testing.assert_array_equal(ids[3], wanted)
    elif np.isnan(value):
        assert (ids[3] == best_lib.NO_LABEL).all()


@pytest.mark.parametrize("num_rows", [3, 50])
@pytest.mark.parametrize("are_fast", [False, True])
def test_processors_without_bytes_rank_alike(monkeypatch, are_fast, num_rows):
    if are_fast and not byte_products.are_fast():
        pytest.skip("this processor has no AVX-512 VNNI")
    monkeypatch.setattr(byte_products, "are_fast", lambda: are_fast)
    encoded, kernel = _layers(num_rows, 40, 1500)
    dropped = np.array([5, 900])
    halves = np.split(kernel, [800])
    blocks = [forms.Block(half[:, :-1], half[:, -1], False) for half in halves]
    head = ranking.LabelBlocks(
        forms.BlockRanking(1500, blocks, dropped=dropped)
    )
    best, ids = head.top_k([encoded], 10, threads.Threads(2))
    products = encoded @ kernel.T
    products[:, dropped] = -np.inf
    wanted = np.argsort(-products, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_allclose(
        best, np.take_along_axis(products, wanted, axis=1), rtol=1e-5, atol=1e-5
    )
