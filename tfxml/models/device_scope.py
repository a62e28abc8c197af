"""Where a layer lies, if it was told."""

from __future__ import annotations

import contextlib

import tensorflow as tf


def on(device: str | None) -> contextlib.AbstractContextManager:
    """Returns a scope of the device; None leaves it to those around.

    `tf.device(None)` would not: it forgets the device of the replica.
    """
    return contextlib.nullcontext() if device is None else tf.device(device)
