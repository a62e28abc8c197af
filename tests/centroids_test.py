"""Labels' centroids, their head and its candidates, by definition."""

import dataclasses

import exporting
import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import train
from tfxml.data import inputs, instances
from tfxml.data.feeding import in_memory
from tfxml.export.lite import lite_model
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run
from tfxml.models import extreme_classifier
from tfxml.models.heads import centroid as centroids_lib
from tfxml.run import build, workdir
from tfxml.training.solvers import centroids

N, D, L = 70, 40, 30


def _problem(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.random((N, D)) * (rng.random((N, D)) < 0.2)
    x[[3, 69]] = 0  # instances without features
    y = rng.random((N, L)) < 0.1
    y[:, 4] = False  # a label that no instance has
    return x.astype(np.float32), y


def _splits(dense):
    return np.cumsum([0, *(np.count_nonzero(row) for row in dense)])


def _source(x, y):
    whole = instances.Instances(
        _splits(x),
        np.nonzero(x)[1].astype(np.int32),
        x[np.nonzero(x)],
        _splits(y),
        np.nonzero(y)[1].astype(np.int32),
    )
    return in_memory.InMemorySource(whole, D, L)


def _centroids(x, y):
    """Returns [L, D] by definition."""
    sums = y.T.astype(np.float64) @ x
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.where(lengths > 0, lengths, 1)


def _dense(table):
    found = np.zeros((L, D))
    for feature in range(D):
        run = slice(table.splits[feature], table.splits[feature + 1])
        weights = table.weights[run].ravel()
        labels = table.labels[run].ravel()[weights != 0]
        assert len(set(labels)) == len(labels)
        found[labels, feature] = weights[weights != 0]
    return found


def _ragged(x):
    splits = _splits(x)
    ids = np.nonzero(x)[1].astype(np.int32)
    return inputs.features(
        tf.RaggedTensor.from_row_splits(ids, splits),
        tf.RaggedTensor.from_row_splits(x[np.nonzero(x)], splits),
    )


def _model(table, mean_features, dropped=()):
    head = centroids_lib.CentroidHead(L, D, mean_features, dropped)
    head.assign(table)
    return extreme_classifier.ExtremeClassifier([], head, D, "ragged")


def test_centroids_are_those_of_the_definition():
    x, y = _problem()
    table = centroids.learn(_source(x, y), D, L, 1.0)
    np.testing.assert_allclose(_dense(table), _centroids(x, y), atol=1e-6)


@pytest.mark.parametrize("power", [0.0, 0.85])
def test_a_sum_is_divided_by_a_power_of_its_length(power):
    x, y = _problem()
    found = _dense(centroids.learn(_source(x, y), D, L, power))
    sums = y.T.astype(np.float64) @ x
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    wanted = sums / np.where(lengths > 0, lengths, 1) ** power
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_the_largest_weights_of_all_labels_are_kept():
    x, y = _problem()
    found = _dense(centroids.learn(_source(x, y), 5, L, 1.0))
    wanted = _centroids(x, y)
    wanted[wanted < np.sort(wanted.ravel())[-5 * L]] = 0
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("most", [1, 3])
def test_a_feature_keeps_the_labels_with_the_largest_weights(most):
    x, y = _problem()
    y[:, 7] = y[:, 6]  # equal weights
    found = _dense(centroids.learn(_source(x, y), D, most, 1.0))
    wanted = _centroids(x, y).astype(np.float32)
    order = np.argsort(-wanted, axis=0, kind="stable")[most:]
    np.put_along_axis(wanted, order, 0, axis=0)
    assert (np.count_nonzero(found, axis=0) <= most).all()
    np.testing.assert_allclose(found.sum(axis=0), wanted.sum(axis=0), atol=1e-5)
    is_tied = np.isclose(found, wanted, atol=1e-6).all(axis=0)
    assert is_tied.mean() > 0.8


@pytest.mark.parametrize("dropped", [(), (0, 5, 29)])
@pytest.mark.parametrize("k", [1, 7, L + 3])
def test_top_k_is_the_ranking_by_cosine(k, dropped):
    x, y = _problem()
    model = _model(centroids.learn(_source(x, y), D, L, 1.0), D, dropped)
    scores, ids = model.top_k(_ragged(x), k)
    logits = 20 * (x @ _centroids(x, y).T - 0.5)
    left = np.setdiff1d(np.arange(L), dropped)
    k = min(k, len(left))
    assert ids.shape == (N, k)
    chosen = np.take_along_axis(logits, ids.numpy().astype(int), axis=1)
    best = -np.sort(-logits[:, left], axis=1)[:, :k]
    np.testing.assert_allclose(chosen, best, atol=1e-4)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-best)), atol=1e-5)
    assert not np.isin(ids, dropped).any()
    assert all(len(set(row)) == k for row in ids.numpy())
    whole = model.head.call(model.encode(_ragged(x)))
    np.testing.assert_allclose(whole, logits, atol=1e-4)


