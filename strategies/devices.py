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
    devices = []
    for name in names:
        match = _DEVICE.fullmatch(str(name))
        if match is None:
            raise strategy_errors.StrategyError(
                "devices", "like CPU:0 or GPU:1", names
            )
        devices.append(match[1].upper())
    if len(set(devices)) < len(devices):
        raise strategy_errors.StrategyError("devices", "all different", names)
    return devices


def local() -> list[str]:
    """Returns all GPUs, or all CPUs where there is no GPU."""
    logical_devices = tf.config.list_logical_devices("GPU")
    logical_devices = logical_devices or tf.config.list_logical_devices("CPU")
    return [shorten(device.name) for device in logical_devices]


def check_exist(names: Sequence[str]) -> None:
    """Raises for a device that this process does not have.

    TensorFlow accepts it silently and fails at the first operation.
    """
    available = [shorten(d.name) for d in tf.config.list_logical_devices()]
    if not set(names) <= set(available):
        needed = f"among those here, {', '.join(available)}"
        raise strategy_errors.StrategyError("devices", needed, list(names))


def shorten(name: str) -> str:
    """Returns `CPU:0` for /job:localhost/replica:0/task:0/device:CPU:0."""
    return name.rpartition("device:")[2]
