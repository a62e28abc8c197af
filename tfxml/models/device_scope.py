"""Where a part of the model lies, and the scopes that put it there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfxml.models import sites


def creating(place: sites.Place | None) -> contextlib.AbstractContextManager:
    """Returns a scope whose variables lie at a place; None: where they would.

    The innermost scope counts. Slots of optimizers lie with their variables.
    """
    if place is None:
        return contextlib.nullcontext()
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        return tf.device(place.devices[0])

    def creator(next_creator, **kwargs):
        kwargs.setdefault("colocate_with", place)
        return next_creator(**kwargs)

    return tf.variable_creator_scope(creator)


def computing(place: sites.Place | None) -> contextlib.AbstractContextManager:
    """Returns a scope of the place's device for the current replica.

    None keeps the current device: `tf.device(None)` would drop that of the
    replica.
    """
    if place is None:
        return contextlib.nullcontext()
    replica = tf.distribute.get_replica_context()
    number = 0
    if replica is not None and len(place.devices) > 1:
        number = int(tf.get_static_value(replica.replica_id_in_sync_group))
    return tf.device(place.devices[number])


def readable(variable: keras.Variable) -> tf.Variable:
    """Returns what a replica reads: its copy, or the one that all share."""
    return (
        copies_of(variable.value)[0] if is_shared(variable) else variable.value
    )


def is_shared(variable: keras.Variable) -> bool:
    """Tells whether the replicas of this process share one copy of a variable.

    Of several workers with a device each, each has a copy of its own.
    """
    value = variable.value
    return (
        isinstance(value, tf.distribute.DistributedValues)
        and len(value.values) == 1
        and len(tf.distribute.get_strategy().extended.worker_devices) > 1
    )


def copies_of(variable: tf.Variable) -> Sequence[tf.Variable]:
    """Returns the copies of a variable, one per device."""
    return getattr(variable, "values", (variable,))