def test_no_instances_have_no_labels():
    x, y = _problem()
    model = _model(centroids.learn(_source(x, y), D, L, 1.0), D)
    scores, ids = model.top_k(_ragged(x[:0]), 4)
    assert scores.shape == ids.shape == (0, 4)


def test_features_that_training_lacks_change_nothing():
    x, y = _problem()
    x[:, 11] = 0
    model = _model(centroids.learn(_source(x, y), D, L, 1.0), D)
    other = x.copy()
    other[:, 11] = 1
    for one, two in zip(
        model.top_k(_ragged(x), 5),
        model.top_k(_ragged(other), 5),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


_CONFIG = config_lib.Config(
    head="centroid",
    synthetic_labels=40,
    synthetic_train=300,
    synthetic_test=80,
    reranker_passes=3,
    num_hard_negatives=15,
    num_candidates=15,
    reranker_centroid=1.0,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    return str(path), train.train(_CONFIG, str(path))


def test_a_run_beats_its_candidates(trained, tmp_path):
    alone = dataclasses.replace(_CONFIG, reranker_passes=0)
    metrics = train.train(alone, str(tmp_path / "alone"))
    assert metrics["P@1"] > 20  # 40 labels
    assert trained[1]["P@1"] > metrics["P@1"]


def test_the_same_command_changes_nothing(trained):
    path, metrics = trained
    assert train.train(_CONFIG, path) == metrics


@pytest.mark.parametrize(
    ("weights", "atol"), [("float32", 1e-5), ("int8", 0.05)]
)
def test_a_saved_model_answers_alike(weights, atol, trained, tmp_path):
    run = checked_run.read(trained[0])
    written = serving_model.write(run, tmp_path / "served", weights=weights)
    served = tf.saved_model.load(str(written))
    ids, values = exporting.rows(run)
    found = served.signatures["features"](
        feature_ids=tf.constant(ids, tf.int32),
        feature_values=tf.constant(values, tf.float32),
        k=tf.constant(10, tf.int32),
    )
    wanted = exporting.answers(run, ids, values, 10)
    np.testing.assert_allclose(found["scores"], wanted[0], atol=atol)
    if weights == "float32":
        exporting.same_ranking(
            found["scores"].numpy(), found["label_ids"].numpy(), *wanted, atol
        )


def test_phones_have_no_such_head(trained, tmp_path):
    with pytest.raises(ValueError, match="inverted index.*SavedModel"):
        lite_model.write(checked_run.read(trained[0]), tmp_path)


@pytest.mark.parametrize(
    "words", [{"form": "padded"}, {"early_stopping": 2}, {"form": "dense"}]
)
def test_what_it_cannot_be_used_with(words):
    with pytest.raises(ValueError, match=next(iter(words))):
        dataclasses.replace(_CONFIG, validation_fraction=0.1, **words)


def test_weights_are_restored_from_a_table_of_the_same_shape():
    facts = workdir.Facts(D, L, N, "compact", False, "")
    one, other = (build.model(_CONFIG, facts, None) for _ in range(2))
    shapes = [
        {name: tuple(w.shape) for name, w in model.named_variables().items()}
        for model in (one, other)
    ]
    assert shapes[0] == shapes[1]
    assert {"head_splits", "head_labels", "head_kernel"} < set(shapes[0])
