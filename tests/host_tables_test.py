"""Compiled steps of tables against NumPy and TensorFlow's operations."""

import numpy as np
import padded_cases
import pytest
import tensorflow as tf

from tfxml.models import sparse_rows
from tfxml.models.losses import fused
from tfxml.training import (
    host_losses,
    host_steps,
    host_tables,
    loop,
    optimizers,
)

D, H = 12, 4
ROWS = {
    "no rows": [],
    "no features": [[], []],
    "one row without features": [[(3, 1.0)], [], [(3, 2.0), (8, -1.0)]],
    "a feature twice": [[(0, 1.0), (0, 0.5)], [(7, 2.0)]],
    "a feature of many rows": [[(4, n + 1.0), (n, 1.0)] for n in range(11)],
}
SPLIT = padded_cases.source()
STEPS = 12  # more than two epochs


def _ragged(rows):
    """Returns feature ids and values, and the matrix that they make."""
    ids = tf.ragged.constant([[i for i, _ in row] for row in rows], tf.int32, 1)
    values = tf.ragged.constant(
        [[value for _, value in row] for row in rows], tf.float32, 1
    )
    matrix = np.zeros((len(rows), D), np.float32)
    for n, row in enumerate(rows):
        for feature, value in row:
            matrix[n, feature] += value
    return ids, values, matrix


@pytest.mark.parametrize("num_tables", [1, 3])
@pytest.mark.parametrize("name", sorted(ROWS))
def test_product_and_gradient(name, num_tables):
    ids, values, matrix = _ragged(ROWS[name])
    kernel = np.random.default_rng(0).normal(size=(D, H)).astype(np.float32)
    tables = [tf.Variable(part) for part in np.split(kernel, num_tables)]
    of_host = host_tables.HostTables()

    @tf.function
    def run(ids, values):
        with of_host.used(), tf.GradientTape() as tape:
            rows = sparse_rows.arrange(ids, values, D, "compact")
            product = sparse_rows.matmul(rows, tables)
            loss = tf.reduce_sum(product * product)
        gradients = map(tf.convert_to_tensor, tape.gradient(loss, tables))
        return product, tf.concat(list(gradients), axis=0)

    for _ in range(3):  # in the same memory
        product, gradient = run(ids, values)
        expected = matrix @ kernel
        np.testing.assert_allclose(product, expected, atol=1e-5)
        np.testing.assert_allclose(gradient, 2 * matrix.T @ expected, atol=1e-4)


def _adam(tables, rows, gradients, rate, beta_1, beta_2, epsilon):
    """Takes a step of Adam in some rows of arrays."""
    table, momentum, velocity = tables
    momentum[rows] = beta_1 * momentum[rows] + (1 - beta_1) * gradients
    velocity[rows] = beta_2 * velocity[rows] + (1 - beta_2) * gradients**2
    change = rate * momentum[rows] / (np.sqrt(velocity[rows]) + epsilon)
    table[rows] -= change


@pytest.mark.parametrize("is_gathered", [False, True])
def test_lazy_adam_is_adam_in_the_rows_of_the_gradient(is_gathered):
    rng = np.random.default_rng(0)
    arrays = [np.abs(rng.normal(size=(D, H))) for _ in range(3)]
    variables = [tf.Variable(array.astype(np.float32)) for array in arrays]
    of_host = host_tables.HostTables()
    for number in range(4):
        if is_gathered and number == 1:
            # From now on TensorFlow gives copies of the variables.
            for variable in variables:
                tf.gather(variable, [0])
        rows = rng.permutation(D)[:5]
        values = rng.normal(size=(5, H)).astype(np.float32)
        of_host.lazy_adam(
            tf.IndexedSlices(tf.constant(values), tf.constant(rows)),
            variables,
            (0.1, 0.1, 0.01, 1e-3),
        )
        _adam(arrays, rows, values, 0.1, 0.9, 0.99, 1e-3)
        for variable, array in zip(variables, arrays, strict=True):
            np.testing.assert_allclose(variable, array, atol=1e-6)
    assert of_host.are_in_place() != is_gathered


