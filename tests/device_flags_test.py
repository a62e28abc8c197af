"""Flags that say where a run happens: what is wrong is said in their words."""

import json

import pytest

from strategies import strategy_errors
from tfxml.run import device_flags


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
