"""X and Y in memory, of every kind: the values, and every refusal."""

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf

from tfxml.data import array_features, array_labels, arrays, batched_arrays
from tfxml.data import instances as instances_lib

DENSE = np.array([[0.5, 0, 0, 2], [0, 0, 0, 0], [1, -3, 0, 0.25]])
INDICATOR = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]])
SETS = [[1, 2], [], [0]]
NAMES = ["cat", "dog", "emu"]


def _csr(splits, ids, values, width):
    """Returns a dense array from the definition of CSR."""
    dense = np.zeros((len(splits) - 1, width))
    for row in range(len(dense)):
        for place in range(splits[row], splits[row + 1]):
            assert dense[row, ids[place]] == 0
            dense[row, ids[place]] = values[place]
        assert list(ids[splits[row] : splits[row + 1]]) == sorted(
            ids[splits[row] : splits[row + 1]]
        )
    return dense


def _features(X):
    found = array_features.features_of(X)
    assert found.texts is None and found.num_instances == len(DENSE)
    assert found.splits.dtype == np.int64 and found.ids.dtype == np.int32
    assert found.values.dtype == np.float32
    return _csr(found.splits, found.ids, found.values, found.num_features)


def _sets(labels):
    assert labels.splits.dtype == np.int64 and labels.ids.dtype == np.int32
    return [
        labels.ids[start:end].tolist()
        for start, end in itertools.pairwise(labels.splits)
    ]


# --- X ------------------------------------------------------------------


def _repeated():
    """Returns a COO matrix whose first value is stored in two parts."""
    rows, columns = np.nonzero(DENSE)
    values = DENSE[rows, columns]
    order = [2, 0, 1, 4, 3]
    rows, columns = rows[order], columns[order]
    values = values[order]
    values[1] -= 0.25
    return scipy.sparse.coo_matrix(
        (np.append(values, 0.25), (np.append(rows, 0), np.append(columns, 0))),
        DENSE.shape,
    )


