"""Prediction without TensorFlow: weights, forms and texts read by NumPy."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import data_errors
from tfxml.data.text import plain_rows, text_features, text_options
from tfxml.mach import hashing
from tfxml.models import forms, row_forms, stored_forms
from tfxml.training import bundle_files


def write_arrays(folder, values):
    """Writes arrays as a run's checkpoint does; returns its prefix."""
    variables = {name: tf.Variable(value) for name, value in values.items()}
    tf.train.Checkpoint(
        model=variables, step=tf.Variable(3, dtype=tf.int64)
    ).write(str(folder / "model"))
    return folder / "model"


def test_weights_are_those_that_tensorflow_wrote(tmp_path):
    rng = np.random.default_rng(0)
    values = {
        f"encoder_{number}_a.b/c_{'x' * number}": rng.normal(
            size=(number + 1, 3)
        ).astype(np.float32)
        for number in range(200)  # several blocks of the index
    }
    values["ids"] = np.arange(7, dtype=np.int32)
    values["scalar"] = np.float64(2.5)
    values["none"] = np.zeros((0, 4), np.float32)
    bundle = bundle_files.Bundle(write_arrays(tmp_path, values))
    for name, value in values.items():
        found = bundle.read(name)
        assert found.dtype == np.asarray(value).dtype
        np.testing.assert_array_equal(found, value)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    prefix = write_arrays(tmp_path, {"flags": np.array([True])})
    bundle = bundle_files.Bundle(prefix)
    for name, found in (("other", "no weight other"), ("flags", "another typ")):
        with pytest.raises(data_errors.DataError, match=found):
            bundle.read(name)
    (tmp_path / "model.index").write_bytes(b"x" * 60)
    with pytest.raises(data_errors.DataError, match="no index"):
        bundle_files.Bundle(prefix)


def test_a_weight_beyond_its_file_is_refused(tmp_path):
    """Nor is memory taken for what an index says of its size."""
    prefix = write_arrays(tmp_path, {"a": np.ones((4, 4), np.float32)})
    (data,) = tmp_path.glob("model.data-*")
    data.write_bytes(data.read_bytes()[:60])
    bundle = bundle_files.Bundle(prefix)
    with pytest.raises(data_errors.DataError, match="a weight a beyond the en"):
        bundle.read("a")


def _model():
    """Returns forms of every kind, and their weights by name."""
    rng = np.random.default_rng(0)
    weights = {}

    def weight(name, *shape):
        weights[name] = rng.normal(size=shape).astype(np.float32)
        return weights[name]

    encoder = forms.DenseStack(
        [weight("table", 9, 4)],
        [weight("kernel", 4, 4)],
        [weight("bias_0", 4), weight("bias_1", 4)],
        True,
        hashing.from_seed(1, 0, 9, 12),
    )
    head = forms.BlockRanking(
        5,
        [forms.Block(weight("out", 3, 4), weight("bias", 3), False)] * 2,
        [hashing.from_seed(0, number, 3, 5) for number in range(2)],
        dropped=np.array([2]),
    )
    links = "sigmoid", "sigmoid"
    return forms.ServingModel(12, [encoder], head, *links, None), weights


def features_model():
    """Returns forms of an encoder and a head of MACH."""
    return _model()[0]


def test_forms_come_back_and_answer_alike():
    model, weights = _model()
    names = {id(array): name for name, array in weights.items()}
    stored = stored_forms.to_json(model, names)
    again = stored_forms.from_json(stored, weights.__getitem__)
    rows = row_forms.RaggedRows(
        np.array([0, 3, 11]), np.ones(3, np.float32), np.array([0, 2, 3])
    )
    wanted = cpu_predictor.CpuPredictor(model).top_k(rows, 3)
    found = cpu_predictor.CpuPredictor(again).top_k(rows, 3)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])
    assert 2 not in found[1]
    assert stored_forms.to_json(again, names) == stored


def _with(form, path, value):
    """Returns nested forms with another value at a path."""
    if not path:
        return value
    name, *rest = path
    if isinstance(name, int):
        parts = list(form)
        parts[name] = _with(parts[name], rest, value)
        return parts
    inner = _with(getattr(form, name), rest, value)
    return dataclasses.replace(form, **{name: inner})


FLOATS = np.zeros((9, 4), np.float32)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["num_features"], 0),
        (["num_features"], "x"),
        (["link"], "other"),
        (["encoders"], []),
        (["encoders", 0, "feature_hash"], None),
        (["encoders", 0, "feature_hash"], hashing.from_seed(1, 0, 11, 12)),
        (["encoders", 0, "tables"], []),
        (["encoders", 0, "tables", 0], FLOATS[:8]),
        (["encoders", 0, "tables", 0], FLOATS[:, :3]),
        (["encoders", 0, "tables", 0], FLOATS.astype(np.float64)),
        (["encoders", 0, "kernels", 0], FLOATS[:3]),
        (["encoders", 0, "biases"], [FLOATS[0]]),
        (["encoders", 0, "biases", 1], FLOATS[0, :3]),
        (["head", "num_labels"], 6),
        (["head", "num_labels"], 10**12),
        (["head", "estimator"], "best"),
        (["head", "hashes"], [hashing.from_seed(0, 1, 3, 5)]),
        (["head", "hashes", 0], hashing.from_seed(0, 1, 4, 5)),
        (["head", "hashes"], None),
        (["head", "blocks"], []),
        (["head", "blocks", 0, "kernel"], FLOATS[:2]),
        (["head", "blocks", 0, "kernel"], FLOATS[:3, :3]),
        (["head", "blocks", 0, "bias"], FLOATS[0]),
        (["head", "blocks", 0, "is_linear"], True),
        (["head", "dropped"], np.array([5])),
        (["head", "dropped"], np.array([-1])),
        (["head", "dropped"], np.array([2, 1])),
        (["head", "dropped"], np.arange(5)),
        (["head", "dropped"], np.array([0.5])),
        (["head", "dropped"], np.zeros(0)),
        (["calibration"], []),
    ],
)
def test_forms_that_do_not_fit_reach_no_loop(path, value):
    model, _ = _model()
    cpu_predictor.CpuPredictor(model)
    with pytest.raises(ValueError, match="that fits its other parts"):
        cpu_predictor.CpuPredictor(_with(model, path, value))


