"""Metrics of label sets against scikit-learn; best sets against all subsets."""

import csv
import io
import itertools

import numpy as np
import pytest
import scipy.sparse
import sklearn.metrics

from tfxml.evaluation import best_sets, label_sets, set_metrics

N, L = 60, 9


def _sets(indicator):
    matrix = scipy.sparse.csr_matrix(indicator)
    return label_sets.LabelSets(matrix.indptr, matrix.indices)


def _indicators(seed, share=0.25):
    rng = np.random.default_rng(seed)
    truth = rng.random((N, L)) < share
    truth[:, 7] = False  # a label that nobody has
    predicted = truth ^ (rng.random((N, L)) < 0.1)
    predicted[:, 7] = False
    predicted[:5] = truth[:5] = False  # empty sets
    return predicted.astype(int), truth.astype(int)


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_scikit_learn(seed):
    predicted, truth = _indicators(seed)
    metrics = set_metrics.SetMetrics(_sets(predicted), _sets(truth), L)
    f1 = sklearn.metrics.f1_score
    wanted = {
        "SubsetAccuracy": sklearn.metrics.accuracy_score(truth, predicted),
        "InstanceF1": f1(truth, predicted, average="samples", zero_division=1),
        "MicroF1": f1(truth, predicted, average="micro"),
        "MacroF1": f1(truth, predicted, average="macro", zero_division=np.nan),
        "HammingLoss": sklearn.metrics.hamming_loss(truth, predicted),
    }
    for key, value in metrics.result().items():
        assert value == pytest.approx(100 * wanted[key]), key


def test_figures_of_labels_are_those_of_scikit_learn():
    predicted, truth = _indicators(4)
    metrics = set_metrics.SetMetrics(_sets(predicted), _sets(truth), L)
    wanted = sklearn.metrics.precision_recall_fscore_support(
        truth, predicted, zero_division=0
    )
    file = io.StringIO(newline="")
    set_metrics.write_label_figures(metrics, file, lambda i: f"a,{i}")
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert [row["label_name"] for row in rows] == [f"a,{i}" for i in range(L)]
    names = "precision", "recall", "f1", "support"
    for name, values in zip(names, wanted, strict=True):
        factor = 1 if name == "support" else 100
        np.testing.assert_allclose(
            [float(row[name]) for row in rows], factor * values, atol=0.006
        )


def test_many_labels_cost_nothing_that_grows_with_both():
    """A dense indicator of these would have 2e10 places."""
    rng = np.random.default_rng(0)
    number, num_labels = 10_000, 2_000_000
    ids = rng.integers(0, num_labels, 3 * number)
    truth = label_sets.LabelSets(np.arange(number + 1) * 3, ids)
    shifted = np.where(np.arange(3 * number) % 3 == 0, ids, ids ^ 1)
    predicted = label_sets.LabelSets(truth.splits, shifted)
    metrics = set_metrics.SetMetrics(predicted, truth, num_labels)
    assert metrics.result()["InstanceF1"] == pytest.approx(100 / 3, abs=0.1)


def test_intervals_cover_the_truth():
    """In about 95 of 100 samples of a known population."""
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        is_right = rng.random(150) < 0.7
        truth = label_sets.LabelSets(np.arange(151), np.zeros(150, int))
        predicted = label_sets.LabelSets(
            np.arange(151), np.where(is_right, 0, 1)
        )
        metrics = set_metrics.SetMetrics(predicted, truth, 2)
        low, high = metrics.intervals(100, seed=seed)["SubsetAccuracy"]
        assert low <= metrics.result()["SubsetAccuracy"] <= high
        covered += low <= 70 <= high
    assert 50 <= covered <= 60


def test_intervals_hold_their_figures():
    """MacroF1 too, of many rare labels: resamples lack some of them."""
    rng = np.random.default_rng(0)
    number, num_labels = 200, 300
    splits = np.arange(number + 1) * 2
    ids = np.concatenate(
        [rng.choice(num_labels, 2, replace=False) for _ in range(number)]
    )
    is_right = (ids < 30) | (rng.random(len(ids)) < 0.1)
    predicted = np.where(is_right, ids, num_labels + ids)
    metrics = set_metrics.SetMetrics(
        label_sets.LabelSets(splits, predicted),
        label_sets.LabelSets(splits, ids),
        2 * num_labels,
    )
    for key, value in metrics.result().items():
        low, high = metrics.intervals()[key]
        assert low < value < high, key


