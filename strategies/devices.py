"""The CPUs and GPUs of this process, as `CPU:0` and `GPU:1`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import tensorflow as tf

from strategies import strategy_errors

_DEVICE = re.compile(r"(?:/?device:|/)?((?:CPU|GPU):[0-9]+)", re.IGNORECASE)


def parse(names: Sequence[str]) -> list[str]:
    """Returns the devices as TensorFlow lists them, all different."""
    if isinstance(names, str) or not names:
        raise strategy_errors.StrategyError(
            "devices", "a list like GPU:0", names
        )
    found = []
    for name in names:
        match = _DEVICE.fullmatch(str(name))
        if match is None:
            raise strategy_errors.StrategyError(
                "devices", "like CPU:0 or GPU:1", names
            )
        found.append(match[1].upper())
    if len(set(found)) < len(found):
        raise strategy_errors.StrategyError("devices", "all different", names)
    return found


def local() -> list[str]:
    """Returns all GPUs, or all CPUs where there is no GPU."""
    found = tf.config.list_logical_devices("GPU")
    found = found or tf.config.list_logical_devices("CPU")
    return [shorten(device.name) for device in found]


def check_exist(names: Sequence[str]) -> None:
    """Raises for a device that is not here.

    TensorFlow takes it silently and fails at the first operation.
    """
    there = [shorten(d.name) for d in tf.config.list_logical_devices()]
    if not set(names) <= set(there):
        needed = f"among those here, {', '.join(there)}"
        raise strategy_errors.StrategyError("devices", needed, list(names))


def shorten(name: str) -> str:
    """Returns `CPU:0` for /job:localhost/replica:0/task:0/device:CPU:0."""
    return name.rpartition("device:")[2]
