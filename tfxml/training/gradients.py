"""Sums gradients over replicas and over repeated rows, before optimizers step.

Keras 3 passes an `IndexedSlices` with repeated indices on to its optimizers,
and clips before gradients are summed over replicas. Both give other weights
than a dense gradient on one device. Here gradients are first summed over
replicas, then over repeated indices, then clipped. Where shapes are static, as
a TPU needs them, the sum is dense.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from tfxml.training import replica_sums

# A gradient: a tensor, or the rows of a table that it reaches.
Gradient: TypeAlias = replica_sums.Gradient


@dataclasses.dataclass(frozen=True)
class Penalties:
    """What holds weights small, beside the loss.

    Biases are left alone: only weights of two dimensions and more are held.

    Attributes:
        weight_decay: times the learning rate, the share that each step takes
            off (Loshchilov and Hutter, ICLR 2019). With SGD it is an L2
            penalty of half the size.
        l1: the strength of an L1 penalty. Steps are proximal: a weight that
            would cross 0 stays there.
        max_norm: the largest length of a row of a matrix; 0: any.
    """

    weight_decay: float = 0.0
    l1: float = 0.0
    max_norm: float = 0.0

    def applied(self, weights: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """Returns weights after L1 and the largest norm."""
        if self.l1:
            kept = tf.nn.relu(tf.abs(weights) - rate * self.l1)
            weights = tf.sign(weights) * kept
        if self.max_norm:
            weights = tf.clip_by_norm(weights, self.max_norm, axes=[-1])
        return weights


class SummedGradients(keras.optimizers.Optimizer):
    """A mix-in that sums gradients over replicas and rows first.

    It must come before one of Keras' optimizers in the list of bases.
    """

    sums_repeated_rows = True
    # Whether replicas gather rows of gradients; known once a step is traced.
    gathers_rows = False
    # Indices of the variables whose gradients are sparse.
    _tables: frozenset[int] = frozenset()
    penalties = Penalties()

    def apply(
        self,
        grads: Sequence[Gradient],
        trainable_variables: Sequence[keras.Variable] | None = None,
    ) -> None:
        """Updates the variables by this replica's gradients."""
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        if not self.built:  # as Keras' `fit` leaves it
            with tf.init_scope():
                self.build(trainable_variables)
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
        # A worker of parameter servers updates them by itself.
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            self.gathers_rows = any(
                isinstance(gradient, tf.IndexedSlices) for gradient, _ in pairs
            )
            pairs = self._summed_over_replicas(pairs)
        grads = [sum_repeated_rows(gradient) for gradient, _ in pairs]
        super().apply(grads, [variable for _, variable in pairs])

    def _summed_over_replicas(self, pairs: list[tuple]) -> list[tuple]:
        """Returns pairs of a variable and the sum of its gradients.

        The strategy's collectives sum what lies on the replicas' own devices:
        for other devices they would have to be ordered. What replicas share has
        a single gradient, of all their rows.
        """
        kinds = [replica_sums.kind_of(variable) for _, variable in pairs]
        groups = {
            kind: [
                pair
                for pair, its_kind in zip(pairs, kinds, strict=True)
                if its_kind == kind
            ]
            for kind in ("own", "elsewhere", "shared")
        }
        own, elsewhere = groups["own"], groups["elsewhere"]
        if own:
            filled = [(replica_sums.filled(pair[0]), pair[1]) for pair in own]
            groups["own"] = [
                (replica_sums.without_filling(value), weight)
                for value, weight in super()._all_reduce_sum_gradients(filled)
            ]
        if elsewhere:
            groups["elsewhere"] = replica_sums.copied_and_summed(elsewhere)
        left = {kind: iter(group) for kind, group in groups.items()}
        return [next(left[kind]) for kind in kinds]

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # done before clipping

    def _distributed_tf_update_step(
        self, distribution, grads_and_vars, learning_rate
    ):
        """Takes Keras' step, and then what the penalties say."""
        super()._distributed_tf_update_step(
            distribution, grads_and_vars, learning_rate
        )
        penalties = self.penalties
        if not (penalties.l1 or penalties.max_norm):
            return

        def hold(variable, rate):
            weights = tf.convert_to_tensor(variable)
            rate = tf.cast(rate, weights.dtype)
            variable.assign(penalties.applied(weights, rate))

        for _, variable in grads_and_vars:
            if len(variable.shape) >= 2:
                distribution.extended.update(
                    variable, hold, args=(learning_rate,), group=False
                )


def sum_repeated_rows(gradient: Gradient) -> Gradient:
    """Returns a gradient with each row once; a dense one unchanged."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, row_numbers = tf.unique(gradient.indices)
    values = tf.cond(
        # A compact batch on one replica repeats no row: skip the sum.
        tf.equal(tf.size(rows), tf.size(gradient.indices)),
        lambda: gradient.values,
        lambda: tf.math.unsorted_segment_sum(
            gradient.values, row_numbers, tf.size(rows)
        ),
    )
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def dense_if_static(gradient: Gradient) -> Gradient:
    """Returns a gradient densely if its shape is known while tracing.

    The graph may then be for a TPU, which cannot compile shapes that depend on
    values, such as the number of distinct rows; and it sums dense gradients
    over its replicas anyway.
    """
    if (
        isinstance(gradient, tf.IndexedSlices)
        and gradient.indices.shape.is_fully_defined()
        and not tf.executing_eagerly()
    ):
        return tf.convert_to_tensor(gradient)
    return gradient


def added(one: tuple[list, tf.Tensor], other: tuple[list, tf.Tensor]) -> tuple:
    """Returns the sums of two lists of gradients, and of their losses."""
    return [_sum(*pair) for pair in zip(one[0], other[0], strict=True)], one[
        1
    ] + other[1]


def _sum(one: Gradient, other: Gradient) -> Gradient:
    if not isinstance(one, tf.IndexedSlices):
        return one + other
    # Rows that both have are summed with all others, before the step.
    return tf.IndexedSlices(
        tf.concat([one.values, other.values], axis=0),
        tf.concat([one.indices, other.indices], axis=0),
        one.dense_shape,
    )


def summed_outside(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """Returns an optimizer that leaves the sum over replicas to its caller.

    For `apply_summed`.
    """
    optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    return optimizer


def apply_summed(
    optimizer: keras.optimizers.Optimizer, grads_and_vars: list[tuple]
) -> None:
    """Applies gradients summed over replicas and over repeated rows.

    Called in a replica's context. Workers of parameter servers sum nothing.

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
        filled = list(map(replica_sums.filled, values))
        sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, filled)
        values = list(map(replica_sums.without_filling, sums))
    optimizer.apply(
        [sum_repeated_rows(value) for value in values],
        [variable for _, variable in pairs],
    )