@pytest.mark.parametrize(
    ("splits", "ids"), [([0, 2], [1, 1]), ([0, 3], [1]), ([1, 1], [])]
)
def test_bad_sets_are_refused(splits, ids):
    with pytest.raises(ValueError, match="must"):
        label_sets.LabelSets(np.array(splits), np.array(ids, int))


def test_sets_are_selected_and_chosen():
    sets = label_sets.LabelSets(np.array([0, 2, 2, 3]), np.array([5, 1, 4]))
    some = sets.select(np.array([2, 0]))
    assert some.splits.tolist() == [0, 1, 3]
    assert some.ids.tolist() == [4, 5, 1]
    candidates = label_sets.Candidates(
        np.array([[0.9, 0.2]] * 3), np.array([[1, 3], [1, 3], [4, 0]])
    )
    is_true = candidates.is_true(sets)
    assert is_true.tolist() == [[True, False], [False, False], [True, False]]
    assert candidates.best(1).ids.tolist() == [1, 1, 4]


# --- best sets ----------------------------------------------------------------


def _f1(one, other):
    sizes = one.sum() + other.sum()
    return 1.0 if not sizes else 2 * (one & other).sum() / sizes


def _subsets(number):
    return np.array(list(itertools.product([False, True], repeat=number)))


def _expected(subsets, weights):
    """Returns the expected F1 of each subset, from the definition."""
    return np.array(
        [
            sum(w * _f1(z, y) for y, w in zip(subsets, weights, strict=True))
            for z in subsets
        ]
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_best_sets_are_the_best_of_all_subsets(seed):
    rng = np.random.default_rng(seed)
    number = 5
    p = rng.random(number) * rng.choice([0.2, 0.6, 1.0])
    subsets = _subsets(number)
    weights = np.where(subsets, p, 1 - p).prod(axis=1)
    values = _expected(subsets, weights)
    place = {tuple(one): i for i, one in enumerate(subsets)}

    def value_of(is_chosen):
        return values[place[tuple(is_chosen[0])]]

    best = pytest.approx(values.max())
    assert value_of(best_sets.best_f1(p[None])) == best
    joint = best_sets.best_f1_of_sets(subsets[None], weights[None])
    assert value_of(joint) == best
    mode = best_sets.most_probable(p[None])
    assert place[tuple(mode[0])] == weights.argmax()


@pytest.mark.parametrize("seed", range(8))
def test_the_best_set_of_dependent_labels_is_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    subsets = _subsets(4)
    weights = rng.dirichlet(np.full(len(subsets), 0.1))
    values = _expected(subsets, weights)
    found = best_sets.best_f1_of_sets(subsets[None], weights[None])
    place = np.flatnonzero((subsets == found[0]).all(axis=1))[0]
    assert values[place] == pytest.approx(values.max())


@pytest.mark.parametrize("seed", range(6))
def test_sets_that_are_not_given_are_as_if_independent(seed):
    """Some sets' probabilities are known; the others share what is left."""
    rng = np.random.default_rng(seed)
    number = 4
    subsets = _subsets(number)
    p = rng.random(number)
    independent = np.where(subsets, p, 1 - p).prod(axis=1)
    known = rng.choice(len(subsets), 5, replace=False)
    weights = rng.dirichlet(np.ones(6))[:5]
    joint = independent.copy()
    others = np.setdiff1d(np.arange(len(subsets)), known)
    joint[others] *= (1 - weights.sum()) / independent[others].sum()
    joint[known] = weights
    assert joint.sum() == pytest.approx(1)
    values = _expected(subsets, joint)
    found = best_sets.best_f1_of_sets(
        subsets[known][None], weights[None], p[None]
    )
    place = np.flatnonzero((subsets == found[0]).all(axis=1))[0]
    assert values[place] == pytest.approx(values.max())