NUMBERS = {
    "csr": scipy.sparse.csr_matrix(DENSE),
    "csr_array": scipy.sparse.csr_array(DENSE),
    "csc": scipy.sparse.csc_matrix(DENSE),
    "coo": _repeated(),
    "lil": scipy.sparse.lil_matrix(DENSE),
    "dense": DENSE,
    "float32": DENSE.astype(np.float32),
    "memory-mapped order": np.asfortranarray(DENSE),
    "lists": DENSE.tolist(),
    "objects": DENSE.astype(object),
    "frame": pd.DataFrame(DENSE, columns=list("abcd")),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers(kind):
    assert not array_features.is_text(NUMBERS[kind])
    np.testing.assert_array_equal(_features(NUMBERS[kind]), DENSE)


def test_integers_and_booleans():
    np.testing.assert_array_equal(
        _features(DENSE.astype(int)), DENSE.astype(int)
    )
    np.testing.assert_array_equal(_features(DENSE > 0), DENSE > 0)


def test_a_matrix_is_not_copied_nor_changed():
    matrix = scipy.sparse.csr_matrix(DENSE.astype(np.float32))
    found = array_features.features_of(matrix)
    assert np.shares_memory(found.values, matrix.data)
    assert np.shares_memory(found.ids, matrix.indices)
    unsorted = scipy.sparse.csr_matrix(
        (np.ones(3), np.array([2, 0, 0]), np.array([0, 3])), (1, 3)
    )
    found = array_features.features_of(unsorted)
    assert found.ids.tolist() == [0, 2] and found.values.tolist() == [2, 1]
    assert unsorted.indices.tolist() == [2, 0, 0]


TEXTS = ["a cat", "", "two dogs"]
TEXT_KINDS = {
    "list": TEXTS,
    "tuple": tuple(TEXTS),
    "array": np.array(TEXTS),
    "objects": np.array(TEXTS, object),
    "column": pd.Series(TEXTS),
    "column of objects": pd.Series(TEXTS, dtype=object),
    "missing": pd.Series(["a cat", None, "two dogs"]),
    "missing object": pd.Series(["a cat", np.nan, "two dogs"], dtype=object),
    "frame": pd.DataFrame(
        {"first": ["a", None, "two"], "second": ["cat", None, "dogs"]}
    ),
}


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_texts(kind):
    assert array_features.is_text(TEXT_KINDS[kind])
    found = array_features.features_of(TEXT_KINDS[kind])
    assert list(found.texts) == TEXTS
    assert all(type(text) is str for text in found.texts)
    assert found.num_instances == 3 and found.num_features is None


BAD_X = {
    "one string": ("a cat", "several texts"),
    "number": (3, "Received: int"),
    "none": (None, "Received: NoneType"),
    "mixed list": (["a", 3], r"X\[1\]=3 beside texts"),
    "mixed with none": (["a", None], r"X\[1\]=None beside texts"),
    "mixed frame": (pd.DataFrame({"a": ["x"], "b": [1]}), "a table with both"),
    "one dimension": (np.ones(3), "Reshape your data"),
    "three dimensions": (np.ones((2, 2, 2)), "two dimensions"),
    "nan": (np.array([[np.nan, 1]]), "finite numbers"),
    "infinity": (scipy.sparse.csr_matrix([[np.inf, 1]]), "finite numbers"),
    "complex": (np.array([[1j]]), "Complex data not supported"),
    "complex matrix": (
        scipy.sparse.csr_matrix([[1j]]),
        "Complex data not supported",
    ),
    "ragged lists": ([[1, 2], [3]], "inhomogeneous"),
    "objects": (np.array([[1, "x"]], object), "could not convert"),
}


@pytest.mark.parametrize("kind", BAD_X)
def test_bad_x(kind):
    X, message = BAD_X[kind]
    with pytest.raises(ValueError, match=message):
        array_features.features_of(X)


# --- Y ------------------------------------------------------------------


def _stored_zeros():
    matrix = scipy.sparse.csr_matrix(INDICATOR + 1.0)
    matrix.data[matrix.data == 1] = 0
    return matrix


IDS = {
    "csr": scipy.sparse.csr_matrix(INDICATOR),
    "csc": scipy.sparse.csc_array(INDICATOR),
    "stored zeros": _stored_zeros(),
    "indicator": INDICATOR,
    "booleans": INDICATOR.astype(bool),
    "floats": INDICATOR.astype(float),
    "lists": SETS,
    "unsorted, twice": [[2, 1, 2], [], [0]],
    "sets": [{1, 2}, set(), {0}],
    "arrays": [np.array(row, int) for row in SETS],
    "objects": pd.Series(SETS),
}


@pytest.mark.parametrize("kind", IDS)
def test_ids(kind):
    labels = array_labels.labels_of(IDS[kind])
    assert _sets(labels) == SETS
    assert (labels.num_labels, labels.names) == (3, None)
    assert not labels.is_single


NAMED = {
    "lists": [["dog", "emu"], [], ["cat"]],
    "tuples": [("emu", "dog", "dog"), (), ("cat",)],
    "sets": [{"emu", "dog"}, set(), {"cat"}],
    "arrays": [np.array(["dog", "emu"]), np.array([]), np.array(["cat"])],
    "column": pd.Series([["dog", "emu"], [], ["cat"]]),
    "frame": pd.DataFrame(INDICATOR, columns=NAMES),
}


@pytest.mark.parametrize("kind", NAMED)
def test_names(kind):
    labels = array_labels.labels_of(NAMED[kind])
    assert _sets(labels) == SETS
    assert (labels.num_labels, labels.names) == (3, NAMES)
    assert not labels.is_single


@pytest.mark.parametrize("kind", ["lists", "tuples", "sets"])
def test_names_in_an_order_of_their_own(kind):
    order = ["emu", "ant", "cat", "dog"]
    labels = array_labels.labels_of(NAMED[kind], order)
    assert _sets(labels) == [[0, 3], [], [2]]
    assert (labels.num_labels, labels.names) == (4, order)


SINGLE = {
    "strings": ["dog", "cat", "dog"],
    "array": np.array(["dog", "cat", "dog"]),
    "column": pd.Series(["dog", "cat", "dog"]),
    "one column": np.array([["dog"], ["cat"], ["dog"]]),
    "numbers": [7, -1, 7],
    "number array": np.array([7, -1, 7]),
    "number column": np.array([[7], [-1], [7]]),
    "floats": np.array([7.0, -1, 7]),
}


@pytest.mark.parametrize("kind", SINGLE)
def test_single_labels(kind):
    labels = array_labels.labels_of(SINGLE[kind])
    assert _sets(labels) == [[1], [0], [1]]
    assert labels.is_single
    assert labels.names == (
        [-1, 7] if "num" in kind or "fl" in kind else ["cat", "dog"]
    )


def test_ids_of_given_names():
    labels = array_labels.labels_of(SETS, NAMES)
    assert _sets(labels) == SETS and labels.names == NAMES
    assert array_labels.labels_of(INDICATOR, NAMES).names == NAMES
    # Names that are numbers are names, not places.
    labels = array_labels.labels_of([[30, 10], []], [10, 20, 30])
    assert _sets(labels) == [[0, 2], []]


def test_unknown_labels_can_be_skipped():
    labels = array_labels.labels_of(
        [["ant"], [], ["dog", "bee", "cat"], ["bee"]], NAMES, skips_unknown=True
    )
    assert _sets(labels) == [[], [], [0, 1], []]
    labels = array_labels.labels_of([[5], [1]], NAMES, skips_unknown=True)
    assert _sets(labels) == [[], [1]]


BAD_Y = {
    "none": (None, {}, "Received: NoneType"),
    "string": ("cat", {}, "Received: str"),
    "number": (3, {}, "Received: int"),
    "counts": (INDICATOR * 2, {}, "0 and 1"),
    "strings": (np.array([["a", "b"]]), {}, "0 and 1"),
    "negative": ([[-1, 2]], {}, "from 0 on"),
    "mixed": ([["cat", 3]], {}, "of one type"),
    "beside sets": ([["cat"], "dog"], {}, "'dog' beside sets"),
    "nan": (np.array([1, np.nan]), {}, "NaN"),
    "none in": ([["cat", None]], {}, "NaN"),
    "continuous": (np.array([0.5, 1]), {}, "Unknown label type"),
    "unknown": ([["ant"]], {"label_names": NAMES}, "'ant', and 0 more"),
    "unknown id": ([[0, 3]], {"label_names": NAMES}, "3, and 0 more"),
    "width": (INDICATOR, {"label_names": ["a"]}, "each of 1 labels"),
    "width of a matrix": (
        scipy.sparse.csr_matrix(INDICATOR),
        {"label_names": ["a"]},
        "Received: 3 columns",
    ),
}


@pytest.mark.parametrize("kind", BAD_Y)
def test_bad_y(kind):
    Y, words, message = BAD_Y[kind]
    with pytest.raises(ValueError, match=message):
        array_labels.labels_of(Y, **words)


# --- both ---------------------------------------------------------------


def test_a_data_set_of_rows():
    data = arrays.of(DENSE, SETS, weights=[1, 0, 2])
    assert (data.num_features, data.num_labels) == (4, 3)
    assert data.splits == ("train",) and data.count_rows("train") == 3
    (run,) = data.read("train")
    assert isinstance(run, instances_lib.Instances)
    assert run.weights.tolist() == [1, 0, 2]
    (last,) = data.read("train", wanted=range(2, 3))
    assert last.num_instances == 1 and last.label_ids.tolist() == [0]
    assert data.label_names() is None


def test_a_data_set_of_texts():
    data = arrays.of(TEXTS, NAMED["lists"])
    assert data.num_features is None and data.label_names() == NAMES
    (run,) = data.read("train")
    assert isinstance(run, instances_lib.TextInstances)
    assert list(run.texts) == TEXTS


def test_names_of_the_test_split_alone_are_left_out():
    data = arrays.data_of(
        (TEXTS, NAMED["lists"], ["x", "y"], [["bee", "dog"], ["ant"]])
    )
    assert data.labels == NAMES and data.num_labels == 3
    assert data.notes == ("2 labels of Y_test alone are left out",)
    assert data.splits == ("test", "train")
    (run,) = data.read("test")
    assert run.label_splits.tolist() == [0, 1, 1]
    assert run.label_ids.tolist() == [1]
    data = arrays.data_of((DENSE, SETS, DENSE[:1], [[7]]))
    assert data.labels is None and data.num_labels == 8
    data = arrays.data_of((TEXTS, NAMED["lists"], ["x"], [[]]))
    assert data.labels == NAMES


def test_weights_beside():
    data = arrays.data_of((DENSE, SETS, np.array([0.5, 1, 2])))
    assert data.train.weights.tolist() == [0.5, 1, 2]
    assert arrays.data_of(data) is data
    data = arrays.data_of((DENSE, SETS, [0.5, 1, 2], DENSE[:1], SETS[:1]))
    assert data.train.weights.tolist() == [0.5, 1, 2]
    assert data.test.num_instances == 1 and data.test.weights is None


@pytest.mark.parametrize(
    "weights", [[1, 2], [1, 2, -1], [1, 2, np.nan], [[1, 2, 3]]]
)
def test_bad_weights(weights):
    with pytest.raises(ValueError, match="3 finite numbers"):
        arrays.of(DENSE, SETS, weights=weights)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((DENSE,), "Received: 1 parts"),
        ((DENSE, SETS[:2]), "as many rows. Received: 3 and 2"),
        ((DENSE, SETS, DENSE[:, :2], SETS), "the 4 features of X. Received: 2"),
        ((DENSE, SETS, DENSE, NAMED["lists"]), "of the kind of Y"),
    ],
)
def test_bad_data(data, message):
    with pytest.raises(ValueError, match=message):
        arrays.data_of(data)


