"""Instance weights: an instance of weight w counts as w copies of its row."""

import csv
import dataclasses

import numpy as np
import padded_cases
import pytest
import tensorflow as tf
from sklearn import svm

from tfxml import config as config_lib
from tfxml.data import instances
from tfxml.data.feeding import batching, in_memory, pipeline, subset
from tfxml.data.formats import folder
from tfxml.data.records import preparing
from tfxml.run import build, datasets, workdir
from tfxml.training import replica_step
from tfxml.training.solvers import (
    centroids,
    label_pairs,
    label_problems,
    linear_svm,
)

N, D, L = padded_cases.N, padded_cases.D, padded_cases.L
WEIGHTS = np.random.default_rng(1).integers(0, 4, N)


def _run(weights=None):
    return dataclasses.replace(padded_cases.source().instances, weights=weights)


def _source(run):
    return in_memory.InMemorySource(run, D, L)


def _step(name, source, is_padded):
    """Returns the loss and the weights after one step on a whole split."""
    form = "padded" if is_padded else padded_cases.config(name).form
    config = padded_cases.config(
        name,
        form=form,
        optimizer="sgd",
        learning_rate=1.0,
        dropout=0.0,
        conv_dropout=0.0,
        transformer_dropout=0.0,
    )
    tf.keras.utils.set_random_seed(0)
    facts = workdir.Facts(
        D, L, N, form, is_text=False, data_dir="", num_tokens=D + 1
    )
    model = build.model(config, facts, np.ones(L, np.int64))
    optimizer = build.optimizer(config, 1, model)
    batches = batching.ByInstances(source.num_instances, source.num_instances)
    (batch,) = pipeline.training(
        source, batches, seed=0, first_step=0, num_steps=1, is_padded=is_padded
    )
    step = replica_step.make_replica_step(model, optimizer, seed=0)
    loss = tf.distribute.get_strategy().run(
        step, args=(batch, tf.constant(0, tf.int64))
    )
    return float(loss), [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize(
    "name",
    padded_cases.marked({"sigmoid_deep", "mach", "sigmoid_conv", "chain"}),
)
def test_weights_train_as_repeated_rows(name, is_padded):
    copies = np.repeat(np.arange(N), WEIGHTS)
    weighted = _source(_run(WEIGHTS.astype(np.float32)))
    repeated = _source(instances.select(_run(), copies))
    loss, after = _step(name, weighted, is_padded)
    other_loss, other = _step(name, repeated, is_padded)
    plain_loss, _ = _step(name, _source(_run()), is_padded)
    assert loss == pytest.approx(other_loss, rel=1e-5)
    assert loss != pytest.approx(plain_loss, rel=1e-3)
    for weight, wanted in zip(after, other, strict=True):
        np.testing.assert_allclose(weight, wanted, atol=1e-5)


def test_small_weights_are_divided_by_their_sum():
    """A batch may weigh less than one instance."""
    small = WEIGHTS.astype(np.float32) / 1000
    loss, after = _step("sigmoid", _source(_run(small)), False)
    other_loss, other = _step("sigmoid", _source(_run(1000 * small)), False)
    assert loss == pytest.approx(other_loss, rel=1e-5)
    for weight, wanted in zip(after, other, strict=True):
        np.testing.assert_allclose(weight, wanted, atol=1e-5)


@pytest.mark.parametrize("most_rows", [None, 5])
def test_batches_carry_the_weights(most_rows):
    weights = np.arange(N, dtype=np.float32)
    chosen = np.arange(3, N, 2)
    source = subset.SubsetSource(_source(_run(weights)), chosen)
    places = [tf.constant(at, tf.int64) for at in (0, 4, 8)]
    batch = pipeline.training_batch(source, 0, most_rows)(*places)
    is_row = batch.instances.numpy() >= 0
    assert is_row.sum() == 4 and len(is_row) == (most_rows or 4)
    rows = chosen[batch.instances.numpy()[is_row]]
    np.testing.assert_array_equal(batch.weights.numpy()[is_row], rows)
    np.testing.assert_array_equal(batch.weights.numpy()[~is_row], 0)
    # On another machine the tensors are copies.
    copies = tuple(map(tf.identity, source.tensors))
    other = pipeline.training_batch(source, 0, most_rows)(*places, copies)
    np.testing.assert_array_equal(other.weights, batch.weights)


def test_evaluation_does_not_weigh():
    source = _source(_run(np.zeros(N, np.float32)))
    places = [tf.constant(at, tf.int64) for at in (0, 1, 4)]
    batch = pipeline.evaluation_batch(source, 5)(*places)
    np.testing.assert_array_equal(batch.weights, [1, 1, 1, 0, 0])


# --- what takes no gradient steps ---------------------------------------


def _solved(weights=None, copies=None):
    """Returns a label's optimum by our solver, and what it was given."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(30, 8)).astype(np.float32)
    y = rng.random(30) < 0.4
    if copies is not None:
        x, y = np.repeat(x, copies, axis=0), np.repeat(y, copies)
    number = len(x)
    rows = label_problems.Rows(
        np.arange(number + 1) * 8,
        np.tile(np.arange(8), number),
        x.ravel(),
        8,
        weights,
    )
    pairs = label_problems.Pairs(np.array([0, number]), np.arange(number), y)
    settings = linear_svm.Settings(0.7, 2000, centroid=0.3)
    seeds = np.array([5], np.uint64)
    solved = linear_svm.solve(rows, pairs, settings, seeds)
    dense = np.zeros(8)
    dense[solved.feature_ids] = solved.weights
    return np.append(dense, solved.biases), x, y, rows


def test_support_vector_machines_weigh_instances():
    """The optimum is that of repeated rows, and that of a peer."""
    copies = np.random.default_rng(3).integers(0, 4, 30)
    solution, x, y, _ = _solved(weights=copies.astype(np.float64))
    np.testing.assert_allclose(solution, _solved(copies=copies)[0], atol=1e-3)
    peer = svm.LinearSVC(C=0.7, tol=1e-9, max_iter=10**6)
    peer.fit(x, y, sample_weight=copies)
    total = (copies * y) @ x
    wanted = peer.coef_[0] + 0.3 * total / np.linalg.norm(total)
    wanted = np.append(wanted, peer.intercept_)
    np.testing.assert_allclose(solution, wanted, atol=1e-3)


def test_centroids_weigh_instances():
    weights = np.random.default_rng(3).integers(0, 4, 30).astype(np.float64)
    _, x, y, rows = _solved(weights)
    positives = label_problems.Pairs(
        np.array([0, y.sum()]), np.flatnonzero(y), np.ones(y.sum(), bool)
    )
    _, feature_ids, sums = centroids.scaled_sums(rows, positives, 1.0)
    total = (weights * y) @ x
    wanted = total / np.linalg.norm(total)
    np.testing.assert_allclose(sums, wanted[feature_ids], atol=1e-6)


def test_solvers_get_the_weights_of_the_source():
    weights = np.arange(N, dtype=np.float32)
    source = subset.SubsetSource(_source(_run(weights)), np.arange(5, N))
    none = np.zeros((source.num_instances, 0), np.int64)
    pairs = label_pairs.pairs(source, none)
    labels = label_pairs.groups(pairs)[0]
    rows, _ = label_pairs.of_labels(source, pairs, labels)
    _, sets = source.rows(tf.range(N - 5, dtype=tf.int64))
    is_one = [not set(labels).isdisjoint(row) for row in sets.to_list()]
    np.testing.assert_array_equal(rows.weights, weights[5:][is_one])


# --- from files ---------------------------------------------------------


@pytest.fixture
def table(tmp_path):
    """Returns a folder of one CSV file with weights, and the weights."""
    weights = np.arange(40) / 8
    with open(tmp_path / "train.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "labels", "importance"])
        for number, weight in enumerate(weights):
            rows.writerow([f"word{number % 7} x", f"label{number % 3}", weight])
    return tmp_path, weights


def test_a_column_of_weights(table):
    path, weights = table
    options = {"weight_column": "importance", "test_fraction": 0.2, "min_df": 1}
    config = config_lib.Config(
        dataset="folder", validation_fraction=0.25, **options
    )
    data = datasets.training_data(config, str(path))
    everywhere = tf.range(data.train.num_instances, dtype=tf.int64)
    found = data.train.weights(everywhere).numpy()
    source = folder.detect(str(path), config)
    (of_split,) = source.read("train")
    assert len(of_split.weights) == 32 and len(found) == 24
    assert set(of_split.weights) <= set(weights)
    assert set(found) <= set(of_split.weights)
    plain = datasets.training_data(
        dataclasses.replace(config, weight_column=""), str(path)
    )
    np.testing.assert_array_equal(plain.train.weights(everywhere), 1)


def test_prepared_records_hold_no_weights(table, tmp_path):
    path, _ = table
    config = config_lib.Config(dataset="folder", weight_column="importance")
    source = folder.detect(str(path), config)
    with pytest.raises(ValueError, match="`weight_column` must be empty"):
        preparing.prepare(source, str(tmp_path / "prepared"), {})