def _noting(function, calls):
    def run(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return run


def _loop(recipe, is_compiled, monkeypatch):
    """Returns a loop, and what it trains."""
    model, optimizer, step = padded_cases.parts(recipe, SPLIT)
    with monkeypatch.context() as patch:
        if not is_compiled:
            patch.setattr(host_steps, "create", lambda *_: None)
        steps = _steps(recipe, model, optimizer, step)
    return steps, [*model.trainable_variables, *optimizer.variables]


def _steps(recipe, model, optimizer, step):
    return loop.SynchronousLoop(
        tf.distribute.get_strategy(),
        model,
        optimizer,
        step,
        SPLIT,
        padded_cases.BATCHES,
        STEPS,
        seed=0,
        num_pieces=recipe.accumulate_steps,
    )


CHANGES = {
    "plain": {},
    "dropout": {"dropout": 0.4, "feature_dropout": 0.2},
    "pieces": {"accumulate_steps": 2},
    "clipped": {"global_clipnorm": 0.01},
    "decayed": {"weight_decay": 0.1},
    "hashed": {"feature_buckets": 20},
}
CASES = [
    ("sigmoid", "dropout"),
    ("sigmoid_linear", "plain"),
    *(
        pytest.param("mach_encoders", change, marks=pytest.mark.slow)
        for change in CHANGES
    ),
]


@pytest.mark.parametrize(("name", "change"), CASES)
def test_training_is_that_of_tensorflow(name, change, monkeypatch):
    computed = []  # losses, each once: a graph is traced once
    create = host_losses.create

    def noted():
        losses = create()
        return {kind: _noting(losses[kind], computed) for kind in losses}

    monkeypatch.setattr(fused, "_FEWEST_OUTPUTS", 1)
    monkeypatch.setattr(host_losses, "create", noted)
    recipe = padded_cases.config(name, **CHANGES[change])
    ours, variables = _loop(recipe, True, monkeypatch)
    theirs, expected = _loop(recipe, False, monkeypatch)
    assert ours._host.tables is not None
    assert theirs._host is None
    before = [tf.convert_to_tensor(variable) for variable in variables]
    for number in (5, STEPS - 5):
        assert ours.train(number) == pytest.approx(theirs.train(number), 1e-5)
    assert ours._host.tables.are_in_place()
    assert bool(computed) == bool(recipe.hidden_units)
    # Of a linear model each block of labels has a table. Clipped gradients are
    # dense, so that nothing is done to moments.
    num_tables = 1 if name == "sigmoid" else 2
    number = 1 if change == "clipped" else 3
    assert len(ours._host.tables._variables) == number * num_tables
    for variable, other in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable, other, rtol=1e-4, atol=1e-6)
    assert any(
        tf.reduce_any(tf.convert_to_tensor(variable) != array)
        for variable, array in zip(variables, before, strict=True)
    )


def test_tensorflow_goes_on_with_tables_that_something_has_gathered(
    monkeypatch,
):
    recipe = padded_cases.config("sigmoid")
    ours, variables = _loop(recipe, True, monkeypatch)
    theirs, expected = _loop(recipe, False, monkeypatch)
    for number in (5, STEPS - 5):
        assert ours.train(number) == pytest.approx(theirs.train(number), 1e-5)
        tf.gather(variables[0].value, [0])
    assert ours._host.tables is None
    for variable, other in zip(variables, expected, strict=True):
        np.testing.assert_allclose(variable, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "is_compiled"),
    [
        ({}, True),
        ({"head_optimizer": "sgd"}, True),
        ({"optimizer": "adam"}, False),
        ({"optimizer": "lazy_adagrad"}, False),
        ({"form": "dense"}, False),
    ],
    ids=str,
)
def test_which_models_are_compiled(changes, is_compiled):
    recipe = padded_cases.config("sigmoid", **changes)
    model, optimizer, _ = padded_cases.parts(recipe, SPLIT)
    assert isinstance(optimizer, optimizers.ByLayer) == (
        "head_optimizer" in changes
    )
    strategy = tf.distribute.get_strategy()
    found = host_steps.create(model, optimizer, strategy)
    assert (found.tables is not None) == is_compiled


def test_strategies_keep_to_tensorflow(mirrored):
    recipe = padded_cases.config("sigmoid")
    with mirrored.scope():
        model, optimizer, _ = padded_cases.parts(recipe, SPLIT)
    assert host_steps.create(model, optimizer, mirrored) is None
