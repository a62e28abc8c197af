"""The head that writes labels one after another, against brute force."""

import itertools
import json
import shutil

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs
from tfxml.export.saved_model import serving_model
from tfxml.models import encoded as encoded_lib
from tfxml.models import sequence_decoder, sparse_labels
from tfxml.run import build, restore, text_inputs, train_and_evaluate, workdir

N, L = 3, 4
COUNTS = np.array([5, 20, 1, 9])
ROWS = [[3, 7, 1, 9], [5], []]


def _model(dropped=(), **words):
    config = config_lib.Config(
        encoder="conv",
        head="decoder",
        word_dim=5,
        conv_filters=3,
        conv_dropout=0.0,
        decoder_units=8,
        decoder_layers=2,
        decoder_heads=2,
        **words,
    )
    facts = workdir.Facts(9, L, 30, "compact", True, "", num_tokens=10)
    model = build.model(config, facts, COUNTS, dropped=dropped)
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    return model


def _batch():
    return {inputs.TOKEN_IDS: tf.ragged.constant(ROWS, dtype=tf.int32)}


def _set_losses(model, labels):
    """Returns -log p of one set of labels for each row, [N]."""
    ids = tf.constant([[*labels, *[-1] * (L - len(labels))]])
    (states,) = model.encode(_batch())
    losses = []
    for row in range(N):
        alone = encoded_lib.States(*(part[row : row + 1] for part in states))
        weights = tf.ones([1])
        positives = sparse_labels.positives_of(ids, weights)
        whole, of_base = (
            head.loss_sum(alone, positives, weights)
            for head in (model.head, model.head.base)
        )
        losses.append(float(whole - of_base))
    return np.array(losses)


def test_sets_and_losses_are_one_distribution():
    """The losses of all sets are probabilities, which the beam returns."""
    model = _model()
    found = model.head.label_sets(model.encode(_batch()), L, 16)
    log_p, members = found.log_probabilities.numpy(), found.is_member.numpy()
    np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(log_p, axis=1) <= 1e-6).all()
    for size in range(L + 1):
        for labels in itertools.combinations(range(L), size):
            is_set = np.isin(np.arange(L), labels)
            row, place = np.nonzero((members == is_set).all(axis=2))
            assert row.tolist() == list(range(N))
            np.testing.assert_allclose(
                log_p[row, place], -_set_losses(model, labels), atol=1e-4
            )


def test_few_beams_few_labels_and_dropped_ones():
    every = _model().head.label_sets(_model().encode(_batch()), L, 16)
    model = _model(decoder_labels=2)
    some = model.head.label_sets(model.encode(_batch()), L, 12)
    sizes = every.is_member.numpy().sum(axis=2)
    assert some.is_member.numpy().sum(axis=2)[:, :11].max() == 2
    for row in range(N):  # the sets of two labels and fewer, as before
        wanted = every.log_probabilities.numpy()[row][sizes[row] <= 2]
        np.testing.assert_allclose(
            some.log_probabilities[row, : len(wanted)], wanted, atol=1e-5
        )
    # Of a set of three, the two that are most frequent, without an end.
    cut = _set_losses(model, [0, 1, 2])
    ends = _set_losses(model, [0, 1])
    assert (cut < ends).all()
    model = _model(dropped=[1])
    found = model.head.label_sets(model.encode(_batch()), L, 8)
    assert not found.is_member.numpy()[:, :, 1].any()
    np.testing.assert_allclose(
        np.exp(found.log_probabilities).sum(axis=1), 1, rtol=1e-5
    )


def test_nothing_looks_ahead_or_at_padding():
    decoder = sequence_decoder.SequenceDecoder(6, 5, 8, 2, 2)
    rng = np.random.default_rng(0)
    for weight in decoder.weights:
        weight.assign(rng.normal(size=weight.shape))
    states = tf.constant(rng.normal(size=(1, 4, 5)), tf.float32)
    is_word = tf.constant([[1.0, 1.0, 1.0, 0.0]])
    seen = encoded_lib.States(states, is_word)
    one = decoder.call(tf.constant([[7, 0, 2, 3]]), seen).numpy()
    other = decoder.call(tf.constant([[7, 0, 4, 5]]), seen).numpy()
    np.testing.assert_allclose(one[:, :2], other[:, :2], atol=1e-6)
    assert not np.allclose(one[:, 2], other[:, 2], atol=1e-2)
    moved = states + tf.constant([0.0, 0.0, 0.0, 9.0])[None, :, None]
    found = decoder.call(
        tf.constant([[7, 0, 2, 3]]), encoded_lib.States(moved, is_word)
    )
    np.testing.assert_allclose(found, one, atol=1e-6)
    # After a label come rarer ones and the end.
    np.testing.assert_allclose(np.exp(one).sum(axis=2), 1, rtol=1e-5)
    assert (np.exp(one[0, 2, :3]) == 0).all()


