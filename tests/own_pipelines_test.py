"""Batches from data in memory: what they hold, in which order."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from sklearn.feature_extraction import text as sklearn_text

from tfxml import data
from tfxml.data import own_pipelines

N, D, L = 23, 9, 6


def _case():
    """Returns rows [N, D], label sets and weights [N]; row 0 has neither."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.4)
    sets = [np.flatnonzero(row < 0.3).tolist() for row in rng.random((N, L))]
    X[0], sets[0] = 0, []
    X[1, 1] = 3
    return X, sets, rng.uniform(0.5, 2, N)


def _unit(X):
    lengths = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(lengths > 0, lengths, 1)


def _dense(inputs, width=D):
    """Returns the rows of a batch as a dense array."""
    ids, values = inputs["feature_ids"], inputs["feature_values"]
    assert (ids.dtype, values.dtype) == (tf.int32, tf.float32)
    rows = np.zeros((ids.shape[0], width))
    for row in range(len(rows)):
        np.add.at(rows[row], ids[row].numpy(), values[row].numpy())
    return rows


def _sets(labels):
    rows = labels.to_list() if hasattr(labels, "to_list") else labels.numpy()
    return [[int(label) for label in row if label >= 0] for row in rows]


def _all(batches):
    """Returns all rows, sets and weights of batches."""
    rows, sets, weights = [], [], []
    for inputs, labels, *rest in batches:
        rows.append(_dense(inputs))
        sets += _sets(labels)
        weights += [rest[0].numpy()] if rest else []
    return np.concatenate(rows), sets, np.concatenate(weights or [[]])


KINDS = {
    "csr": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_array,
    "dense": np.asarray,
    "frame": pd.DataFrame,
}


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_from_csr(kind, padded):
    X, sets, weights = _case()
    batches = data.from_csr(
        KINDS[kind](X), sets, 5, weights=weights, shuffle=False, padded=padded
    )
    assert int(batches.cardinality()) == 5
    rows, found, found_weights = _all(batches)
    np.testing.assert_allclose(rows, _unit(X), atol=1e-6)
    assert found == sets
    np.testing.assert_allclose(found_weights, weights, rtol=1e-6)
    sizes = [labels.shape[0] for _, labels, _ in batches]
    assert sizes == [5, 5, 5, 5, 3]


def test_rows_as_they_are_without_weights():
    X, sets, _ = _case()
    batches = data.from_csr(X, sets, 5, shuffle=False, normalize=False)
    assert len(batches.element_spec) == 2
    np.testing.assert_allclose(_all(batches)[0], X, atol=1e-6)


def test_padded_batches_have_one_width():
    X, sets, _ = _case()
    batches = data.from_csr(X, sets, 5, padded=True)
    inputs, labels = batches.element_spec
    most = int((X != 0).sum(axis=1).max())
    assert inputs["feature_ids"].shape.as_list() == [None, most]
    assert inputs["feature_values"].shape.as_list() == [None, most]
    assert labels.shape.as_list() == [None, max(map(len, sets))]


def test_the_order_is_a_function_of_the_seed():
    X, sets, weights = _case()

    def epochs(seed):
        batches = data.from_csr(X, sets, 5, weights=weights, seed=seed)
        return [_all(batches)[2].tolist() for _ in range(2)]

    first, second = epochs(0)
    assert epochs(0) == [first, second]
    assert first != second and epochs(1)[0] != first
    assert sorted(first) == sorted(second)
    np.testing.assert_allclose(sorted(first), sorted(weights), rtol=1e-6)


def test_rows_labels_and_weights_stay_together():
    X, sets, weights = _case()
    rows, found, found_weights = _all(
        data.from_csr(X, sets, 4, weights=weights, normalize=False)
    )
    order = [int(np.abs(weights - one).argmin()) for one in found_weights]
    np.testing.assert_allclose(rows, X[order], atol=1e-6)
    assert found == [sets[row] for row in order]


def test_dense_features_beside(tmp_path):
    X, sets, weights = _case()
    np.save(tmp_path / "side.npy", weights[:, None] * [1, 2])
    side = np.load(tmp_path / "side.npy", mmap_mode="r")
    batches = data.from_csr(X, sets, 5, weights=weights, beside={"side": side})
    assert batches.element_spec[0]["side"].shape.as_list() == [None, 2]
    for inputs, _, found in batches:
        np.testing.assert_allclose(
            inputs["side"], found.numpy()[:, None] * [1, 2], rtol=1e-6
        )


@pytest.mark.parametrize("array", [np.ones(N), np.ones((N + 1, 2))])
def test_bad_dense_features_beside(array):
    X, sets, _ = _case()
    with pytest.raises(ValueError, match=r"arrays \[23, E\]"):
        data.from_csr(X, sets, beside={"side": array})


