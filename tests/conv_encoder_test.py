"""The convolutional encoder against NumPy, and what it can do: read order."""

import gzip
import json
import shutil

import exporting
import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import prepare
from tfxml.data import inputs, requests
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run
from tfxml.models.encoders import conv_encoder
from tfxml.run import (
    request_predictor,
    restore,
    text_inputs,
    train_and_evaluate,
)


def _encoder(**words):
    return conv_encoder.ConvEncoder(
        20, word_dim=5, num_filters=4, widths=(1, 3), **words
    )


def _by_definition(encoder, row):
    """Returns the largest response of each filter over places of a word."""
    table = encoder.table.numpy().astype(np.float64)
    words = np.concatenate([table[row], np.zeros((2, 5))]) * 1.0
    output = []
    for width, kernel, bias in zip(
        encoder.widths, encoder.kernels, encoder.biases, strict=True
    ):
        kernel, bias = kernel.numpy().astype(np.float64), bias.numpy()
        values = [np.zeros(4)]
        for start in range(len(row)):
            window = words[start : start + width]
            value = bias + np.einsum("we,wef->f", window, kernel)
            values.append(np.maximum(value, 0))
        output.append(np.max(values, axis=0))
    return np.concatenate(output)


@pytest.mark.parametrize("is_padded", [False, True])
def test_output_is_the_definition(is_padded):
    encoder = _encoder(seed=2)
    rng = np.random.default_rng(0)
    for bias in encoder.biases:
        bias.assign(rng.normal(size=4))
    rows = [[3, 7, 1, 19], [5], [], [2, 2]]
    tokens = tf.ragged.constant(rows, dtype=tf.int32)
    if is_padded:  # wider than the longest, as of another batch
        tokens = tokens.to_tensor(0, shape=[4, 9])
    found = encoder.call(encoder.arrange({inputs.TOKEN_IDS: tokens}, "padded"))
    for row, output in zip(rows, found, strict=True):
        np.testing.assert_allclose(
            output, _by_definition(encoder, row), atol=1e-5
        )


def test_dropout_is_a_function_of_its_seed():
    encoder = _encoder(dropout=0.5)
    tokens = tf.constant(np.arange(1, 20).reshape(1, -1).repeat(9, axis=0))
    for bias in encoder.biases:
        bias.assign(np.ones(4))  # none is 0 by itself
    first = encoder.call(tokens, tf.constant([1, 2]))
    np.testing.assert_array_equal(
        first, encoder.call(tokens, tf.constant([1, 2]))
    )
    assert not np.array_equal(first, encoder.call(tokens, tf.constant([1, 3])))


@pytest.fixture(scope="module")
def order_data(tmp_path_factory):
    """Texts whose label follows from which of two words comes first."""
    folder = tmp_path_factory.mktemp("order")
    rng = np.random.default_rng(0)
    others = [f"word{i}" for i in range(20)]
    for split, number in (("trn", 600), ("tst", 200)):
        with gzip.open(folder / f"{split}.json.gz", "wt") as lines:
            for _ in range(number):
                label = int(rng.integers(2))
                pair = ["alpha", "omega"][:: 1 if label else -1]
                text = [*rng.choice(others, 3), *pair, *rng.choice(others, 3)]
                row = {"content": " ".join(text), "target_ind": [label]}
                lines.write(json.dumps(row) + "\n")
    return folder


def _config(**words):
    return config_lib.Config(
        min_df=1,
        num_epochs=6,
        batch_size=32,
        learning_rate=0.01,
        word_dim=16,
        conv_filters=16,
        conv_dropout=0.0,
        metric_ks=(1,),
        **words,
    )


def test_order_is_learnt_where_a_bag_is_at_chance(order_data, tmp_path):
    by_order = train_and_evaluate.train(
        _config(encoder="conv"), str(tmp_path / "conv"), str(order_data)
    )
    by_bag = train_and_evaluate.train(
        _config(encoder="bag", hidden_units=(16,)),
        str(tmp_path / "bag"),
        str(order_data),
    )
    # The Bayes optimum is 100, chance is 50.
    assert by_order["P@1"] >= 95 and by_bag["P@1"] < 65
    run = restore.restore(str(tmp_path / "conv"), tf.distribute.get_strategy())
    predictor = request_predictor.RequestPredictor(run, k=1)
    answers = predictor.predict(
        [
            requests.Request(text, None, None, None)
            for text in ("alpha omega", "word3 omega alpha", "")
        ]
    )
    assert [a["label_ids"] for a in answers[:2]] == [[1], [0]]
    assert answers[2]["empty"]
    rows = requests.Request(None, np.zeros(1, np.int32), np.ones(1), None)
    with pytest.raises(ValueError, match="words in their order"):
        predictor.predict([rows])