# --- tf.data ------------------------------------------------------------

RAGGED = tf.ragged.constant(SETS, dtype=tf.int32)
WEIGHTS = np.array([1, 2, 3], np.float32)


def _batches(*parts):
    parts = parts[0] if len(parts) == 1 else parts
    return tf.data.Dataset.from_tensor_slices(parts).batch(2)


def _bag(is_padded):
    ids = tf.ragged.constant([[0, 3], [], [0, 1, 3]], dtype=tf.int32)
    values = ids.with_values(tf.constant([0.5, 2, 1, -3, 0.25]))
    bag = {"feature_ids": ids, "feature_values": values}
    if is_padded:
        return {name: rows.to_tensor() for name, rows in bag.items()}
    return bag


@pytest.mark.parametrize("is_padded", [False, True])
def test_batches_of_bags(is_padded):
    labels = RAGGED.to_tensor(-1) if is_padded else RAGGED
    found = batched_arrays.of(_batches(_bag(is_padded), labels, WEIGHTS))
    np.testing.assert_array_equal(found.X.toarray(), DENSE)
    assert found.Y == SETS and found.weights.tolist() == [1, 2, 3]
    wider = batched_arrays.of(_batches(_bag(is_padded)), num_features=9)
    assert wider.X.shape == (3, 9) and wider.Y is None is wider.weights
    with pytest.raises(ValueError, match="below 3. Received: 3"):
        batched_arrays.of(_batches(_bag(is_padded)), num_features=3)


def test_batches_of_dense_rows_and_of_texts():
    found = batched_arrays.of(_batches(DENSE, RAGGED))
    np.testing.assert_array_equal(found.X, DENSE)
    names = tf.ragged.constant(NAMED["lists"])
    found = batched_arrays.of(_batches(TEXTS, names))
    assert found.X == TEXTS and found.Y == NAMED["lists"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (_batches(DENSE).take(0), "an empty data set"),
        (tf.data.Dataset.from_tensor_slices(DENSE), "call .batch"),
        (_batches({"feature_ids": DENSE}), "feature_values"),
    ],
)
def test_bad_batches(dataset, message):
    with pytest.raises(ValueError, match=message):
        batched_arrays.of(dataset)
