"""Which parts of a training step compiled loops take, in TensorFlow's graph."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfxml.models import extreme_classifier
from tfxml.models.losses import fused
from tfxml.training import (
    host_losses,
    host_tables,
    lazy_optimizers,
    optimizers,
)


def create(
    model: extreme_classifier.ExtremeClassifier,
    optimizer: keras.optimizers.Optimizer | optimizers.ByLayer,
    strategy: tf.distribute.Strategy,
    has_averages: bool = False,
) -> HostSteps | None:
    """Returns what compiled loops do for a model; None: nothing.

    They work on a CPU and without a strategy. They take the steps of tables if
    rows are multiplied by the few rows of a table that a batch has and lazy
    Adam updates these, unless averages of the weights read the tables too.
    """
    with tf.init_scope():  # outside of any strategy
        default_strategy = tf.distribute.get_strategy()
    devices = {weight.value.device for weight in model.trainable_variables}
    if type(strategy) is not type(default_strategy) or not all(
        device.endswith("CPU:0") for device in devices
    ):
        return None
    if isinstance(optimizer, optimizers.ByLayer):
        optimizer = optimizer.others
    has_tables = (
        model.form == "compact"
        and isinstance(optimizer, lazy_optimizers.LazyAdam)
        and not has_averages
    )
    return HostSteps(host_tables.HostTables() if has_tables else None)


class HostSteps:
    """Lets compiled loops take the steps that are traced inside `used`.

    Args:
        tables: what takes the steps of tables; None: TensorFlow.
    """

    def __init__(self, tables: host_tables.HostTables | None):
        self.tables = tables
        self._losses = host_losses.create()

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """While a step is traced."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(fused.computed_by(self._losses))
            if self.tables is not None:
                stack.enter_context(self.tables.used())
            yield
