"""Keras models of users' own come out the same under every strategy."""

import functools
import warnings

import keras
import numpy as np
import own_models
import pytest
import runs
import tensorflow as tf
import tpu_trace_test as trace

import tfxml
from tfxml.models import keras_strategies


@functools.cache
def _single(model, head):
    """Returns the weights and metrics of a case on one device."""
    strategy = tf.distribute.get_strategy()
    return own_models.trained(model, head, strategy)


def _trained(folder, strategy, models, launcher=()):
    """Returns what processes of their own make of models, by case."""
    output = folder / "weights.npz"
    words = runs.command("tests.own_models", strategy, str(output), *models)
    if launcher:
        words = runs.command("strategies.launch", *launcher, "--", *words)
    runs.run(words)
    cases = {(model, head): {} for model in models for head in own_models.HEADS}
    with np.load(output) as file:
        for name in file.files:
            model, head, key = name.split("/")
            cases[model, head][key] = file[name]
    return cases


def _assert_single(cases):
    for case, values in cases.items():
        wanted = _single(*case)
        assert values.keys() == wanted.keys()
        for key, value in values.items():
            np.testing.assert_allclose(
                value, wanted[key], atol=1e-5, err_msg=f"{case} {key}"
            )


@pytest.mark.parametrize("model, head", own_models.CASES[:4])
def test_one_device_learns(model, head):
    loss = _single(model, head)["loss"]
    assert loss[1] < loss[0]
    assert _single(model, head)["val_nDCG@3"][1] > 0


@pytest.mark.slow
def test_mirrored(tmp_path):
    _assert_single(_trained(tmp_path, "mirrored", ["sequential"]))


# Name: strategy, launcher's words.
STRATEGIES = {
    "one_device": ("one_device", ()),
    "mirrored x2": ("mirrored", ()),
    "central_storage x2": ("central_storage", ()),
    "multi_worker x2": ("multi_worker", ["--workers=2"]),
    "parameter_server, 1 worker": (
        "parameter_server",
        ["--workers=1", "--ps=1"],
    ),
}


@pytest.mark.strategy_table
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_makes_the_same(name, tmp_path):
    strategy, launcher = STRATEGIES[name]
    models = list(own_models.MODELS)
    _assert_single(_trained(tmp_path, strategy, models, launcher))


@pytest.mark.strategy_table
def test_two_workers_of_a_parameter_server(tmp_path):
    """Each batch is trained on once: of weights that batches do not share."""
    models = list(own_models.MODELS)
    words = ["--workers=2", "--ps=1"]
    cases = _trained(tmp_path, "parameter_server", models, words)
    _assert_single({k: v for k, v in cases.items() if k[0] == "alone"})
    for values in cases.values():
        assert values["loss"][1] < values["loss"][0]


# --- TPU ----------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:To make it possible")
@pytest.mark.parametrize("model, head", own_models.CASES[:4])
def test_steps_compile_for_a_tpu(model, head, xla_device):
    metrics = [tfxml.metrics.PrecisionAtK(1)]
    with trace._tpu() as strategy:
        dataset = own_models.batches(shuffle=False)
        if model == "sequential":
            dataset = own_models.dense(dataset)
        dataset = dataset.unbatch().batch(
            own_models.BATCH_SIZE, drop_remainder=True
        )
        with strategy.scope():
            made = own_models.MODELS[model](head)
        trainer = tfxml.Trainer(made, strategy=strategy, metrics=metrics)
        loop = trainer._loop_for(dataset)
        for step in (loop.train_step, loop.sums):
            batches = strategy.experimental_distribute_dataset(dataset)

            @tf.function
            def run(step=step, batches=batches):
                return step(next(iter(batches)))

            assert not trace._faults(run.get_concrete_function(), xla_device)


xla_device = trace.xla_device


# --- Keras' own loop ----------------------------------------------------


