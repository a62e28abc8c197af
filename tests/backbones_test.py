"""Encoders that a Keras file holds: read, trained, resumed, served, refused."""

import json
import shutil

import keras
import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import data_errors, inputs
from tfxml.export.saved_model import serving_model
from tfxml.models import keras_backbones, sites
from tfxml.models.encoders import backbone_encoder
from tfxml.run import restore, text_inputs, train_and_evaluate

V, T, H = 30, 5, 6
TOKENS = tf.constant([[3, 7, 1], [5, 0, 0], [0, 0, 0]])


def _states(places=None):
    return keras.Sequential(
        [
            keras.Input((places,), dtype="int32"),
            keras.layers.Embedding(V, 4),
            keras.layers.Dropout(0.9),
            keras.layers.Conv1D(H, 3, padding="causal"),
        ]
    )


def _by_name():
    """Returns a model with the names of KerasHub's."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    # A table of two segments, as BERT has, is not one of tokens.
    segments = keras.Input((None,), dtype="int32", name="segment_ids")
    table = keras.layers.Embedding(2, H, embeddings_initializer="zeros")
    states = keras.layers.Embedding(V, H)(ids) + table(segments)
    weights = keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
    pooled = keras.layers.Dense(H)(keras.ops.sum(states * weights, axis=1))
    return keras.Model(
        {"token_ids": ids, "padding_mask": mask, "segment_ids": segments},
        {"sequence_output": states * weights, "pooled_output": pooled},
    )


@pytest.mark.parametrize("pooling", ["max", "mean", "cls"])
@pytest.mark.parametrize("places", [None, T])
def test_states_are_pooled_over_the_words(places, pooling):
    encoder = backbone_encoder.BackboneEncoder(_states(places), pooling)
    found = encoder.call(TOKENS).numpy()
    padded = tf.pad(TOKENS, [[0, 0], [0, T - 3]])
    states = encoder.backbone(padded, training=False).numpy()
    first = {"max": np.max, "mean": np.mean}
    for row, length in enumerate((3, 1, 0)):
        of_words = states[row, :length]
        wanted = states[row, 0] if pooling == "cls" else np.zeros(H)
        if pooling != "cls" and length:
            wanted = first[pooling](of_words, axis=0)
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)
    assert encoder.output_dim == H
    wide = encoder.call(tf.pad(TOKENS, [[0, 0], [0, 2]]))
    np.testing.assert_allclose(found, wide, atol=1e-6)
    assert encoder.call(tf.zeros([2, 0], tf.int32)).shape == (2, H)


def test_models_take_tokens_by_name():
    encoder = backbone_encoder.BackboneEncoder(_by_name(), "max")
    tables = [weight.numpy() for weight in encoder.weights]
    (table,) = (table for table in tables if len(table) == V)
    # Nothing reads the dense layer behind the other output.
    assert [one.shape[0] for one in encoder.trainable_weights] == [V, 2]
    found = encoder.call(TOKENS).numpy()
    encoder.check_site(config_lib.Config(), sites.Site(5, 9, num_tokens=V))
    np.testing.assert_allclose(found[0], table[[3, 7, 1]].max(axis=0))
    again = backbone_encoder.BackboneEncoder.from_config(encoder.get_config())
    for mine, its in zip(encoder.weights, again.weights, strict=True):
        its.assign(mine)
    np.testing.assert_array_equal(found, again.call(TOKENS))


def test_a_dense_vector_is_what_the_rows_say():
    model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(H)])
    encoder = backbone_encoder.DenseBackboneEncoder(model)
    ids = tf.ragged.constant([[1, 8], []], dtype=tf.int32)
    batch = inputs.features(ids, ids.with_values(tf.constant([0.5, 2.0])))
    kernel, bias = model.get_weights()
    found = encoder.call(encoder.arrange(batch, "compact"))
    np.testing.assert_allclose(
        found, [bias + kernel[1] / 2 + 2 * kernel[8], bias], atol=1e-6
    )


def _create(kind, path, num_tokens=V, **words):
    config = config_lib.Config(encoder=kind, backbone=str(path), **words)
    site = sites.Site(5, 9, num_tokens=num_tokens)
    classes = {
        "backbone": backbone_encoder.BackboneEncoder,
        "dense_backbone": backbone_encoder.DenseBackboneEncoder,
    }
    return classes[kind].create(config, site, 0)


def test_what_does_not_fit_is_refused(tmp_path):
    _states(T).save(tmp_path / "fixed.keras")
    _states().save(tmp_path / "any.keras")
    for words, message in (
        ({"num_tokens": 0}, "for data without text"),
        ({"num_tokens": V + 1}, "an embedding of at least 31 tokens"),
    ):
        with pytest.raises(ValueError, match=message):
            _create("backbone", tmp_path / "any.keras", **words)
    with pytest.raises(ValueError, match="`max_tokens` must be at most 5"):
        _create("backbone", tmp_path / "fixed.keras")
    with pytest.raises(ValueError, match="a vector of 9 features"):
        _create("dense_backbone", tmp_path / "any.keras")
    with pytest.raises(ValueError, match="`backbone` must be a Keras model's"):
        config_lib.Config(encoder="backbone")
    with pytest.raises(ValueError, match="`pooling` must be max, mean or cls"):
        config_lib.Config(encoder="backbone", backbone="a", pooling="attention")


def test_only_keras_files_are_read(tmp_path):
    def refused(path, message):
        with pytest.raises(data_errors.DataError, match=message):
            keras_backbones.load(path)

    refused(tmp_path, "0 .keras files")
    refused(tmp_path / "none.keras", "no such file")
    (tmp_path / "model.h5").write_bytes(b"")
    refused(tmp_path / "model.h5", "a file of another name")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    refused(tmp_path, "a SavedModel, which is a program")
    (tmp_path / "broken.keras").write_bytes(b"no zip")
    refused(tmp_path / "broken.keras", "what cannot be read")
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2)]
    )
    model.save(tmp_path / "lambda.keras")
    refused(tmp_path / "lambda.keras", "what cannot be read.*[Ll]ambda")
    (tmp_path / "folder").mkdir()
    _states().save(tmp_path / "folder" / "any.keras")
    assert keras_backbones.load(tmp_path / "folder").output_shape[-1] == H


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    for split, number in (("train", 230), ("test", 40)):
        with open(folder / f"{split}.jsonl", "w") as lines:
            for _ in range(number):
                words = [f"word{i}" for i in rng.integers(20, size=6)]
                row = {"text": " ".join(words), "labels": words[:1]}
                lines.write(json.dumps(row) + "\n")
    return folder


def _config(path, **words):
    return config_lib.Config(
        encoder="backbone",
        backbone=str(path),
        backbone_dropout=0.0,
        min_df=1,
        max_tokens=9,
        num_epochs=2,
        batch_size=32,
        optimizer="sgd",
        learning_rate=0.3,
        metric_ks=(1,),
        keep_checkpoints=9,
    ).replace(**words)


@pytest.mark.slow
def test_a_run_keeps_its_backbone_resumes_and_is_served(texts, tmp_path):
    path = tmp_path / "mine.keras"
    _states().save(path)
    config = _config(path)
    run = tmp_path / "run"
    train_and_evaluate.train(config, str(run), str(texts))
    path.unlink()  # the run has its own
    cut = shutil.copytree(run, tmp_path / "cut")
    (cut / "result.json").unlink()
    shutil.rmtree(cut / "checkpoints" / runs.last_step(cut))
    train_and_evaluate.train(config, str(cut), str(texts))
    runs.assert_near(runs.tensors(run), runs.tensors(cut))
    trained = restore.restore(str(run), tf.distribute.get_strategy())
    model = tf.saved_model.load(
        str(serving_model.write(trained, tmp_path / "out"))
    )
    texts = tf.constant(["word1 word2", "", "word3"])
    answers = model.signatures["serving_default"](text=texts, k=tf.constant(3))
    scores, _ = trained.model.top_k(
        text_inputs.TextInputs(trained.config, trained.text_features)(texts), 3
    )
    np.testing.assert_allclose(answers["scores"], scores, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("is_trained", [True, False])
def test_two_replicas_equal_one_device(is_trained, texts, tmp_path, mirrored):
    path = tmp_path / "mine.keras"
    _states().save(path)
    first = keras.models.load_model(path).get_weights()
    weights = []
    for name, strategy in (("one", None), ("two", mirrored)):
        train_and_evaluate.train(
            _config(path, backbone_trained=is_trained),
            str(tmp_path / name),
            str(texts),
            strategy,
        )
        weights.append(runs.tensors(tmp_path / name, "model/encoder"))
    runs.assert_near(*weights, atol=1e-5)
    is_same = all(
        any(np.array_equal(one, w) for w in weights[0].values())
        for one in first
    )
    assert is_same != is_trained
