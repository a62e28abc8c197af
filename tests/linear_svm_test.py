"""Labels' support vector machines, against the optimum of the definition."""

import numpy as np
import pytest
from sklearn import svm

from tfxml.training.solvers import label_problems, linear_svm

N, D, L = 40, 25, 6


def _problem(seed=0):
    """Returns dense rows, and the rows and pairs as `solve` takes them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.3)
    x[3] = 0  # an instance without features
    x = x.astype(np.float32)
    rows, columns = np.nonzero(x)
    splits = np.searchsorted(rows, np.arange(N + 1))
    chosen = [
        np.sort(rng.choice(N, size, False)) for size in (2, 9, N, 17, 5, 30)
    ]
    chosen[3][0] = 3
    is_positive = [rng.random(len(one)) < 0.4 for one in chosen]
    for one in is_positive:
        one[:2] = True, False
    return (
        x,
        label_problems.Rows(splits, columns, x[rows, columns], D),
        label_problems.Pairs(
            np.cumsum([0, *map(len, chosen)]),
            np.concatenate(chosen),
            np.concatenate(is_positive),
        ),
    )


def _solve(rows, pairs, cost, num_passes, seed=1):
    """Returns dense weights [L, D] and biases."""
    number = len(pairs.splits) - 1
    seeds = np.random.default_rng(seed).integers(2**63, size=number)
    settings = linear_svm.Settings(cost, num_passes)
    found = linear_svm.solve(rows, pairs, settings, seeds.astype(np.uint64))
    weights = np.zeros((number, rows.num_features))
    owners = np.repeat(np.arange(number), np.diff(found.splits))
    weights[owners, found.feature_ids] = found.weights
    return weights, found.biases


def _labels(pairs):
    for label in range(L):
        run = slice(pairs.splits[label], pairs.splits[label + 1])
        signs = np.where(pairs.is_positive[run], 1, -1)
        yield label, pairs.row_ids[run], signs


def _objective(x, weights, bias, signs, cost):
    short = np.maximum(0, 1 - signs * (x @ weights + bias))
    return (weights @ weights + bias**2) / 2 + cost * np.sum(short**2)


@pytest.mark.parametrize("cost", [0.1, 1.0, 10.0])
def test_many_passes_reach_the_optimum(cost):
    x, rows, pairs = _problem()
    weights, biases = _solve(rows, pairs, cost, 800)
    for label, row_ids, signs in _labels(pairs):
        peer = svm.LinearSVC(C=cost, tol=1e-8, max_iter=100_000)
        peer.fit(x[row_ids], signs)
        ours, best = (
            _objective(x[row_ids], w, b, signs, cost)
            for w, b in (
                (weights[label], biases[label]),
                (peer.coef_[0], peer.intercept_[0]),
            )
        )
        assert ours <= best * (1 + 1e-3)


def test_few_passes_come_near():
    x, rows, pairs = _problem(2)
    values = []
    for num_passes in (1, 3, 12, 400):
        weights, biases = _solve(rows, pairs, 1.0, num_passes)
        values.append(
            sum(
                _objective(x[row_ids], weights[label], biases[label], signs, 1)
                for label, row_ids, signs in _labels(pairs)
            )
        )
    assert values[2] < 1.1 * values[3]
    assert values[0] > values[1] > values[2]


def test_rows_alike_take_more_passes_and_end_at_the_optimum():
    """All features of all rows are positive, as those of pictures are."""
    rng = np.random.default_rng(3)
    x = (rng.random((300, 8)) @ rng.random((8, 30))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    hidden = x @ rng.normal(size=30)
    is_positive = hidden > np.quantile(hidden, 0.8)
    rows = label_problems.Rows(
        np.arange(301) * 30,
        np.tile(np.arange(30, dtype=np.uint32), 300),
        x.ravel(),
        30,
        np.ones(300, np.float32),
    )
    pairs = label_problems.Pairs(
        np.array([0, 300]), np.arange(300, dtype=np.uint32), is_positive
    )
    signs = np.where(is_positive, 1, -1)
    peer = svm.LinearSVC(C=10, tol=1e-8, max_iter=100_000).fit(x, signs)
    best = _objective(x, peer.coef_[0], peer.intercept_[0], signs, 10)
    found = {}
    for passes in (6, 300, 600):
        weights, biases = _solve(rows, pairs, 10.0, passes)
        found[passes] = _objective(x, weights[0], biases[0], signs, 10)
    assert found[6] > 1.05 * best
    assert found[300] < 1.001 * best
    assert found[300] == found[600]  # it has stopped


def test_labels_know_nothing_of_each_other():
    _, rows, pairs = _problem()
    together, _ = _solve(rows, pairs, 1.0, 300)
    for label in range(L):
        run = slice(pairs.splits[label], pairs.splits[label + 1])
        alone = label_problems.Pairs(
            np.array([0, run.stop - run.start]),
            pairs.row_ids[run],
            pairs.is_positive[run],
        )
        weights, _ = _solve(rows, alone, 1.0, 300, seed=2)
        np.testing.assert_allclose(weights[0], together[label], atol=5e-3)


def test_a_label_without_pairs_has_no_weights():
    _, rows, _ = _problem()
    none = label_problems.Pairs(
        np.array([0, 0, 1]), np.array([5]), np.array([True])
    )
    weights, biases = _solve(rows, none, 1.0, 2)
    assert not weights[0].any() and biases[0] == 0
    assert weights[1].any() and biases[1] > 0


def test_one_pair_has_the_optimum_of_its_definition():
    # min (w^2 |x|^2 + b^2)/2 + C (1 - m)^2 lies where the dual a, with
    # a (|x|^2 + 1 + 1 / 2C) = 1, gives w = a x and b = a.
    x, rows, _ = _problem()
    one = label_problems.Pairs(
        np.array([0, 1]), np.array([5]), np.array([True])
    )
    weights, biases = _solve(rows, one, 2.0, 1)
    dual = 1 / (x[5] @ x[5] + 1 + 0.25)
    np.testing.assert_allclose(weights[0], dual * x[5], rtol=1e-6)
    np.testing.assert_allclose(biases[0], dual, rtol=1e-6)


def test_weights_below_the_least_are_left_out():
    _, rows, pairs = _problem()
    seeds = np.arange(L, dtype=np.uint64)
    every, largest = (
        linear_svm.solve(rows, pairs, linear_svm.Settings(1, 5), seeds, least)
        for least in (0.0, 0.1)
    )
    is_large = np.abs(every.weights) >= 0.1
    assert 0 < np.count_nonzero(is_large) < len(every.weights)
    np.testing.assert_array_equal(largest.weights, every.weights[is_large])
    np.testing.assert_array_equal(
        largest.feature_ids, every.feature_ids[is_large]
    )
    np.testing.assert_array_equal(largest.biases, every.biases)


def test_a_share_of_the_centroid_is_added():
    x, rows, pairs = _problem()
    seeds = np.arange(L, dtype=np.uint64)
    without, having = (
        linear_svm.solve(
            rows, pairs, linear_svm.Settings(1, 5, centroid), seeds
        )
        for centroid in (0.0, 2.0)
    )
    for label, row_ids, signs in _labels(pairs):
        total = x[row_ids[signs > 0]].sum(axis=0)
        wanted = 2 * total / np.linalg.norm(total)
        found = np.zeros(D)
        for solved, sign in ((having, 1), (without, -1)):
            run = slice(solved.splits[label], solved.splits[label + 1])
            found[solved.feature_ids[run]] += sign * solved.weights[run]
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_more_weights_than_there_was_room_for_at_first():
    rng = np.random.default_rng(0)
    number, size, num_features = 160, 2, 1000
    # A label's positive has half of the features and its negative the rest, so
    # that no feature is shared: each weight is its row's dual times its value.
    ids = np.tile(rng.permutation(num_features), number)
    values = rng.random(len(ids)).astype(np.float32) + 0.5
    rows = label_problems.Rows(
        np.arange(0, len(ids) + 1, num_features // size), ids, values, 1000
    )
    pairs = label_problems.Pairs(
        np.arange(0, size * number + 1, size),
        np.arange(size * number),
        np.tile([True, False], number),
    )
    weights = np.zeros((number, num_features))
    found = linear_svm.solve(
        rows,
        pairs,
        linear_svm.Settings(1, 300),
        np.arange(number).astype(np.uint64),
    )
    np.testing.assert_array_equal(np.diff(found.splits), num_features)
    owners = np.repeat(np.arange(number), num_features)
    weights[owners, found.feature_ids] = found.weights
    wanted = np.zeros((number, num_features))
    for label in range(number):
        x = values[label * 1000 : label * 1000 + 1000].astype(np.float64)
        x = x.reshape(2, -1)
        # The optimum of two duals a, b: margins a |x|^2 + (a - b) and so on.
        norms = (x**2).sum(axis=1) + 0.5 + 1
        duals = np.linalg.solve([[norms[0], -1], [-1, norms[1]]], [1, 1])
        own = ids[label * 1000 : label * 1000 + 1000].reshape(2, -1)
        wanted[label, own[0]] = duals[0] * x[0]
        wanted[label, own[1]] = -duals[1] * x[1]
    np.testing.assert_allclose(weights, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_features": D - 1}, r"`rows.feature_ids` must be in \[0, 24\)"),
        ({"splits": np.zeros(9, int)}, r"`pairs.row_ids` must be in \[0, 8\)"),
    ],
)
def test_ids_out_of_range_are_refused(change, message):
    _, rows, pairs = _problem()
    assert rows.feature_ids.max() == D - 1
    with pytest.raises(ValueError, match=message):
        _solve(rows._replace(**change), pairs, 1.0, 1)