def _keras_fit(head, strategy):
    with strategy.scope():
        made = own_models.sequential(head)
        made.compile("adam", tfxml.losses.SparseSigmoidCrossEntropy())
    made.fit(own_models.dense(own_models.batches()), verbose=0)


def test_keras_fit_under_central_storage_is_refused():
    strategy = tf.distribute.experimental.CentralStorageStrategy(
        ["CPU:0", "CPU:1"], "CPU:0"
    )
    with pytest.raises(RuntimeError, match="tfxml.Trainer"):
        _keras_fit("sigmoid", strategy)


@pytest.mark.strategy_table
@pytest.mark.parametrize("state", ["built", "unbuilt"])
@pytest.mark.parametrize(
    "strategy, launcher",
    [
        ("multi_worker", ["--workers=2"]),
        ("parameter_server", ["--workers=1", "--ps=1"]),
    ],
)
def test_keras_fit_fails_and_the_trainer_is_named(strategy, launcher, state):
    words = runs.command("tests.own_models", strategy, "keras_fit", state)
    out = runs.run(runs.command("strategies.launch", *launcher, "--", *words))
    told = [line for line in out.splitlines() if "fit: " in line]
    assert len(told) == (2 if strategy == "multi_worker" else 1)
    for line in told:
        assert "error is None=False" in line
        assert "`model.fit` fails under" in line
        assert "`tfxml.Trainer(model, loss, optimizer, strategy)" in line


def _keras_fit_of_a_table(optimizer):
    """Returns a table that Keras' own `fit` has trained, and warnings of it.

    Rows 1 and 2 occur several times in the batch.
    """
    ids = np.array([[1, 1, 2], [2, 1, 1]], np.int32)
    batches = tf.data.Dataset.from_tensors((ids, np.array([[0], [1]])))
    keras.utils.set_random_seed(0)
    table = keras.layers.Embedding(5, 4)
    pool = keras.layers.GlobalAveragePooling1D()
    rows = keras.Input((3,), dtype="int32")
    head = tfxml.heads.SigmoidHead(3)
    made = keras.Sequential([rows, table, pool, head])
    loss = tfxml.losses.SparseSigmoidCrossEntropy()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if optimizer is None:
            optimizer = keras.optimizers.Adam(0.1)
            tfxml.Trainer(made, loss, optimizer).fit(batches, 3, verbose=0)
        else:
            made.compile(optimizer, loss)
            made.fit(batches, epochs=3, verbose=0)
    words = [str(one.message) for one in told]
    return table.get_weights()[0], [one for one in words if "Trainer" in one]


def test_keras_fit_tells_of_rows_that_its_optimizer_counts_wrongly():
    wanted, told = _keras_fit_of_a_table(None)
    assert not told
    table, told = _keras_fit_of_a_table(keras.optimizers.Adam(0.1))
    assert np.abs(table - wanted).max() > 0.01  # silently, but for the warning
    assert told and all("Adam of Keras moves the rows" in one for one in told)
    table, told = _keras_fit_of_a_table(tfxml.optimizers.Adam(0.1))
    assert not told
    np.testing.assert_allclose(table, wanted, atol=1e-5)
    assert not _keras_fit_of_a_table(keras.optimizers.SGD(0.1))[1]
    assert _keras_fit_of_a_table(keras.optimizers.SGD(0.1, clipnorm=1.0))[1]


@pytest.mark.parametrize("head", own_models.HEADS)
def test_a_head_built_where_keras_fails_names_the_trainer(head, monkeypatch):
    """A cluster of its own is not needed to ask which strategy there is."""
    kind = type(tf.distribute.get_strategy())
    monkeypatch.setattr(keras_strategies, "_BROKEN", (kind,))
    layer = own_models.HEADS[head]()
    with pytest.warns(UserWarning, match="train with `tfxml.Trainer"):
        layer(np.ones((2, 3), np.float32))
    made = keras.Sequential([own_models.HEADS[head]()])
    dataset = own_models.dense(own_models.batches())
    tfxml.Trainer(made).fit(dataset, verbose=0)
