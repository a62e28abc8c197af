"""The head with an attention vector a label, against its definition."""

import exporting
import numpy as np
import pytest
import runs
import tensorflow as tf
from conv_encoder_test import _config as _trained_config
from conv_encoder_test import order_data  # noqa: F401

from tfxml import config as config_lib
from tfxml.export.saved_model import serving_model
from tfxml.models import encoded
from tfxml.models.encoders import conv_encoder, recurrent_encoder
from tfxml.models.heads import label_attention
from tfxml.run import build, restore, text_inputs, train_and_evaluate, workdir

N, T, H, L = 4, 6, 5, 9
LENGTHS = 6, 1, 0, 3
ENCODERS = "conv", "recurrent", "transformer"


def _head(**words):
    head = label_attention.LabelAttentionHead(L, H, **words)
    rng = np.random.default_rng(1)
    for weight in head.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    return head


def _states(width=T):
    states = np.random.default_rng(0).normal(size=(N, T + 5, H))
    is_word = np.arange(width) < np.array(LENGTHS)[:, None]
    return encoded.States(
        tf.constant(states[:, :width], tf.float32),
        tf.constant(is_word, tf.float32),
    )


def test_logits_are_the_definition_and_padding_moves_none(monkeypatch):
    monkeypatch.setattr(label_attention, "_BLOCK", 4)
    head, states = _head(), _states()
    queries, kernel, bias = (w.numpy() for w in head.weights)
    wanted = np.tile(bias, (N, 1)).astype(np.float64)
    for row, length in enumerate(LENGTHS):
        for label in range(L if length else 0):
            of_text = states.states[row, :length].numpy().astype(np.float64)
            shares = np.exp(of_text @ queries[label])
            mean = (shares / shares.sum()) @ of_text
            wanted[row, label] += kernel[label] @ mean
    np.testing.assert_allclose(head.call(states), wanted, atol=1e-5)
    np.testing.assert_allclose(head.call(_states(T + 5)), wanted, atol=1e-5)
    some = head.label_estimates(states, tf.constant([1, 4, 8]))
    np.testing.assert_allclose(some, wanted[:, [1, 4, 8]], atol=1e-5)


@pytest.mark.parametrize(
    "encoder",
    [
        conv_encoder.ConvEncoder(9, 4, H, (1, 3), is_pooled=False),
        recurrent_encoder.RecurrentEncoder(9, word_dim=4, pooling="none"),
    ],
    ids=["conv", "recurrent"],
)
def test_states_of_encoders_are_those_of_words_alone(encoder):
    tokens = tf.constant([[3, 7, 1], [5, 0, 0], [0, 0, 0]])
    narrow = encoder.call(tokens)
    wide = encoder.call(tf.pad(tokens, [[0, 0], [0, 4]]))
    is_word = np.pad(tokens.numpy() > 0, [(0, 0), (0, 1)])
    np.testing.assert_array_equal(narrow.is_word, is_word)
    np.testing.assert_array_equal(wide.is_word[:, :4], is_word)
    for one, other in zip(narrow.states, wide.states, strict=True):
        np.testing.assert_allclose(one[:1], other[:1], atol=1e-6)
    assert not narrow.states.numpy()[~is_word].any() or "recurrent" in (
        encoder.name
    )


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="`head` must be .*encoder=bag"):
        config_lib.Config(head="label_attention")
    config = config_lib.Config(head="label_attention", encoder="conv")
    facts = workdir.Facts(30, 900_000, 9, "compact", True, "", num_tokens=31)
    with pytest.raises(ValueError, match="`label_attention_gib` must .*659 G"):
        build.model(config, facts, None)


@pytest.mark.slow
def test_xla_computes_the_same():
    head, states = _head(), _states()

    def value(states, is_word):
        with tf.GradientTape() as tape:
            tape.watch(states)
            total = tf.reduce_sum(
                head.call(encoded.States(states, is_word)) ** 2
            )
        return total, *tape.gradient(total, [states, *head.trainable_weights])

    compiled = tf.function(value, jit_compile=True)(*states)
    for one, other in zip(value(*states), compiled, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def _label_config(encoder):
    return _trained_config(
        head="label_attention",
        encoder=encoder,
        recurrent_units=16,
        recurrent_dropout=0.0,
        transformer_heads=2,
        transformer_units=32,
        transformer_dropout=0.0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ENCODERS)
def test_it_learns_order_and_is_served(encoder, order_data, tmp_path):  # noqa: F811
    config = _label_config(encoder).replace(num_epochs=20)
    found = train_and_evaluate.train(
        config, str(tmp_path / "run"), str(order_data)
    )
    assert found["P@1"] >= 95  # of 100; chance is 50
    run = restore.restore(str(tmp_path / "run"), tf.distribute.get_strategy())
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    texts = tf.constant(["word1 alpha omega", "omega alpha", "", "word2"])
    answers = model.signatures["serving_default"](text=texts, k=tf.constant(2))
    scores, label_ids = run.model.top_k(
        text_inputs.TextInputs(run.config, run.text_features)(texts), 2
    )
    exporting.same_ranking(
        answers["scores"], answers["label_ids"], scores, label_ids, 1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("form", ["compact", "padded"])
def test_two_replicas_equal_one_device(form, order_data, mirrored, tmp_path):  # noqa: F811
    config = _label_config("conv").replace(
        num_epochs=2, optimizer="sgd", form=form
    )
    weights = []
    for name, strategy in (("one", None), ("two", mirrored)):
        train_and_evaluate.train(
            config, str(tmp_path / name), str(order_data), strategy
        )
        weights.append(runs.tensors(tmp_path / name, "model/"))
    runs.assert_near(*weights, atol=1e-5)
