"""Under which strategies Keras' own `fit` must not be used."""

from __future__ import annotations

import warnings

import tensorflow as tf

_WRONG = (tf.distribute.experimental.CentralStorageStrategy,)
_BROKEN = (
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.ParameterServerStrategy,
)
_INSTEAD = (
    "`tfxml.Trainer(model, loss, optimizer, strategy).fit(dataset)`, which "
    "takes the same model and callbacks"
)


def check() -> None:
    """Raises RuntimeError in a loop of Keras that is broken or silently wrong.

    What Keras calls in its loop calls this: losses and metrics.
    """
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        return
    if isinstance(strategy, (*_WRONG, *_BROKEN)):
        raise RuntimeError(
            f"`model.fit` must not be used under {_name(strategy)}, which "
            f"Keras 3 computes wrongly or not at all. Use {_INSTEAD}"
        )


def warn() -> None:
    """Warns under strategies where Keras fails before it calls anything."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, _BROKEN):
        warnings.warn(
            f"`model.fit` fails under {_name(strategy)}: train with {_INSTEAD}",
            stacklevel=3,
        )


def _name(strategy: tf.distribute.Strategy) -> str:
    return type(strategy).__name__.removesuffix("V1").removesuffix("V2")
