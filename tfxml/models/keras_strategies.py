"""Where Keras' own `fit` must not be used, and what to use instead."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from tfxml.models import dropout_seeds

_WRONG = (tf.distribute.experimental.CentralStorageStrategy,)
_BROKEN = (
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.ParameterServerStrategy,
)
_INSTEAD = (
    "`tfxml.Trainer(model, loss, optimizer, strategy).fit(dataset)`, which "
    "takes the same model and callbacks"
)


def check_loop() -> None:
    """Raises RuntimeError in a loop of Keras that is silently wrong.

    Losses call this. A loop written by hand may use them.
    """
    strategy = tf.distribute.get_strategy()
    is_shared = strategy.num_replicas_in_sync > 1
    if is_shared and isinstance(strategy, _WRONG) and _is_step_of_keras():
        raise RuntimeError(
            f"`model.fit` must not be used under {_name(strategy)}, where "
            f"Keras 3 counts losses and metrics wrongly. Use {_INSTEAD}"
        )


def check_counts() -> None:
    """Raises RuntimeError where variables of Keras lose counts.

    Metrics call this, which keep their sums in such variables.
    """
    strategy = tf.distribute.get_strategy()
    is_shared = strategy.num_replicas_in_sync > 1
    if isinstance(strategy, tf.distribute.ParameterServerStrategy) or (
        is_shared and isinstance(strategy, _WRONG)
    ):
        raise RuntimeError(
            f"`update_state` must not be called under {_name(strategy)}, where "
            "variables of Keras lose counts. Add up what `sums` returns, or "
            f"use {_INSTEAD}"
        )


def warn() -> None:
    """Warns under strategies where Keras fails before it calls anything."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, _BROKEN):
        warnings.warn(
            f"`model.fit` fails under {_name(strategy)}: train with {_INSTEAD}",
            stacklevel=3,
        )


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """Lets what `warn` says go unsaid: Keras' own loop is not used."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`model.fit` fails")
        yield


def warn_of_repeated_rows(layer: keras.layers.Layer) -> None:
    """Warns if Keras' optimizer is about to count rows of a table wrongly.

    Called by a layer of the model before it is called itself. Keras hands an
    optimizer the gradient of a looked-up table with a row as often as a batch
    has it, and all but plain SGD then move the row too far.
    """
    context = layer._get_call_context()
    model = context.entry_layer
    is_trained = context.get_value("training") and model is not layer
    if not is_trained or dropout_seeds.current() is not None:  # by `Trainer`
        return
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if optimizer is None or _is_right_for_repeats(optimizer):
        return
    tables = [one.name for one in model._flatten_layers() if _repeats_rows(one)]
    if tables:
        warnings.warn(
            f"{type(optimizer).__name__} of Keras moves the rows of "
            f"{', '.join(tables)} too far that occur several times in a batch: "
            "use one of `tfxml.optimizers`, or train with "
            f"{_INSTEAD}",
            stacklevel=3,
        )


def _is_step_of_keras() -> bool:
    """Tells whether Keras' own loop is traced, or may run without a graph."""
    if tf.executing_eagerly():
        return True
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        if "one_step_on_data" in getattr(graph, "name", ""):
            return True
        graph = getattr(graph, "outer_graph", None)
    return False


def _is_right_for_repeats(optimizer: Any) -> bool:
    """Tells whether an optimizer sums a row's gradients, or needs no sum."""
    if getattr(optimizer, "sums_repeated_rows", False):
        return True
    is_clipped = (
        optimizer.clipnorm or optimizer.clipvalue or optimizer.global_clipnorm
    )
    return type(optimizer) is keras.optimizers.SGD and not is_clipped


def _repeats_rows(layer: Any) -> bool:
    """Tells whether the gradient of a layer's table may repeat rows."""
    if isinstance(layer, keras.layers.Embedding):
        return bool(layer.trainable)
    return getattr(layer, "repeats_rows", False) and bool(layer.trainable)


def _name(strategy: tf.distribute.Strategy) -> str:
    return type(strategy).__name__.removesuffix("V1").removesuffix("V2")