RECURRENT = {
    "encoder": "recurrent",
    "recurrent_units": 16,
    "recurrent_dropout": 0.0,
}
TRANSFORMER = {
    "encoder": "transformer",
    "transformer_heads": 2,
    "transformer_units": 32,
    "transformer_dropout": 0.0,
}
READERS = {
    "gru": RECURRENT,
    "lstm": {**RECURRENT, "recurrent_cell": "lstm"},
    "gru, attention": {**RECURRENT, "pooling": "attention"},
    "transformer": TRANSFORMER,
    "transformer, learnt": {**TRANSFORMER, "positions": "learnt"},
    "transformer, cls": {**TRANSFORMER, "pooling": "cls"},
    "joint": {**TRANSFORMER, "encoder": "joint", "hidden_units": (8,)},
    "joint, conv": {"encoder": "joint", "hidden_units": (8,)},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(READERS))
def test_every_encoder_of_sequences_learns_order(name, order_data, tmp_path):
    config = _config(**READERS[name]).replace(num_epochs=20)
    found = train_and_evaluate.train(
        config, str(tmp_path / "run"), str(order_data)
    )
    assert found["P@1"] >= 95  # of 100


@pytest.mark.slow
def test_positions_are_what_makes_a_transformer_able_to(order_data, tmp_path):
    config = _config(**TRANSFORMER, positions="none").replace(num_epochs=20)
    found = train_and_evaluate.train(
        config, str(tmp_path / "run"), str(order_data)
    )
    assert found["P@1"] < 65  # chance is 50


@pytest.mark.parametrize("name", ["conv", "joint"])
def test_data_without_text_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="which reads words in their order"):
        train_and_evaluate.train(
            _config(encoder=name, synthetic_train=50, synthetic_test=10),
            str(tmp_path),
        )


def test_prepared_tokens_train_to_the_same_weights(order_data, tmp_path):
    config = _config(encoder="conv").replace(num_epochs=1, max_tokens=6)
    prepare.prepare(config, str(order_data), str(tmp_path / "records"))
    results = [
        train_and_evaluate.train(config, str(tmp_path / name), str(folder))
        for name, folder in (
            ("memory", order_data),
            ("disk", tmp_path / "records"),
        )
    ]
    assert results[0] == results[1]
    other = config.replace(max_tokens=7)
    with pytest.raises(ValueError, match="max_tokens=7"):
        train_and_evaluate.train(
            other, str(tmp_path / "b"), str(tmp_path / "records")
        )


@pytest.mark.slow
def test_word_vectors_are_what_training_starts_with(order_data, tmp_path):
    path = tmp_path / "some.vec"
    path.write_text("alpha " + "0.25 " * 16 + "\nunheard " + "1 " * 16 + "\n")
    config = _config(encoder="joint", hidden_units=(4,)).replace(
        num_epochs=1, learning_rate=0.0, word_vectors=str(path)
    )
    train_and_evaluate.train(config, str(tmp_path / "run"), str(order_data))
    run = restore.restore(str(tmp_path / "run"), tf.distribute.get_strategy())
    table = run.model.encoders[0].sequence.table.numpy()
    terms = run.text_features.terms.tolist()
    is_given = (table[1:] == 0.25).all(axis=1)
    assert [terms[place] for place in np.flatnonzero(is_given)] == ["alpha"]
    with pytest.raises(ValueError, match="with BagEncoder"):
        train_and_evaluate.train(
            config.replace(encoder="bag"),
            str(tmp_path / "bag"),
            str(order_data),
        )
    path.unlink()  # a resumed run does not read it again
    train_and_evaluate.train(config, str(tmp_path / "run"), str(order_data))


# --- conformance ------------------------------------------------------------