def index_model():
    """Returns the forms of an index and a re-ranker."""
    pages, places = np.zeros((2, 32), np.int32), np.zeros(6, np.int32)
    head = forms.InvertedIndex(
        *(3, np.array([0, 0, 1, 2, 2], np.int32), pages),
        *(pages.astype(np.float32), 2.0, 0.5, "sigmoid", np.zeros(0, int)),
    )
    splits, bias = np.array([0, 2, 4, 6], np.int32), np.zeros(3, np.float32)
    kernel = places.astype(np.float32)
    reranker = forms.SparseReranker(4, 2, 0.5, splits, places, kernel, bias)
    return forms.ServingModel(4, [], head, "sigmoid", "sigmoid", reranker)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["num_features"], 5),
        (["encoders"], _model()[0].encoders),
        (["head", "num_labels"], 4),
        (["head", "splits"], np.zeros(4, np.int32)),
        (["head", "labels"], np.zeros((1, 32), np.int32)),
        (["head", "labels"], np.zeros((2, 32), np.float32)),
        (["head", "kernel"], np.zeros(64, np.float32)),
        (["head", "slope"], float("nan")),
        (["head", "middle"], "x"),
        (["reranker", "num_features"], 5),
        (["reranker", "num_candidates"], -1),
        (["reranker", "weight"], float("inf")),
        (["reranker", "weight"], 1e30),
        (["reranker", "splits"], np.zeros(3, np.int32)),
        (["reranker", "features"], np.zeros(5, np.int32)),
        (["reranker", "kernel"], np.zeros(6, np.int32)),
        (["reranker", "bias"], np.zeros(2, np.float32)),
    ],
)
def test_an_index_that_does_not_fit_reaches_no_loop(path, value):
    cpu_predictor.CpuPredictor(index_model())
    with pytest.raises(ValueError, match="that fits its other parts"):
        cpu_predictor.CpuPredictor(_with(index_model(), path, value))


# --- texts ----------------------------------------------------------------

PLAIN = [
    chr(code)
    for first, last in ((0, 0x530), (0x2000, 0x20C0))
    for code in range(first, last)
]


def _saved(folder, **settings) -> tuple:
    """Returns features of TensorFlow, and the same ones without it."""
    features = text_features.TextFeatures(**settings)
    features.save(folder)
    return features, plain_rows.PlainRows(folder)


@pytest.mark.parametrize("form", text_options.UNICODE_FORMS)
def test_words_of_every_plain_character(form, tmp_path):
    """Alone, in a word, doubled, and beside a final sigma."""
    features, plain = _saved(
        tmp_path, terms=["one"], ngrams=2, unicode_normalization=form
    )
    texts = [f"ab{c}CD {c}{c} x{c}\u03a3 a\u03a3{c} {c}" for c in PLAIN]
    if form != "none":  # which can make other characters of plain ones
        texts = [text for text in texts if plain.can_read([text])]
        assert len(texts) > 0.9 * len(PLAIN)
    assert plain.can_read(texts)
    terms, occurrences = features.find_terms(tf.constant(texts))
    words = np.array([term.decode() for term in terms.numpy()])
    for text, wanted in zip(texts, occurrences.to_list(), strict=True):
        assert plain._terms(text) == words[wanted].tolist(), repr(text)


@pytest.mark.parametrize("sublinear_tf", [True, False])
@pytest.mark.parametrize("has_idf", [True, False])
def test_rows_are_those_of_tensorflow(sublinear_tf, has_idf, tmp_path):
    terms = ["law", "of", "the sea", "the", "sea", "l\u00e4w"]
    idf = np.linspace(1, 3, len(terms)).astype(np.float32) if has_idf else None
    features, plain = _saved(
        tmp_path, terms=terms, idf=idf, ngrams=2, sublinear_tf=sublinear_tf
    )
    texts = ["The law of the sea, the SEA", "", "no term", "L\u00c4W law law"]
    ids, values = features(tf.constant(texts))
    found = plain.rows(texts)
    assert plain.can_read(texts)
    np.testing.assert_array_equal(found[0], ids.flat_values)
    np.testing.assert_allclose(found[1], values.flat_values, rtol=1e-6)
    np.testing.assert_array_equal(found[2], ids.row_splits)


@pytest.mark.parametrize("text", ["\u4e00", "a\u0660", "\ud800", "\ufb01"])
def test_other_texts_are_left_to_tensorflow(text, tmp_path):
    _, plain = _saved(tmp_path, terms=["one"])
    assert plain.can_read(["one"]) and not plain.can_read(["one", text])


def test_hashed_terms_are_left_to_tensorflow(tmp_path):
    _, plain = _saved(pathlib.Path(tmp_path), hash_buckets=8)
    assert not plain.can_read(["one"])
