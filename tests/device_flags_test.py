"""Flags that say where a run happens: what is wrong is said in their words."""

import json

import pytest
import tensorflow as tf

from strategies import strategy_errors
from tfxml.run import device_flags, tensorflow_start


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"strategy": "none"}, "`--strategy` must be one of"),
        ({"strategy": "one_device", "devices": ("GPU:77",)}, "`--devices`"),
        ({"tpu": "grpc://x"}, "`--tpu` must be"),
        ({"tpu": "not a name"}, "`--tpu` must be"),
        ({"connect_seconds": float("nan")}, "`--connect_seconds` must be"),
    ],
)
def test_the_flag_is_named(words, named):
    with pytest.raises(strategy_errors.StrategyError, match=named):
        device_flags.Launch(**words).make_strategy()


def test_workers_without_a_strategy(monkeypatch):
    tasks = {"worker": ["a:1", "b:1"]}
    value = {"cluster": tasks, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(value))
    with pytest.raises(
        strategy_errors.StrategyError,
        match="`--strategy` must be multi_worker or auto for 2 workers",
    ):
        device_flags.Launch().make_strategy()


@pytest.fixture
def tf32():
    """Returns TensorFlow's switches of TensorFloat-32; off at the end."""
    switches = tf.config.experimental
    yield switches
    switches.enable_tensor_float_32_execution(False)


def test_tensor_float_32_is_off_until_it_is_asked_for(tf32):
    tensorflow_start.turn_off_tensor_float_32.cache_clear()
    tf32.enable_tensor_float_32_execution(True)
    tensorflow_start.quietly()
    assert not tf32.tensor_float_32_execution_enabled()
    device_flags.Launch(tensor_float_32=True).make_strategy()
    tensorflow_start.quietly()
    assert tf32.tensor_float_32_execution_enabled()
