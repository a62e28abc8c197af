"""Recurrent and transformer encoders against their definitions."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data import inputs
from tfxml.models import token_options
from tfxml.models.encoders import (
    bag_encoder,
    conv_encoder,
    joint_encoder,
    recurrent_encoder,
    recurrent_options,
    transformer_encoder,
)

V, E, U = 20, 6, 5
ROWS = [[3, 7, 1, 19], [5], [], [2, 2, 11]]


def _recurrent(**words):
    return recurrent_encoder.RecurrentEncoder(
        V, num_units=U, word_dim=E, seed=3, **words
    )


def _transformer(**words):
    return transformer_encoder.TransformerEncoder(
        V, num_heads=2, num_units=9, word_dim=E, max_tokens=12, seed=3, **words
    )


MAKERS = {
    "conv": lambda: conv_encoder.ConvEncoder(V, E, 4, (1, 3)),
    **{
        f"{cell}, {pooling}": lambda cell=cell, pooling=pooling: _recurrent(
            cell=cell, pooling=pooling
        )
        for cell in recurrent_options.CELLS
        for pooling in token_options.POOLINGS
    },
    "gru, 2 layers": lambda: _recurrent(num_layers=2),
    **{
        f"transformer, {pooling}": lambda pooling=pooling: _transformer(
            pooling=pooling
        )
        for pooling in token_options.POOLINGS
    },
    "transformer, learnt": lambda: _transformer(positions="learnt"),
    "transformer, none": lambda: _transformer(positions="none"),
}


def _padded(width):
    rows = tf.ragged.constant(ROWS, dtype=tf.int32)
    return rows.to_tensor(0, shape=[len(ROWS), width])


@pytest.mark.parametrize("name", list(MAKERS))
def test_padding_changes_no_output(name):
    encoder = MAKERS[name]()
    narrow, wide = (encoder.call(_padded(width)) for width in (4, 11))
    assert narrow.shape == (len(ROWS), encoder.output_dim)
    np.testing.assert_allclose(narrow, wide, atol=1e-6)
    alone = encoder.call(tf.constant([ROWS[3]]))
    np.testing.assert_allclose(narrow[3:], alone, atol=1e-6)
    empty = encoder.call(tf.zeros([2, 0], tf.int32))
    np.testing.assert_allclose(empty[0], narrow[2], atol=1e-6)


@pytest.mark.parametrize("name", list(MAKERS))
def test_order_is_read_unless_there_are_no_positions(name):
    encoder = MAKERS[name]()
    one, other = encoder.call(tf.constant([[3, 7, 1, 9], [9, 1, 7, 3]]))
    is_bag = name == "transformer, none"
    assert np.allclose(one, other, atol=1e-6) == is_bag


@pytest.mark.parametrize("cell", list(recurrent_options.CELLS))
def test_states_are_those_of_each_text_read_both_ways(cell):
    encoder = _recurrent(cell=cell)
    words = tf.gather(encoder.table.value, _padded(4))
    is_word = tf.cast(_padded(4) > 0, tf.float32)
    states = encoder.states(words, is_word, None)
    for number, row in enumerate(ROWS):
        if not row:
            continue
        text = words[number : number + 1, : len(row)]
        forward = encoder.forward[0](text)[0]
        # By hand: the text turned round, read forwards, turned back.
        backward = _read(encoder.backward[0], text.numpy()[0, ::-1])[::-1]
        wanted = np.concatenate([forward, backward], axis=1)
        np.testing.assert_allclose(
            states[number, : len(row)], wanted, atol=1e-5
        )


def _sigmoid(values):
    return 1 / (1 + np.exp(-values))


def _read(layer, words):
    """Returns the states of a cell that reads words [T, E], by definition."""
    kernel, recurrent, bias = (weight.numpy() for weight in layer.weights)
    state, memory, states = np.zeros(U), np.zeros(U), []
    for word in words:
        if bias.ndim == 2:  # of a GRU, one for each product
            x = np.split(word @ kernel + bias[0], 3)
            h = np.split(state @ recurrent + bias[1], 3)
            update, reset = _sigmoid(x[0] + h[0]), _sigmoid(x[1] + h[1])
            new = np.tanh(x[2] + reset * h[2])
            state = update * state + (1 - update) * new
        else:
            enter, forget, new, out = np.split(
                word @ kernel + state @ recurrent + bias, 4
            )
            memory = _sigmoid(forget) * memory + _sigmoid(enter) * np.tanh(new)
            state = _sigmoid(out) * np.tanh(memory)
        states.append(state)
    return np.array(states)


def _normalized(layer, values):
    scale, shift = (weight.numpy() for weight in layer.weights)
    mean = values.mean(axis=1, keepdims=True)
    spread = np.sqrt(values.var(axis=1, keepdims=True) + 1e-6)
    return (values - mean) / spread * scale + shift


def _product(layer, values):
    kernel, bias = (weight.numpy() for weight in layer.weights)
    return values @ kernel + bias


def _transformed(encoder, row):
    """Returns the states of one text, by the paper's equations."""
    places, half = np.arange(len(row))[:, None], E // 2
    angles = places / 10000 ** (np.arange(half) / half)
    x = encoder.table.numpy()[row] * E**0.5
    x = x + np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    for norm, projections, attended, norm_too, wide, narrow in encoder.blocks:
        q, k, v = np.split(_product(projections, _normalized(norm, x)), 3, 1)
        seen = []
        for head in (slice(0, 3), slice(3, 6)):
            scores = np.exp(q[:, head] @ k[:, head].T / 3**0.5)
            weights = scores / scores.sum(axis=1, keepdims=True)
            seen.append(weights @ v[:, head])
        x = x + _product(attended, np.concatenate(seen, axis=1))
        hidden = _product(wide, _normalized(norm_too, x))
        share = np.vectorize(math.erf)(hidden / 2**0.5)
        x = x + _product(narrow, hidden * (1 + share) / 2)
    return _normalized(encoder.last_norm, x)


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_a_transformer_is_the_papers(pooling):
    encoder = _transformer(pooling=pooling)
    rng = np.random.default_rng(0)
    for weight in encoder.trainable_weights:  # no bias is zero
        weight.assign(rng.normal(scale=0.5, size=weight.shape))
    found = encoder.call(_padded(6))
    for row, output in zip(ROWS, found, strict=True):
        if not row:
            np.testing.assert_array_equal(output, np.zeros(E))
            continue
        states = _transformed(encoder, row)
        wanted = states.max(axis=0) if pooling == "max" else states.mean(axis=0)
        np.testing.assert_allclose(output, wanted, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "conv",
        pytest.param("gru, max", marks=pytest.mark.slow),
        pytest.param("lstm, cls", marks=pytest.mark.slow),
        pytest.param("transformer, attention", marks=pytest.mark.slow),
    ],
)
def test_xla_computes_the_same(name):
    encoder = MAKERS[name]()

    def loss(tokens):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(encoder.call(tokens) ** 2)
        return total, *map(
            tf.convert_to_tensor,
            tape.gradient(total, encoder.trainable_weights),
        )

    by_xla = tf.function(loss, jit_compile=True)(_padded(6))
    for one, other in zip(loss(_padded(6)), by_xla, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_dropout_is_a_function_of_its_seed():
    encoder = _transformer(dropout=0.5, word_dropout=0.5)
    first, again, other = (
        encoder.call(_padded(5), tf.constant(seed))
        for seed in ([1, 2], [1, 2], [1, 3])
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_bag_and_sequence_stand_behind_one_another():
    bag = bag_encoder.BagEncoder(9, (4,))
    encoder = joint_encoder.JointEncoder(bag, _recurrent(), "recurrent")
    batch = {
        **inputs.features(
            tf.ragged.constant([[1, 2], [8]], dtype=tf.int32),
            tf.ragged.constant([[0.5, 0.1], [1.0]]),
        ),
        inputs.TOKEN_IDS: tf.ragged.constant([[3, 1, 3], []], dtype=tf.int32),
    }
    found = encoder.call(encoder.arrange(batch, "compact"))
    parts = [
        part.call(part.arrange(batch, "compact"))
        for part in (bag, encoder.sequence)
    ]
    np.testing.assert_array_equal(found, np.concatenate(parts, axis=1))
    assert encoder.output_dim == found.shape[1]
    again = joint_encoder.JointEncoder.from_config(encoder.get_config())
    for mine, its in zip(encoder.weights, again.weights, strict=True):
        its.assign(mine)
    np.testing.assert_array_equal(
        found, again.call(again.arrange(batch, "compact"))
    )


def test_two_weights_start_alike_for_one_seed_alone():
    one, same = (_recurrent().get_weights() for _ in range(2))
    other = recurrent_encoder.RecurrentEncoder(
        V, num_units=U, word_dim=E, seed=4
    ).get_weights()
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.ndim == 1 or not first.any() or (first != third).any()
