"""Sums of gradients, over replicas and over repeated rows.

Keras 3 hands an `IndexedSlices` with repeated indices to its optimizers as it
is, and clips before gradients are summed over replicas; both give other
weights than a dense gradient on one device. Here gradients are first summed
over replicas, then over repeated indices, then clipped. Where shapes are
static, as a TPU needs them, the sum is dense.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

# A gradient: a tensor, or the rows of a table that it reaches.
Gradient: TypeAlias = tf.Tensor | tf.IndexedSlices


class SummedGradients(keras.optimizers.Optimizer):
    """Sums an optimizer's gradients over replicas and rows before all else.

    A base beside one of Keras' optimizers, named before it.
    """

    # Which variables' gradients reach only some rows.
    _tables: frozenset[int] = frozenset()

    def apply(
        self,
        grads: Sequence[Gradient],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Moves the variables by gradients of this replica."""
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        self._tables = frozenset(
            self._get_variable_index(variable)
            for gradient, variable in zip(
                grads, trainable_variables, strict=True
            )
            if isinstance(gradient, tf.IndexedSlices)
        )
        pairs = [
            (dense_if_static(gradient), variable)
            for gradient, variable in zip(
                grads, trainable_variables, strict=True
            )
        ]
        # A worker of parameter servers has no one to add up with.
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            pairs = super()._all_reduce_sum_gradients(pairs)
        grads = [sum_repeated_rows(gradient) for gradient, _ in pairs]
        super().apply(grads, [variable for _, variable in pairs])

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # done before clipping


def sum_repeated_rows(gradient: Gradient) -> Gradient:
    """Returns the gradient with each row once; dense ones as they are."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.cond(
        # A compact batch on one replica repeats no row: nothing to add up.
        tf.equal(tf.size(rows), tf.size(gradient.indices)),
        lambda: gradient.values,
        lambda: tf.math.unsorted_segment_sum(
            gradient.values, places, tf.size(rows)
        ),
    )
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def dense_if_static(gradient: Gradient) -> Gradient:
    """Returns a gradient dense if its shape is known while a graph is made.

    No shape should follow from values there, as the number of distinct rows
    does: a TPU could not compile it (and what it sums over its replicas is
    dense anyhow).
    """
    if (
        isinstance(gradient, tf.IndexedSlices)
        and gradient.indices.shape.is_fully_defined()
        and not tf.executing_eagerly()
    ):
        return tf.convert_to_tensor(gradient)
    return gradient


def summed_outside(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer that leaves the sum over replicas to its caller.

    For `apply_summed`. Keras' optimizers sum over replicas after they have
    clipped, and give another result than one device; here the sum comes first.
    """
    optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    return optimizer


def apply_summed(
    optimizer: keras.optimizers.Optimizer, grads_and_vars: list[tuple]
) -> None:
    """Applies gradients summed over replicas and over repeated rows.

    In a replica's context. Each worker of parameter servers is alone.

    Args:
        optimizer: what `summed_outside` returned.
        grads_and_vars: pairs of a gradient and its variable.
    """
    pairs = [
        (dense_if_static(gradient), variable)
        for gradient, variable in grads_and_vars
    ]
    replica = tf.distribute.get_replica_context()
    values = [gradient for gradient, _ in pairs]
    if replica.num_replicas_in_sync > 1 and not isinstance(
        tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy
    ):
        values = replica.all_reduce(tf.distribute.ReduceOp.SUM, values)
    optimizer.apply(
        [sum_repeated_rows(value) for value in values],
        [variable for _, variable in pairs],
    )
