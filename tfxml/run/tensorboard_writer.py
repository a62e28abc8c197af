"""Metrics for TensorBoard, which must be installed."""

from __future__ import annotations

import importlib.util
import pathlib

import tensorflow as tf


class Writer:
    """Writes the metrics of evaluations as scalars.

    Args:
        folder: of the event files.

    Raises:
        ValueError: if the package `tensorboard` is missing; TensorFlow 2.21
            writes no summary without it.
    """

    def __init__(self, folder: pathlib.Path):
        if importlib.util.find_spec("tensorboard") is None:
            raise ValueError(
                "--tensorboard needs the package tensorboard: "
                "pip install 'tfxml[tensorboard]'"
            )
        self._writer = tf.summary.create_file_writer(str(folder))

    def write(self, entry: dict[str, float]) -> None:
        """Writes the metrics of an evaluation at its step."""
        with self._writer.as_default():
            for name, value in entry.items():
                if name != "step":
                    tf.summary.scalar(name, value, step=entry["step"])
        self._writer.flush()
