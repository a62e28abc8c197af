"""On a GPU: weights, metrics and answers are those of the CPU.

Skipped where there is none. `conftest` makes two logical GPUs of the first, so
that replicas and models spread over GPUs are tried with one card.
"""

import numpy as np
import pytest
import runs
import tensorflow as tf

import strategies
from tfxml import config as config_lib
from tfxml import evaluate
from tfxml.data import requests
from tfxml.run import placement, restore, tensorflow_start, train_and_evaluate
from tfxml.run import request_predictor as predictor_lib

pytestmark = pytest.mark.skipif(
    not tf.config.list_physical_devices("GPU"), reason="there is no GPU"
)
TINY = config_lib.Config(
    synthetic_labels=60,
    synthetic_train=330,
    synthetic_test=90,
    hidden_units=(16,),
    dropout=0.0,
    batch_size=63,
    num_epochs=2,
    steps_per_loop=4,
    epsilon=1e-3,
    table_shards=2,
    label_block_size=15,
)
MODELS = {
    "sigmoid": {},
    "sigmoid-dense": {"form": "dense"},
    "mach": {"head": "mach", "num_repetitions": 4, "num_buckets": 20},
    "cornet": {"head": "cornet"},
    "reranked": {"reranker_passes": 3, "num_candidates": 20},
}
TWO = ["GPU:0", "GPU:1"]
# NCCL does not join two logical devices of one card.
COPIES = strategies.Communication(reduction="hierarchical_copy")
STRATEGIES = {
    "one_device": {"name": "one_device", "devices": ["GPU:0"]},
    "mirrored": {"name": "mirrored", "devices": TWO, "communication": COPIES},
    "central_storage": {"name": "central_storage", "devices": TWO},
}
LAYOUTS = {
    "width": placement.Placement(devices=tuple(TWO)),
    "layers": placement.Placement(devices=tuple(TWO), partition="layers"),
}


def _train(path, config, strategy, where=placement.EVERYWHERE):
    metrics = train_and_evaluate.train(
        config, str(path), strategy=strategy, placement=where
    )
    return metrics, runs.tensors(path, "model/")


@pytest.fixture(scope="session")
def on_the_cpu(tmp_path_factory):
    """Returns a function from a model's name to its metrics and weights."""
    ended = {}

    def result(name):
        if name not in ended:
            path = tmp_path_factory.mktemp("cpu") / "run"
            strategy = strategies.create("one_device", devices=["CPU:0"])
            config = TINY.replace(**MODELS[name])
            ended[name] = (*_train(path, config, strategy), path)
        return ended[name]

    return result


def _assert_same(found, wanted):
    metrics, weights = found
    runs.assert_near(weights, wanted[1], atol=1e-5)
    assert metrics == pytest.approx(wanted[0], abs=1e-9)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", MODELS)
def test_strategies_train_the_same_weights(
    name, strategy, tmp_path, on_the_cpu
):
    made = strategies.create(**STRATEGIES[strategy])
    config = TINY.replace(**MODELS[name])
    found = _train(tmp_path / "run", config, made)
    _assert_same(found, on_the_cpu(name))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["sigmoid", "mach"])
def test_layouts_train_the_same_weights(name, layout, tmp_path, on_the_cpu):
    config = TINY.replace(**MODELS[name])
    strategy = tf.distribute.get_strategy()
    found = _train(tmp_path / "run", config, strategy, LAYOUTS[layout])
    _assert_same(found, on_the_cpu(name))


@pytest.mark.parametrize("name", ["sigmoid", "mach", "reranked"])
def test_a_run_of_the_cpu_answers_the_same(name, on_the_cpu):
    metrics, _, path = on_the_cpu(name)
    found = evaluate.evaluate(str(path)).result()
    assert found == pytest.approx(metrics, abs=1e-9)
    run = restore.restore(str(path), tf.distribute.get_strategy())
    ones = np.ones(2, np.float32)
    rows = [
        requests.Request(None, np.array([i, i + 7]), ones, 0) for i in range(20)
    ]
    answers = [
        predictor_lib.RequestPredictor(run, 5, runtime).predict(rows)
        for runtime in ("tensorflow", "cpu")
    ]
    for one, other in zip(*answers, strict=True):
        assert one["label_ids"] == other["label_ids"]
        np.testing.assert_allclose(one["scores"], other["scores"], atol=1e-6)


def test_matrices_are_multiplied_in_float32():
    """TensorFloat-32 has ten bits of mantissa: errors of 1e-3."""
    tensorflow_start.quietly()
    factors = np.random.default_rng(0).normal(size=(2, 256, 256))
    with tf.device("GPU:0"):
        found = tf.matmul(*tf.constant(factors, tf.float32))
    np.testing.assert_allclose(found, factors[0] @ factors[1], atol=1e-4)
