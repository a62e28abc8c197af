"""Heads that know how labels depend on one another, against brute force."""

import itertools
import json
import shutil

import exporting
import numpy as np
import pytest
import runs
import scipy.sparse
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import plain_model
from tfxml.models import extreme_classifier
from tfxml.models.heads import graph, sigmoid
from tfxml.run import (
    build,
    evaluation_split,
    restore,
    train_and_evaluate,
    workdir,
)

N, D = 7, 20
HEADS = "cornet", "graph", "chain"


def _model(num_labels, dropped=(), **words):
    config = config_lib.Config(
        hidden_units=(6,),
        dropout=0.0,
        num_repetitions=3,
        num_buckets=9,
        cornet_units=5,
        chain_units=5,
        chain_l1=0.0,
        **words,
    )
    facts = workdir.Facts(D, num_labels, 100, "compact", False, "")
    sets = scipy.sparse.csr_matrix(
        np.random.default_rng(3).random((80, num_labels)) < 0.2, dtype=int
    )
    model = build.model(
        config, facts, None, dropped=dropped, label_pairs=sets.T @ sets
    )
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model


def _batch():
    rng = np.random.default_rng(0)
    rows = [np.sort(rng.choice(D, 4, False)).tolist() for _ in range(N)]
    ids = tf.ragged.constant(rows, tf.int32)
    values = ids.with_values(
        tf.constant(rng.normal(size=len(ids.flat_values)), tf.float32)
    )
    return inputs.features(ids, values)


def _chain_losses(model, batch, sets):
    """Returns -log p(set | x) of one set of all rows, [N]."""
    labels = tf.RaggedTensor.from_row_splits(
        np.tile(sets, N).astype(np.int32), np.arange(N + 1) * len(sets)
    )
    found = []
    for row in range(N):
        weights = tf.one_hot(row, N)
        whole = model.loss_sum(batch, labels, weights)
        encoded = model.encode(batch)
        of_base = model.head.base.loss_sum(
            encoded,
            extreme_classifier.sparse_labels.positives_of(labels, weights),
            weights,
        )
        found.append(float(whole - of_base))
    return np.array(found)


def test_sets_and_losses_are_one_distribution():
    """The losses of all sets are probabilities, which the beam returns."""
    num_labels = 4
    model, batch = _model(num_labels, head="chain"), _batch()
    found = model.head.label_sets(model.encode(batch), num_labels, 16)
    log_p, members = found.log_probabilities.numpy(), found.is_member.numpy()
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(log_p, axis=1) <= 1e-6).all()
    for size in range(num_labels + 1):
        for labels in itertools.combinations(range(num_labels), size):
            wanted = -_chain_losses(model, batch, np.array(labels, int))
            is_set = np.isin(np.arange(num_labels), labels)
            row, place = np.nonzero((members == is_set).all(axis=2))
            assert row.tolist() == list(range(N))
            np.testing.assert_allclose(log_p[row, place], wanted, atol=1e-4)


def test_a_narrow_beam_finds_the_most_probable_sets():
    model, batch = _model(9, head="chain"), _batch()
    encoded = model.encode(batch)
    every = model.head.label_sets(encoded, 9, 512)
    some = model.head.label_sets(encoded, 9, 24)
    np.testing.assert_allclose(
        some.log_probabilities[:, 0], every.log_probabilities[:, 0], atol=1e-5
    )


def test_dropped_labels_are_in_no_set():
    model = _model(6, dropped=[1, 4], head="chain")
    encoded = model.encode(_batch())
    found = model.head.label_sets(encoded, 6, 16)
    assert not found.is_member.numpy()[:, :, [1, 4]].any()
    np.testing.assert_allclose(
        np.exp(found.log_probabilities).sum(axis=1), 1, rtol=1e-5
    )


