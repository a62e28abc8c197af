"""Seeds of dropout: functions of the step, the same under every strategy."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

# Replicas of one process run in threads, each with a context of its own.
_given: contextvars.ContextVar[tf.Tensor | None] = contextvars.ContextVar(
    "dropout_seed", default=None
)


def of_step(seed: int | tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Returns a seed, [2] int32, that no other step or replica has.

    In a replica's context.
    """
    return of_replica(
        tf.stack([tf.cast(seed, tf.int32), tf.cast(step, tf.int32)])
    )


def of_replica(seed: tf.Tensor) -> tf.Tensor:
    """Returns a seed [2] int32 for this replica alone, of one for all."""
    replica = tf.distribute.get_replica_context()
    return tf.random.experimental.stateless_fold_in(
        seed, replica.replica_id_in_sync_group
    )


@contextlib.contextmanager
def given(seed: tf.Tensor) -> Iterator[None]:
    """Gives encoders inside of any Keras model their seed while it is called.

    Keras' layers hand no argument of the loop on to each other.
    """
    token = _given.set(seed)
    try:
        yield
    finally:
        _given.reset(token)


def current() -> tf.Tensor | None:
    """Returns the seed that is given now, [2] int32; None: there is none."""
    return _given.get()
