"""The planted set with dependence: what is known of it, what heads learn."""

import functools

import numpy as np
import pytest

from tfxml import estimator
from tfxml.data.synthetic import planted_sets
from tfxml.evaluation import best_sets

# Learnt heads are judged by expectations on these rows, which have no noise of
# drawn labels in them.
NUM_TRAIN, NUM_TEST = 20_000, 1000


@pytest.mark.parametrize("is_dependent", [True, False])
def test_labels_are_drawn_as_is_told(is_dependent):
    rows = planted_sets.PlantedSets(3, 4, is_dependent).rows(6000, seed=1)
    assert rows.weights.sum(axis=1) == pytest.approx(1)
    marginals = np.einsum("ns,nsk->nk", rows.weights, rows.is_member)
    np.testing.assert_allclose(marginals, rows.marginals, atol=1e-9)
    there = rows.label_ids >= 0
    p = np.zeros(rows.labels.shape)
    n, k = np.nonzero(there)
    p[n, rows.label_ids[n, k]] = rows.marginals[n, k]
    on = rows.labels.toarray()
    noise = np.sqrt((p * (1 - p)).sum(axis=0))
    assert (np.abs(on.sum(axis=0) - p.sum(axis=0)) < 4 * noise).all()
    # Of labels that occur together, as many as the sets say.
    members = rows.is_member.astype(float)
    both = np.einsum("ns,nsk,nsl->nkl", rows.weights, members, members)
    dense = np.zeros((len(p), p.shape[1], p.shape[1]))
    first, second = (
        x.ravel() for x in np.mgrid[: both.shape[1], : both.shape[1]]
    )
    for i, j in zip(first, second, strict=True):
        is_here = there[:, i] & there[:, j] & (i != j)
        at = np.flatnonzero(is_here)
        dense[at, rows.label_ids[at, i], rows.label_ids[at, j]] = both[at, i, j]
    wanted, found = dense.sum(axis=0), on.T @ on
    np.fill_diagonal(found, 0)
    assert (np.abs(found - wanted) <= 4 * np.sqrt(wanted) + 1).all()


def test_expectations_are_means_of_draws():
    model = planted_sets.PlantedSets(3, 4)
    rows = model.rows(400, seed=2)
    is_chosen = rows.marginals > 0.3
    exact, f1 = planted_sets.expected(is_chosen, rows)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(50):
        u = rng.random((len(is_chosen), 1))
        places = (np.cumsum(rows.weights, axis=1) < u).sum(axis=1)
        y = rows.is_member[np.arange(len(places)), places]
        sizes = y.sum(axis=1) + is_chosen.sum(axis=1)
        hits = (y & is_chosen).sum(axis=1)
        values.append(
            [
                (y == is_chosen).all(axis=1).mean(),
                np.where(sizes, 2 * hits / np.maximum(sizes, 1), 1).mean(),
            ]
        )
    wanted = 100 * np.mean(values, axis=0)
    assert [exact, f1] == pytest.approx(wanted, abs=0.7)


@functools.cache
def _rows(is_dependent, seed=0):
    model = planted_sets.PlantedSets(is_dependent=is_dependent, seed=seed)
    return model.rows(NUM_TRAIN, seed=seed), model.rows(NUM_TEST, seed=seed + 1)


@functools.cache
def _optimum(is_dependent, knows_sets, seed=0):
    """Returns the best subset accuracy and F1, knowing sets or marginals."""
    _, rows = _rows(is_dependent, seed)
    p = np.where(rows.label_ids < 0, 0, rows.marginals)
    if not knows_sets or not is_dependent:
        exact, f1 = best_sets.most_probable(p), best_sets.best_f1(p)
    else:
        places = rows.weights.argmax(axis=1)
        exact = rows.is_member[np.arange(len(places)), places]
        f1 = best_sets.best_f1_of_sets(rows.is_member, rows.weights)
    return (
        planted_sets.expected(exact, rows)[0],
        planted_sets.expected(f1, rows)[1],
    )


@functools.cache
def _learnt(head, is_dependent, seed=0):
    """Returns a head's expected subset accuracy, F1, and P@1 and P@3."""
    train, rows = _rows(is_dependent, seed)
    model = estimator.XMLClassifier(
        head=head,
        hidden_units=(128,),
        num_epochs=12,
        dropout=0.2,
        learning_rate=0.003,
        options={"decay": "cosine"},
    )
    model.fit(train.features, train.labels)
    found = []
    for place, aim in enumerate(("subset", "f1")):
        sets = model.predict_sets(rows.features, aim=aim)
        is_chosen = np.array(
            [
                np.isin(ids, one)
                for ids, one in zip(rows.label_ids, sets, strict=True)
            ]
        )
        others = [len(one) for one in sets] - is_chosen.sum(axis=1)
        values = planted_sets.expected(is_chosen, rows, others)
        found.append(values[place])
    best = model.predict(rows.features, k=3)
    for k in (1, 3):
        is_best = (rows.label_ids[:, :, None] == best[:, None, :k]).any(axis=2)
        gains = (rows.marginals * is_best).sum(axis=1)
        found.append(100 * float(gains.mean()) / k)
    optimum = _optimum(is_dependent, True, seed)
    print(head, is_dependent, seed, np.round(found, 2), optimum)
    return found


def test_marginals_alone_leave_a_gap():
    for place in (0, 1):
        gap = _optimum(True, True)[place] - _optimum(True, False)[place]
        assert gap > 5
    assert _optimum(False, True) == _optimum(False, False)


@pytest.mark.slow
# The penalty was chosen on seed 0.
@pytest.mark.parametrize("seed", [0, 2, 4])
def test_a_chain_closes_half_of_the_gap(seed):
    found = _learnt("chain", True, seed)
    for place in (0, 1):
        low, high = (
            _optimum(True, knows, seed)[place] for knows in (False, True)
        )
        assert found[place] >= low + (high - low) / 2
        # What independent labels reach is no more than their optimum.
        assert _learnt("sigmoid", True, seed)[place] <= low + 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "head, seed",
    [("chain", 0), ("chain", 2), ("chain", 4), ("cornet", 0), ("graph", 0)],
)
def test_nothing_is_lost_without_dependence(head, seed):
    for found, wanted in zip(
        _learnt(head, False, seed), _learnt("sigmoid", False, seed), strict=True
    ):
        assert found >= wanted - 0.2


@pytest.mark.slow
@pytest.mark.parametrize("head", ["chain", "cornet", "graph"])
def test_precision_is_not_lost(head):
    for found, wanted in zip(
        _learnt(head, True)[2:], _learnt("sigmoid", True)[2:], strict=True
    ):
        assert found >= wanted - 0.2