@pytest.mark.parametrize("base", ["sigmoid", "mach"])
@pytest.mark.parametrize("head", HEADS)
def test_few_candidates_rank_as_their_estimates_do(head, base):
    words = {f"{head}_candidates": 12}
    whole, fewer = (
        _model(40, dropped, head=head, base_head=base, **words)
        for dropped in ((), (3, 17, 39))
    )
    batch = _batch()
    encoded = whole.encode(batch)
    every = whole.head.label_estimates(encoded, tf.range(40)).numpy()
    for k in (3, 20, 40):
        estimates, label_ids = whole.head.top_k(encoded, k)
        best = -np.sort(-every, axis=1)[:, :k]
        np.testing.assert_allclose(estimates, best, atol=1e-5)
        of_ids = np.take_along_axis(every, label_ids.numpy(), axis=1)
        np.testing.assert_allclose(of_ids, best, atol=1e-5)
    _, wanted = whole.top_k(batch, 40)
    _, found = fewer.top_k(batch, 40)
    for all_ids, some_ids in zip(wanted.numpy(), found.numpy(), strict=True):
        assert [i for i in all_ids if i not in (3, 17, 39)] == list(some_ids)


@pytest.mark.parametrize("size", [1, 2, 5, 8, 9, 40])
def test_neighbours_are_found_among_candidates(size):
    rng = np.random.default_rng(size)
    label_ids = np.sort(
        [rng.permutation(40)[:size] for _ in range(30)], axis=1
    ).astype(np.int32)
    wanted = rng.integers(0, 40, [30, size, 3]).astype(np.int32)
    places, is_here = graph._places_among(
        tf.constant(label_ids), tf.constant(wanted)
    )
    for row, ids in enumerate(label_ids):
        np.testing.assert_array_equal(is_here[row], np.isin(wanted[row], ids))
        found = ids[places[row].numpy()]
        assert (found[is_here[row]] == wanted[row][is_here[row]]).all()


def test_smoothing_of_candidates_fits_into_memory():
    """4,096 candidates of each of 64 instances, as by default."""
    rng = np.random.default_rng(0)
    sets = scipy.sparse.random(500, 9000, 0.002, "csr", random_state=rng)
    pairs = (sets > 0).astype(int)
    head = graph.GraphHead(
        sigmoid.SigmoidHead(9000), label_pairs=pairs.T @ pairs
    )
    head._gains.assign(rng.normal(size=9000))
    ids = np.sort([rng.permutation(9000)[:4096] for _ in range(64)], axis=1)
    logits = rng.normal(size=ids.shape).astype(np.float32)
    found = head.corrected(tf.constant(logits), tf.constant(ids, tf.int32))
    scores = np.zeros([64, 9000])
    np.put_along_axis(scores, ids, 1 / (1 + np.exp(-logits)), axis=1)
    neighbours, shares, gains = (
        weight.numpy()
        for weight in (head._neighbours, head._shares, head._gains)
    )
    for row in range(0, 64, 21):
        told = (scores[row][neighbours] * shares).sum(axis=1)
        wanted = logits[row] + (gains * told)[ids[row]]
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)


def test_the_graph_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    sets = (rng.random((50, 7)) < 0.4).astype(int)
    pairs = scipy.sparse.csr_matrix(sets.T @ sets)
    neighbours, shares = graph.graph_of(pairs, 3)
    counts = sets.sum(axis=0)
    for label in range(7):
        wanted = {
            other: (sets[:, label] & sets[:, other]).sum() / counts[other]
            - counts[label] / counts.sum()
            for other in range(7)
            if other != label
        }
        best = sorted(wanted, key=lambda one: -wanted[one])[:3]
        assert shares[label] == pytest.approx([wanted[one] for one in best])
        np.testing.assert_allclose(
            [wanted[one] for one in neighbours[label]], shares[label], atol=1e-6
        )


@pytest.mark.slow
def test_the_training_split_makes_the_graph(tmp_path):
    config = config_lib.Config(
        synthetic_labels=40,
        synthetic_train=300,
        synthetic_test=40,
        hidden_units=(8,),
        num_epochs=1,
        head="graph",
    )
    train_and_evaluate.train(config, str(tmp_path))
    run = restore.restore(str(tmp_path), tf.distribute.get_strategy())
    source, _ = evaluation_split.read(config, run.facts, "train", None)
    _, labels = source.rows(tf.range(300, dtype=tf.int64))
    sets = np.zeros((300, 40), int)
    sets[labels.value_rowids(), labels.flat_values] = 1
    pairs = scipy.sparse.csr_matrix(sets.T @ sets)
    for found, wanted in zip(
        (run.model.head._neighbours, run.model.head._shares),
        graph.graph_of(pairs, 16),
        strict=True,
    ):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
