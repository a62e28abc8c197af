"""How gradients are summed over replicas, by where their variables lie."""

from __future__ import annotations

from typing import TypeAlias

import keras
import tensorflow as tf

from tfxml.models import device_scope

Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


def filled(gradient: Gradient) -> Gradient:
    """Returns a gradient of rows with at least one, of number -1 if need be.

    Where no replica reads a shard of a table, TensorFlow's gather of no rows
    from any replica would end the process.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    values, indices = tf.cond(
        tf.size(gradient.indices) > 0,
        lambda: (gradient.values, gradient.indices),
        lambda: (
            tf.zeros(
                tf.concat([[1], tf.shape(gradient.values)[1:]], 0),
                gradient.dtype,
            ),
            tf.constant([-1], gradient.indices.dtype),
        ),
    )
    row = gradient.values.shape[1:]
    values = tf.ensure_shape(values, tf.TensorShape([None]).concatenate(row))
    return tf.IndexedSlices(values, indices, gradient.dense_shape)


def without_filling(gradient: Gradient) -> Gradient:
    """Returns a gradient without the rows that `filled` adds."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    is_real = gradient.indices >= 0
    values, indices = tf.cond(
        tf.reduce_all(is_real),
        lambda: (gradient.values, gradient.indices),
        lambda: (
            tf.boolean_mask(gradient.values, is_real),
            tf.boolean_mask(gradient.indices, is_real),
        ),
    )
    return tf.IndexedSlices(values, indices, gradient.dense_shape)


def kind_of(variable: keras.Variable) -> str:
    """Tells where a variable lies: `own`, `elsewhere` or `shared`."""
    if device_scope.is_shared(variable):
        return "shared"
    devices = [copy.device for copy in device_scope.copies_of(variable.value)]
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MirroredStrategy) and tuple(
        devices
    ) != tuple(strategy.extended.worker_devices):
        return "elsewhere"
    return "own"


def copied_and_summed(pairs: list[tuple]) -> list[tuple]:
    """Returns pairs with gradients summed on the first replica's device."""
    reduction = tf.distribute.ReductionToOneDevice()

    def reduced(strategy, values):
        del strategy
        return [
            reduction.reduce(tf.distribute.ReduceOp.SUM, value, value)
            for value in values
        ]

    replica = tf.distribute.get_replica_context()
    sums = replica.merge_call(reduced, ([value for value, _ in pairs],))
    return [
        (value, variable)
        for value, (_, variable) in zip(sums, pairs, strict=True)
    ]
