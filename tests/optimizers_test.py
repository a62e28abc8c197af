"""Optimizers against NumPy, dense gradients and a single device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxml.training import (
    gradients,
    optimizers,
    schedules,
    training_options,
)

V, H = 7, 3
IDS = [2, 5, 2, 2, 0]  # rows 2 times three: repeated


def _sparse(rng):
    values = rng.normal(size=(len(IDS), H)).astype(np.float32)
    slices = tf.IndexedSlices(
        tf.constant(values), tf.constant(IDS), tf.constant([V, H])
    )
    dense = np.zeros((V, H), np.float32)
    np.add.at(dense, IDS, values)
    return slices, dense


def _trained(name, gradients, **kwargs):
    variable = keras.Variable(np.ones((V, H), np.float32))
    optimizer = optimizers.OPTIMIZERS[name](learning_rate=0.1, **kwargs)
    optimizer.build([variable])
    for gradient in gradients:
        optimizer.apply([gradient], [variable])
    return variable.numpy()


def test_the_flag_has_every_optimizer():
    assert training_options.OPTIMIZERS == tuple(optimizers.OPTIMIZERS)


CLIPPING = [{}, {"global_clipnorm": 0.5}, {"clipnorm": 0.3}, {"clipvalue": 0.1}]


@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_repeated_rows_count_as_their_sum(name, clipping):
    rng = np.random.default_rng(0)
    sparse, dense = zip(*[_sparse(rng) for _ in range(3)], strict=True)
    dense = [tf.constant(gradient) for gradient in dense]
    ours = _trained(name, sparse, **clipping)
    theirs = _trained(name, dense, **clipping)
    if name.startswith("lazy"):  # the rows that have no gradient stay
        touched = sorted(set(IDS))
        np.testing.assert_allclose(ours[touched], theirs[touched], atol=1e-5)
        rest = sorted(set(range(V)) - set(IDS))
        np.testing.assert_array_equal(ours[rest], 1.0)
    else:
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def _adam(gradients, rate=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
    """Adam by definition on the rows that each gradient touches."""
    weights, m, v = np.ones((V, H)), np.zeros((V, H)), np.zeros((V, H))
    for step, gradient in enumerate(gradients, 1):
        rows = np.flatnonzero(np.any(gradient != 0, axis=1))
        g = gradient[rows].astype(np.float64)
        m[rows] = beta_1 * m[rows] + (1 - beta_1) * g
        v[rows] = beta_2 * v[rows] + (1 - beta_2) * g**2
        scale = rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        weights[rows] -= scale * m[rows] / (np.sqrt(v[rows]) + epsilon)
    return weights


def test_lazy_adam_equals_adam_by_definition():
    rng = np.random.default_rng(1)
    sparse, dense = zip(*[_sparse(rng) for _ in range(4)], strict=True)
    np.testing.assert_allclose(
        _trained("lazy_adam", sparse), _adam(dense), atol=1e-5
    )


def test_lazy_adam_on_dense_gradients_equals_keras_adam():
    rng = np.random.default_rng(2)
    dense = [tf.constant(rng.normal(size=(V, H)), tf.float32) for _ in range(4)]
    np.testing.assert_allclose(
        _trained("lazy_adam", dense), _trained("adam", dense), atol=1e-5
    )


def test_lazy_adagrad_equals_adagrad_by_definition():
    rng = np.random.default_rng(3)
    sparse, dense = zip(*[_sparse(rng) for _ in range(4)], strict=True)
    weights, total = np.ones((V, H)), np.full((V, H), 0.1)
    for gradient in dense:
        total += gradient.astype(np.float64) ** 2
        weights -= 0.1 * gradient / (np.sqrt(total) + 1e-7)
    np.testing.assert_allclose(
        _trained("lazy_adagrad", sparse), weights, atol=1e-5
    )


@pytest.mark.parametrize("clipping", CLIPPING, ids=str)
@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_two_replicas_equal_one_device(name, clipping, mirrored):
    rng = np.random.default_rng(4)
    parts = [[_sparse(rng)[0] for _ in range(2)] for _ in range(3)]
    with mirrored.scope():
        variable = keras.Variable(np.ones((V, H), np.float32))
        optimizer = optimizers.OPTIMIZERS[name](learning_rate=0.1, **clipping)
        optimizer.build([variable])

    @tf.function
    def step(gradients):
        mirrored.run(
            lambda g: optimizer.apply([g], [variable]), args=(gradients,)
        )

    for one, other in parts:
        step(
            mirrored.experimental_distribute_values_from_function(
                lambda context, pair=(one, other): pair[
                    context.replica_id_in_sync_group
                ]
            )
        )
    joined = [
        tf.IndexedSlices(
            tf.concat([one.values, other.values], 0),
            tf.concat([one.indices, other.indices], 0),
            one.dense_shape,
        )
        for one, other in parts
    ]
    for replica in mirrored.experimental_local_results(variable.value):
        np.testing.assert_allclose(
            replica.numpy(), _trained(name, joined, **clipping), atol=1e-5
        )


def test_a_head_moves_by_plain_steps_and_the_rest_by_the_optimizer():
    rng = np.random.default_rng(5)
    table, head = (keras.Variable(np.ones((V, H), np.float32)) for _ in "ab")
    optimizer = optimizers.ByLayer(
        optimizers.create("lazy_adam", 0.1),
        head=(optimizers.create("sgd", 3.0), [head]),
    )
    optimizer.build([table, head])
    dense, steps = [], np.ones((V, H))
    for _ in range(3):
        one, as_dense = _sparse(rng)
        gradient = rng.normal(size=(V, H)).astype(np.float32)
        optimizer.apply([one, tf.constant(gradient)], [table, head])
        dense.append(as_dense)
        steps -= 3.0 * gradient
    np.testing.assert_allclose(table.numpy(), _adam(dense), atol=1e-5)
    np.testing.assert_allclose(head.numpy(), steps, atol=1e-5)
    # Two moments of the table, and each optimizer's rate and step counter.
    weights = [one for one in optimizer.variables if one.shape == (V, H)]
    assert len(weights) == 2


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_that_of_keras(momentum):
    rng = np.random.default_rng(6)
    dense = [tf.constant(rng.normal(size=(V, H)), tf.float32) for _ in range(3)]
    theirs = keras.Variable(np.ones((V, H), np.float32))
    optimizer = keras.optimizers.SGD(0.1, momentum)
    for gradient in dense:
        optimizer.apply([gradient], [theirs])
    ours = _trained("sgd", dense, momentum=momentum)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("decay", "at_end_of_warmup", "half_way", "end"),
    [
        ("constant", 2.0, 2.0, 2.0),
        ("linear", 2.0, 1.0, 0.0),
        ("cosine", 2.0, 1.0, 0.0),
    ],
)
def test_schedule(decay, at_end_of_warmup, half_way, end):
    rate = schedules.WarmUpAndDecay(2.0, 30, warmup_steps=10, decay=decay)
    assert float(rate(0)) == pytest.approx(0.2)
    assert float(rate(9)) == pytest.approx(2.0)
    assert float(rate(10)) == pytest.approx(at_end_of_warmup)
    assert float(rate(20)) == pytest.approx(half_way)
    assert float(rate(30)) == pytest.approx(end, abs=1e-6)


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="lazy_adam"):
        optimizers.create("adamm", 0.1)
    with pytest.raises(ValueError, match="cosine"):
        schedules.WarmUpAndDecay(0.1, 10, decay="cos")


def test_momentum_is_of_sgd():
    rng = np.random.default_rng(5)
    dense = [rng.normal(size=(V, H)).astype(np.float32) for _ in range(4)]
    variable = keras.Variable(np.ones((V, H), np.float32))
    optimizer = optimizers.create("sgd", 0.1, momentum=0.9)
    optimizer.build([variable])
    weights, speed = np.ones((V, H)), np.zeros((V, H))
    for gradient in dense:
        optimizer.apply([tf.constant(gradient)], [variable])
        speed = 0.9 * speed - 0.1 * gradient
        weights += speed
    np.testing.assert_allclose(variable.numpy(), weights, atol=1e-5)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_l1_takes_proximal_steps(is_sparse):
    """Soft thresholds of the whole table; biases are left alone."""
    rng = np.random.default_rng(6)
    table = keras.Variable(rng.normal(size=(V, H)), dtype="float32")
    bias = keras.Variable(np.full(H, 0.01, np.float32), name="bias")
    weights = table.numpy().astype(np.float64)
    optimizer = optimizers.create(
        "sgd", 0.1, penalties=gradients.Penalties(l1=2.0)
    )
    optimizer.build([table, bias])
    for _ in range(3):
        slices, dense = _sparse(rng)
        optimizer.apply(
            [slices if is_sparse else tf.constant(dense), tf.zeros(H)],
            [table, bias],
        )
        weights -= 0.1 * dense
        weights = np.sign(weights) * np.maximum(np.abs(weights) - 0.2, 0)
    np.testing.assert_allclose(table.numpy(), weights, atol=1e-5)
    assert (table.numpy() == 0).any()
    np.testing.assert_array_equal(bias.numpy(), np.float32(0.01))


@pytest.mark.parametrize("name", sorted(optimizers.OPTIMIZERS))
def test_penalties_go_with_every_optimizer(name):
    table = keras.Variable(np.full((V, H), 3.0, np.float32), name="kernel")
    bias = keras.Variable(np.full(H, 3.0, np.float32), name="bias")
    optimizer = optimizers.create(
        name, 0.1, penalties=gradients.Penalties(0.5, 0.1, max_norm=2.0)
    )
    optimizer.build([table, bias])
    slices, _ = _sparse(np.random.default_rng(7))
    optimizer.apply([slices, tf.zeros(H)], [table, bias])
    norms = np.linalg.norm(table.numpy(), axis=1)
    np.testing.assert_array_less(norms, 2.0001)
    np.testing.assert_allclose(bias.numpy(), 3.0)


def test_weight_decay_is_apart_from_the_gradient():
    table = keras.Variable(np.full((V, H), 3.0, np.float32), name="kernel")
    optimizer = optimizers.create(
        "adam", 0.1, penalties=gradients.Penalties(0.5)
    )
    optimizer.build([table])
    optimizer.apply([tf.zeros((V, H))], [table])
    np.testing.assert_allclose(table.numpy(), 3 * (1 - 0.1 * 0.5), rtol=1e-6)