def test_rows_of_an_instance_share_its_words():
    rng = np.random.default_rng(0)
    decoder = sequence_decoder.SequenceDecoder(6, 5, 8, 2, 2)
    for weight in decoder.weights:
        weight.assign(rng.normal(size=weight.shape))
    states = tf.constant(rng.normal(size=(3, 4, 5)), tf.float32)
    is_word = tf.constant(rng.integers(0, 2, (3, 4)) | [1, 0, 0, 0], tf.float32)
    written = tf.constant(rng.integers(0, 6, (3 * 7, 4)), tf.int32)
    repeated = encoded_lib.States(
        tf.repeat(states, 7, axis=0), tf.repeat(is_word, 7, axis=0)
    )
    every = decoder.call(written, repeated)
    for place in range(4):
        found = decoder.call_at(
            tf.constant(place), written, encoded_lib.States(states, is_word)
        )
        np.testing.assert_allclose(found, every[:, place], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def either(tmp_path_factory):
    """Texts of one word or two, whose labels are one pair or another."""
    folder = tmp_path_factory.mktemp("either")
    rng = np.random.default_rng(0)
    pairs = {"alpha": "ab", "omega": "cd"}
    for split, number in (("train", 600), ("test", 60)):
        with open(folder / f"{split}.jsonl", "w") as lines:
            for _ in range(number):
                word = str(rng.choice(["alpha", "omega", "either"]))
                labels = pairs.get(word) or str(rng.choice(["ab", "cd"]))
                text = f"{word} word{rng.integers(9)}"
                row = {"text": text, "labels": list(labels)}
                lines.write(json.dumps(row) + "\n")
    return folder


def _config(**words):
    return config_lib.Config(
        head="decoder",
        encoder="conv",
        min_df=1,
        num_epochs=6,
        batch_size=32,
        learning_rate=0.01,
        word_dim=16,
        conv_filters=8,
        conv_dropout=0.0,
        decoder_units=16,
        decoder_labels=4,
        max_tokens=4,
        metric_ks=(1,),
        keep_checkpoints=9,
        **words,
    )


@pytest.mark.slow
def test_a_graph_of_static_rows_finds_the_same_sets():
    model = _model()
    tokens = tf.constant([[3, 7, 1, 9], [5, 0, 0, 0], [0, 0, 0, 0]])

    @tf.function
    def of_graph(tokens):
        return model.label_sets({inputs.TOKEN_IDS: tokens}, L, 3)

    wanted = model.label_sets(_batch(), L, 3)
    for one, other in zip(of_graph(tokens), wanted, strict=True):
        np.testing.assert_allclose(
            tf.cast(one, tf.float32), tf.cast(other, tf.float32), atol=1e-6
        )


@pytest.mark.slow
def test_sets_are_learnt_resumed_and_served(either, tmp_path):
    """Where each label has 1/2, pairs have 1/2, and all other sets nothing."""
    path = tmp_path / "run"
    train_and_evaluate.train(_config(), str(path), str(either))
    run = restore.restore(str(path), tf.distribute.get_strategy())
    of_texts = text_inputs.TextInputs(run.config, run.text_features)
    texts = tf.constant(["alpha word1", "either word2", "omega word3"])
    scores, label_ids, is_member, p = run.model.label_sets(
        of_texts(texts), 4, 3
    )
    names = np.array(run.label_names)[label_ids.numpy()]
    sets = [
        ["".join(sorted(names[row][is_on])) for is_on in is_member.numpy()[row]]
        for row in range(3)
    ]
    assert sets[0][0] == "ab" and sets[2][0] == "cd"
    assert set(sets[1][:2]) == {"ab", "cd"}
    assert (p.numpy()[[0, 2], 0] > 0.9).all()
    assert (abs(p.numpy()[1, :2] - 0.5) < 0.12).all()
    cut = shutil.copytree(path, tmp_path / "cut")
    (cut / "result.json").unlink()
    for folder in sorted((cut / "checkpoints").glob("step_*"))[3:]:
        shutil.rmtree(folder)
    train_and_evaluate.train(_config(), str(cut), str(either))
    runs.assert_near(runs.tensors(path), runs.tensors(cut))
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    answers = model.signatures["serving_default"](text=texts, k=tf.constant(4))
    np.testing.assert_allclose(answers["scores"], scores, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["compact", "padded"])
def test_two_replicas_equal_one_device(form, either, tmp_path, mirrored):
    config = _config(optimizer="sgd", form=form).replace(num_epochs=1)
    weights = []
    for name, strategy in (("one", None), ("two", mirrored)):
        train_and_evaluate.train(
            config, str(tmp_path / name), str(either), strategy
        )
        weights.append(runs.tensors(tmp_path / name, "model/"))
    runs.assert_near(*weights, atol=1e-5)


@pytest.mark.slow
def test_xla_computes_the_same():
    model = _model()
    (states,) = model.encode(_batch())
    ids = tf.constant([[0, 2, -1], [1, -1, -1], [-1, -1, -1]])

    def loss(states, is_word):
        weights = tf.ones([N])
        with tf.GradientTape() as tape:
            total = model.head.loss_sum(
                encoded_lib.States(states, is_word),
                sparse_labels.positives_of(ids, weights),
                weights,
            )
        weights = model.head.decoder.trainable_weights
        return total, *map(tf.convert_to_tensor, tape.gradient(total, weights))

    compiled = tf.function(loss, jit_compile=True)(*states)
    for one, other in zip(loss(*states), compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
