"""Seeds of dropout: functions of the step, the same under every strategy."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

# Replicas of one process run in threads, each with its own context.
_current_seed: contextvars.ContextVar[tf.Tensor | None] = (
    contextvars.ContextVar("dropout_seed", default=None)
)


def of_step(seed: int | tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """Returns a seed, [2] int32, that no other step or replica has.

    Call it in a replica's context.
    """
    return of_replica(
        tf.stack([tf.cast(seed, tf.int32), tf.cast(step, tf.int32)])
    )


def of_replica(seed: tf.Tensor) -> tf.Tensor:
    """Returns this replica's own seed, [2] int32, from a shared one."""
    replica = tf.distribute.get_replica_context()
    return tf.random.experimental.stateless_fold_in(
        seed, replica.replica_id_in_sync_group
    )


@contextlib.contextmanager
def given(seed: tf.Tensor | None) -> Iterator[None]:
    """Sets the seed of encoders inside any Keras model while it is called.

    Keras' layers do not pass on arguments of the training loop.
    """
    token = _current_seed.set(seed)
    try:
        yield
    finally:
        _current_seed.reset(token)


def current() -> tf.Tensor | None:
    """Returns the seed set by `given`, [2] int32; None: there is none."""
    return _current_seed.get()