CONFORMING = [
    "gru",
    "lstm",
    "gru, attention",
    "transformer",
    "transformer, cls",
    "joint",
]


def _short_config(name):
    return _config(**READERS[name]).replace(
        num_epochs=4, keep_checkpoints=9, word_dropout=0.2
    )


@pytest.fixture(scope="module", params=CONFORMING)
def short_run(request, order_data, tmp_path_factory):
    """Returns the recipe and the folder of a run of four epochs."""
    path = tmp_path_factory.mktemp("short") / "run"
    train_and_evaluate.train(
        _short_config(request.param), str(path), str(order_data)
    )
    return _short_config(request.param), path


@pytest.mark.slow
def test_resumed_equals_uninterrupted(short_run, order_data, tmp_path):
    config, path = short_run
    cut = shutil.copytree(path, tmp_path / "cut")
    (cut / "result.json").unlink()
    for folder in sorted((cut / "checkpoints").glob("step_*"))[2:]:
        shutil.rmtree(folder)
    assert runs.last_step(cut) < runs.last_step(path)
    train_and_evaluate.train(config, str(cut), str(order_data))
    runs.assert_near(runs.tensors(path), runs.tensors(cut))


@pytest.mark.slow
def test_a_saved_model_answers_as_the_run_does(short_run, tmp_path):
    _, path = short_run
    run = checked_run.read(str(path))
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    texts = tf.constant(
        ["alpha omega", "word3 omega alpha word1", "", "unseen", "word4"]
    )
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "text": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[text])
                    )
                }
            )
        ).SerializeToString()
        for text in texts.numpy()
    ]
    scores, label_ids = run.model.top_k(
        text_inputs.TextInputs(run.config, run.text_features)(texts), 2
    )
    served = model.signatures
    for answers in (
        served["serving_default"](text=texts, k=tf.constant(2)),
        served["examples"](examples=tf.constant(examples), k=tf.constant(2)),
    ):
        exporting.same_ranking(
            answers["scores"], answers["label_ids"], scores, label_ids, 1e-6
        )


@pytest.mark.parametrize(
    "words",
    [
        {"encoder": "conv"},
        *(
            pytest.param(words, marks=pytest.mark.slow)
            for words in (
                {"encoder": "recurrent", "recurrent_units": 8},
                {
                    "encoder": "recurrent",
                    "recurrent_units": 8,
                    "recurrent_cell": "lstm",
                },
                {
                    "encoder": "transformer",
                    "transformer_units": 16,
                    "transformer_heads": 2,
                },
                {"encoder": "joint", "joint_sequence": "conv"},
                # A bag whose head gathers rows of its weights.
                {
                    "hidden_units": (8,),
                    "form": "dense",
                    "head": "cornet",
                    "cornet_candidates": 4,
                },
            )
        ),
    ],
    ids=str,
)
def test_two_replicas_equal_one_device_on_texts_of_any_length(
    words, tmp_path, mirrored
):
    """Steps of one call gather gradients of other shapes: 7 steps, 4 left."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    for split, number in (("train", 116), ("test", 20)):
        with open(tmp_path / "data" / f"{split}.jsonl", "w") as lines:
            for _ in range(number):
                text = [f"word{i}" for i in rng.integers(9, size=9)]
                text = text[: rng.integers(1, 9)]
                row = {"text": " ".join(text), "labels": [text[0]]}
                lines.write(json.dumps(row) + "\n")
    config = _config(
        **words,
        dropout=0.0,
        recurrent_dropout=0.0,
        transformer_dropout=0.0,
    ).replace(num_epochs=2, batch_size=16, optimizer="sgd")
    weights = []
    for name, strategy in (("one", None), ("two", mirrored)):
        path = tmp_path / name
        train_and_evaluate.train(
            config, str(path), str(tmp_path / "data"), strategy
        )
        weights.append(runs.tensors(path))
    runs.assert_near(*weights, atol=1e-5)


def test_no_rows_are_read_too():
    """As by a replica that has no share of a batch."""
    encoder = conv_encoder.ConvEncoder(9, 4, num_filters=3, widths=(2, 3))
    read = tf.function(
        encoder.call, input_signature=[tf.TensorSpec([None, None], tf.int32)]
    )
    assert read(tf.zeros([0, 4], tf.int32)).shape == (0, 6)
