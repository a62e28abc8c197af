"""Labels' centroids, their head and its candidates, by the definition."""

import exporting
import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs, instances
from tfxml.data.feeding import in_memory
from tfxml.export.lite import lite_model
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run
from tfxml.models import extreme_classifier
from tfxml.models.heads import centroid as centroids_lib
from tfxml.run import datasets, restore, train_and_evaluate
from tfxml.training.solvers import centroids, feature_scales

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
    return in_memory.InMemorySource(whole, x.shape[1], L)


def _centroids(x, y, power=1.0):
    """Returns [L, D] by the definition."""
    sums = y.T.astype(np.float64) @ x
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return sums / np.where(lengths > 0, lengths, 1) ** power


def _dense(table):
    """Returns the weights of a table, [L, D]."""
    num_features = len(table.splits) - 1
    dense = np.zeros((L, num_features))
    for feature in range(num_features):
        run = slice(table.splits[feature], table.splits[feature + 1])
        weights = table.weights[run].ravel()
        labels = table.labels[run].ravel()[weights != 0]
        assert len(set(labels)) == len(labels)
        dense[labels, feature] = weights[weights != 0]
    return dense


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


@pytest.mark.parametrize("power", [0.0, 0.85, 1.0])
def test_a_label_has_the_sum_of_its_rows_over_a_power_of_its_length(power):
    x, y = _problem()
    weights = _dense(centroids.learn(_source(x, y), D, L, power))
    # Sums are of 64 bits; the weights alone are rounded.
    np.testing.assert_allclose(weights, _centroids(x, y, power), rtol=1e-7)


def test_weighted_features_give_the_products_that_were_learnt():
    """Centroids of rows times scales, times the scales again."""
    x, y = _problem()
    source = _source(x, y)
    counts = np.count_nonzero(x, axis=0)
    idf = 1 + np.log((1 + N) / (1 + counts))
    lengths = np.linalg.norm(x, axis=1).sum()
    scales = idf * lengths / np.linalg.norm(x * idf, axis=1).sum()
    np.testing.assert_allclose(feature_scales.idf(source), scales, rtol=1e-6)
    weights = _dense(centroids.learn(source, D, L, 0.7, uses_idf=True))
    wanted = _centroids(x * scales, y, 0.7) * scales
    np.testing.assert_allclose(weights, wanted, atol=1e-6)


def test_values_may_cancel_and_features_may_come_again():
    x = np.zeros((4, D), np.float32)
    x[0, [2, 5]] = 1, 3
    x[1, [2, 5]] = -1, 1
    x[2, [2, 7]] = 2, -4
    y = np.zeros((4, L), bool)
    y[:2, 0] = True  # feature 2 cancels
    y[:3, 1] = True  # and comes again
    y[3, 2] = True  # a positive without features
    weights = _dense(centroids.learn(_source(x, y), D, L, 1.0))
    np.testing.assert_allclose(weights, _centroids(x, y), rtol=1e-7)
    assert weights[0, 2] == 0 and not weights[2].any()


def test_more_weights_than_a_first_array_holds():
    rng = np.random.default_rng(1)
    x = rng.random((N, 400)).astype(np.float32)
    y = rng.random((N, L)) < 0.5
    weights = _dense(centroids.learn(_source(x, y), 400, L, 1.0))
    np.testing.assert_allclose(weights, _centroids(x, y), rtol=1e-7)


def _check_largest(kept, weights, number):
    """Asserts that `kept` are the `number` largest weights; of ties any."""
    is_kept = kept != 0
    assert np.count_nonzero(is_kept) == min(number, np.count_nonzero(weights))
    np.testing.assert_allclose(kept[is_kept], weights[is_kept], rtol=1e-7)
    if is_kept.any() and not is_kept.all():
        left_out = np.abs(weights[~is_kept]).max()
        assert left_out <= np.abs(kept[is_kept]).min() * (1 + 1e-7)


@pytest.mark.parametrize("mean_features", [1, 5])
def test_the_largest_weights_of_all_labels_are_kept(mean_features):
    x, y = _problem()
    kept = _dense(centroids.learn(_source(x, y), mean_features, L, 1.0))
    _check_largest(kept, _centroids(x, y), mean_features * L)


@pytest.mark.parametrize("most", [1, 3])
def test_a_feature_keeps_the_labels_with_the_largest_weights(most):
    x, y = _problem()
    y[:, 7] = y[:, 6]  # equal weights
    kept = _dense(centroids.learn(_source(x, y), D, most, 1.0))
    weights = _centroids(x, y)
    for feature in range(D):
        _check_largest(kept[:, feature], weights[:, feature], most)


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
    return str(path), train_and_evaluate.train(_CONFIG, str(path))


def test_a_run_beats_its_candidates(trained, tmp_path):
    alone = _CONFIG.replace(reranker_passes=0)
    metrics = train_and_evaluate.train(alone, str(tmp_path / "alone"))
    assert metrics["P@1"] > 20  # 40 labels
    assert trained[1]["P@1"] > metrics["P@1"]


def test_the_same_command_changes_nothing(trained):
    path, metrics = trained
    assert train_and_evaluate.train(_CONFIG, path) == metrics


@pytest.mark.parametrize(
    ("weights", "atol"),
    [("float32", 1e-5), pytest.param("int8", 0.05, marks=pytest.mark.slow)],
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
        _CONFIG.replace(validation_fraction=0.1, **words)


def test_a_restored_run_has_the_centroids_of_its_training_split(trained):
    path, _ = trained
    run = restore.restore(path, tf.distribute.get_strategy())
    data = datasets.training_data(run.config, "")
    features, labels = data.train.rows(
        tf.range(data.train.num_instances, dtype=tf.int64)
    )
    x = np.zeros((data.train.num_instances, data.train.num_features))
    ids, values = (features[key] for key in ("feature_ids", "feature_values"))
    x[ids.value_rowids(), ids.flat_values] = values.flat_values
    y = np.zeros((data.train.num_instances, data.train.num_labels), bool)
    y[labels.value_rowids(), labels.flat_values] = True
    head = run.model.head
    logits = head.call(run.model.encode(features))
    wanted = 20 * (x @ _centroids(x, y).T - 0.5)
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    # And bit for bit what the checkpoint's files hold.
    saved = runs.tensors(path)
    for name, weight in run.model.named_variables().items():
        (found,) = (value for key, value in saved.items() if f"/{name}/" in key)
        np.testing.assert_array_equal(weight, found)
