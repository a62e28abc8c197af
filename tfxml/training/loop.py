"""The synchronous loop: many steps inside one graph, over any strategy."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfxml.data import pipeline
from tfxml.models import classifier as classifier_lib

# N instances of a replica's batch


def new_step_counter() -> tf.Variable:
    """Returns the number of steps done; made inside the strategy's scope."""
    return tf.Variable(
        0,
        trainable=False,
        dtype=tf.int64,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name="step",
    )


def make_train_steps(
    strategy: tf.distribute.Strategy,
    model: classifier_lib.ExtremeClassifier,
    optimizer,
    step: tf.Variable,
    seed: int,
) -> Callable:
    """Returns a function (iterator, num_steps) -> the mean loss of a step.

    `num_steps` is a tensor, so that one graph serves every number of steps.
    """

    def replica_step(batch: pipeline.Batch):
        replica = tf.distribute.get_replica_context()
        # The one subtle line: each instance is divided by the true size of the
        # global batch, so that summing the gradients over replicas is exact
        # for uneven and even for empty shares.
        total = replica.all_reduce(
            tf.distribute.ReduceOp.SUM, tf.reduce_sum(batch.weights)
        )
        weights = batch.weights / tf.maximum(total, 1.0)
        dropout_seed = _dropout_seed(seed, step, replica)
        with tf.GradientTape() as tape:
            loss = model.loss_sum(
                batch.feature_ids,
                batch.feature_values,
                batch.label_ids,
                weights,
                dropout_seed,
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    @tf.function
    def train_steps(iterator, num_steps):
        total = tf.constant(0.0)
        for _ in tf.range(num_steps):
            loss = strategy.run(replica_step, args=(next(iterator),))
            total += strategy.reduce(
                tf.distribute.ReduceOp.SUM, loss, axis=None
            )
            step.assign_add(1)
        return total / tf.cast(num_steps, total.dtype)

    return train_steps


def _dropout_seed(seed: int, step, replica) -> tf.Tensor:
    """Returns a seed, [2] int32, that no other step or replica has."""
    seeds = tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])
    return tf.random.experimental.stateless_fold_in(
        seeds, replica.replica_id_in_sync_group
    )
