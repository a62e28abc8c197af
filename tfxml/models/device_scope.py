"""The device of a layer, if it has one of its own."""

from __future__ import annotations

import contextlib

import tensorflow as tf


def on(device: str | None) -> contextlib.AbstractContextManager:
    """Returns a scope of the device; None keeps the current device.

    `tf.device(None)` would drop the device of the replica.
    """
    return contextlib.nullcontext() if device is None else tf.device(device)
