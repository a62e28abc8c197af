"""How many bytes of a run lie on each device before its first step."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import tensorflow as tf

from tfxml.models import device_scope


def describe(
    weights: Iterable[tf.Variable], state: Iterable[tf.Variable]
) -> str:
    """Returns a line for each device.

    Args:
        weights: of the model.
        state: what training keeps beside them, such as Adam's moments.
    """
    bytes_of = [_bytes_by_device(weights), _bytes_by_device(state)]
    lines = [
        f"memory    {device}: {_in_words(bytes_of[0].get(device, 0))} of "
        f"weights, {_in_words(bytes_of[1].get(device, 0))} of training state"
        for device in sorted({*bytes_of[0], *bytes_of[1]})
    ]
    return "\n".join(lines)


def _bytes_by_device(variables: Iterable[tf.Variable]) -> dict[str, int]:
    """Returns the bytes of variables, each copy counted where it lies."""
    total: dict[str, int] = {}
    for variable in variables:
        for copy in device_scope.copies_of(variable):
            device = _short(copy.device)
            size = math.prod(copy.shape) * copy.dtype.size
            total[device] = total.get(device, 0) + size
    return total


def _short(name: str) -> str:
    """Returns `GPU:0`, or `ps:1 CPU:0` for the device of another task."""
    device = name.rpartition("device:")[2]
    task = re.match(r"/job:(\w+)/replica:\d+/task:(\d+)/", name)
    if task is None or task[1] == "localhost":
        return device
    return f"{task[1]}:{task[2]} {device}"


def _in_words(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size:,} bytes"