def test_few_candidates_are_trained_on(head):
    words = {f"{head}_candidates": 12}
    model = _model(40, head=head, **words)
    labels = tf.ragged.constant([[1, 2], [3], [], [7], [9], [39], [0, 1, 2]])
    labels = tf.cast(labels, tf.int32)
    padded = labels.to_tensor(-1)
    values = []
    for ids in (labels, padded):
        with tf.GradientTape() as tape:
            loss = model.loss_sum(_batch(), ids, tf.ones(N))
        gradients = tape.gradient(loss, model.trainable_variables)
        assert all(one is not None for one in gradients)
        values.append(float(loss))
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_a_normaliser_needs_all_labels():
    with pytest.raises(ValueError, match="`num_candidates` must be at"):
        _model(
            40,
            head="cornet",
            loss="softmax_cross_entropy",
            cornet_candidates=12,
        )


def test_sets_and_a_reranker_are_refused_together():
    with pytest.raises(ValueError, match="`reranker_passes` must be 0"):
        config_lib.Config(head="chain", reranker_passes=1)


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_it_is_exported_or_refused(head, tmp_path):
    run = exporting.features_run("sigmoid", head=head)
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    ids, values = exporting.rows(run)
    found = model.signatures["features"](
        feature_ids=tf.constant(ids),
        feature_values=tf.constant(values),
        k=tf.constant(10),
    )
    scores, label_ids = exporting.answers(run, ids, values, 10)
    np.testing.assert_allclose(found["scores"], scores, atol=1e-5)
    np.testing.assert_array_equal(found["label_ids"], label_ids)
    with pytest.raises(ValueError, match="declares no serving form"):
        plain_model.PlainModel(run.model)


@pytest.mark.slow
@pytest.mark.parametrize("base", ["sigmoid", "mach"])
@pytest.mark.parametrize("head", HEADS)
def test_it_resumes_bit_for_bit_and_answers(head, base, tmp_path):
    words = [
        *("--synthetic_labels=60", "--synthetic_train=600", "--num_epochs=2"),
        *("--synthetic_test=100", "--hidden_units=8", "--batch_size=64"),
        *(f"--head={head}", f"--base_head={base}", "--keep_checkpoints=2"),
    ]
    whole = tmp_path / "whole"
    runs.run(runs.command("tfxml.train", *words, f"--workdir={whole}"))
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    (cut / "result.json").unlink()
    shutil.rmtree(cut / "checkpoints" / runs.last_step(cut))
    output = runs.run(runs.command("tfxml.train", *words, f"--workdir={cut}"))
    assert "resumes" in output
    runs.assert_near(runs.tensors(whole), runs.tensors(cut))
    line = json.dumps({"feature_ids": [1, 5], "feature_values": [1.0, 2.0]})
    for aim in ("f1", "subset"):
        answer = runs.run(
            runs.command(
                *("tfxml.predict", f"--workdir={whole}"),
                *("--predict=set", f"--aim={aim}"),
            ),
            stdin=line,
        )
        assert json.loads(answer)["line"] == 1


@pytest.mark.slow
def test_every_strategy_trains_the_same_weights(mirrored, tmp_path):
    config = config_lib.Config(
        synthetic_labels=40,
        synthetic_train=256,
        synthetic_test=40,
        hidden_units=(8,),
        batch_size=64,
        num_epochs=1,
        dropout=0.0,
    )
    for head in HEADS:
        one = config.replace(head=head)
        for name, strategy in (("one", None), ("two", mirrored)):
            train_and_evaluate.train(
                one, str(tmp_path / head / name), strategy=strategy
            )
        runs.assert_near(
            *(
                runs.tensors(tmp_path / head / name, "model/")
                for name in ("one", "two")
            ),
            atol=1e-5,
        )
        run = restore.restore(
            str(tmp_path / head / "one"), tf.distribute.get_strategy()
        )
        assert run.step == 4