def test_names_have_the_ids_of_their_places():
    names = ["emu", "cat", "dog"]
    rows = scipy.sparse.identity(2, format="csr")
    Y = [["dog", "emu"], ["cat"]]
    (batch,) = data.from_csr(rows, Y, shuffle=False)
    assert _sets(batch[1]) == [[1, 2], [0]]
    (batch,) = data.from_csr(rows, Y, shuffle=False, label_names=names)
    assert _sets(batch[1]) == [[0, 2], [1]]
    with pytest.raises(ValueError, match="labels that are known"):
        data.from_csr(rows, Y, label_names=names[:2])


@pytest.mark.parametrize(
    ("X", "Y", "words", "message"),
    [
        (["a", "b"], [[0], [1]], {}, "use from_text"),
        (np.eye(2), [[0]], {}, "as many rows. Received: 2 and 1"),
        (np.eye(2), [[0], [1]], {"weights": [1]}, "2 finite numbers"),
    ],
)
def test_bad_arguments(X, Y, words, message):
    with pytest.raises(ValueError, match=message):
        data.from_csr(X, Y, **words)


def test_label_priors():
    """Counts over N, seen once or never included; none is 0."""
    sets = [[0, 1], [0], [0, 3], []]
    # Label 2 is unseen, and two labels were seen once: half an occurrence.
    wanted = (np.array([3, 1, 0, 1]) + 0.5) / (4 + 1)
    np.testing.assert_allclose(data.label_priors(sets), wanted)
    # Many are unseen: together they weigh as much as those seen once.
    few = data.label_priors(sets, range(12))
    np.testing.assert_allclose(few[4:], 2 / 9 / (4 + 1))


# --- texts --------------------------------------------------------------

TEXTS = ["the cat sat", "a dog and a cat", "", "dogs sat", "the the dog"] * 3


@pytest.mark.parametrize("at_once", [4, 4096])
@pytest.mark.parametrize("kind", [list, np.array, pd.Series])
def test_from_text_equals_scikit_learn(kind, at_once, monkeypatch):
    monkeypatch.setattr(own_pipelines, "_TEXTS_AT_ONCE", at_once)
    features = data.fit_text_features(kind(TEXTS), ngrams=2)
    peer = sklearn_text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    wanted = peer.fit_transform(TEXTS).toarray()
    sets = [[row % 4] for row in range(len(TEXTS))]
    weights = np.arange(len(TEXTS))
    batches = data.from_text(
        kind(TEXTS), sets, features, 4, shuffle=False, weights=weights
    )
    parts = list(batches)
    rows = [_dense(inputs, wanted.shape[1]) for inputs, *_ in parts]
    np.testing.assert_allclose(np.concatenate(rows), wanted, atol=1e-6)
    assert [one for _, labels, _ in parts for one in _sets(labels)] == sets
    found = np.concatenate([part for *_, part in parts])
    np.testing.assert_array_equal(found, weights)


def test_numbers_are_no_texts():
    with pytest.raises(ValueError, match="`texts` must hold texts"):
        data.fit_text_features(np.eye(2))


# --- generators and data sets -------------------------------------------


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("with_weights", [False, True])
def test_from_generator(with_weights, padded):
    X, sets, weights = _case()

    def make():
        for row, labels, weight in zip(X, sets, weights, strict=True):
            ids = np.flatnonzero(row)
            yield (ids, row[ids], labels, *([weight] * with_weights))

    batches = data.from_generator(make, 5, padded=padded)
    for _ in range(2):  # an epoch is a call of its own
        rows, found, found_weights = _all(batches)
        np.testing.assert_allclose(rows, X, atol=1e-6)
        assert found == sets
        if with_weights:
            np.testing.assert_allclose(found_weights, weights, rtol=1e-6)


def test_a_generator_of_something_else_is_refused():
    with pytest.raises(ValueError, match="Received: 2 parts"):
        data.from_generator(lambda: iter([([0], [1.0])]))


def _of(*parts):
    return tf.data.Dataset.from_tensor_slices(parts)


GOOD = {
    "padded": _of(np.eye(2), [[0, -1], [1, 0]]).batch(2),
    "ragged": _of(np.eye(2), tf.ragged.constant([[0], [1, 2]])).batch(2),
    "weights": _of(np.eye(2), [[0, -1], [1, 0]], [1.0, 2.0]).batch(2),
}
BAD = {
    "no labels": (tf.data.Dataset.range(2), r"\(inputs, labels\)"),
    "four parts": (_of([0], [0], [0], [0]), r"\(inputs, labels\)"),
    "names": (_of(np.eye(2), [["a"], ["b"]]).batch(2), "integer ids"),
    "floats": (_of(np.eye(2), np.eye(2)).batch(2), "integer ids"),
    "dicts": (_of([0], {"a": [0]}).batch(2), "integer ids"),
    "no batches": (_of(np.eye(2), [[0, -1], [1, 0]]), "call .batch"),
    "weights": (_of([0], [[0]], [[1.0]]).batch(2), r"weights \[n\]"),
}


@pytest.mark.parametrize("kind", GOOD)
def test_batches_of_ones_own(kind):
    assert data.from_dataset(GOOD[kind]) is GOOD[kind]


@pytest.mark.parametrize("kind", BAD)
def test_what_holds_no_batches_is_refused(kind):
    dataset, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        data.from_dataset(dataset)
