"""What one replica of a `Trainer` does with its share of a batch.

# N instances of the share, M metrics and the loss
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfxml.evaluation import keras_metrics
from tfxml.models import dropout_seeds, keras_losses, sparse_labels
from tfxml.training import gradients


@dataclasses.dataclass(frozen=True)
class Replica:
    """The model, and what it takes to train and to evaluate it.

    Attributes:
        strategy: which devices train.
        model: from a batch's inputs to logits.
        loss: of its logits.
        optimizer: one that leaves the sum over replicas to us, or makes it by
            itself; see `gradients`.
        metrics: what is summed beside the loss.
        seed: of the dropout of `BagEncoder`.
    """

    strategy: tf.distribute.Strategy
    model: keras.Model
    loss: keras.losses.Loss
    optimizer: keras.optimizers.Optimizer
    metrics: Sequence[keras_metrics.RankingMetric]
    seed: int

    def step(
        self, batch: tuple, step: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Trains on a replica's share of a batch; for `strategy.run`.

        Args:
            batch: the share.
            step: the number of the step; None: as many as the optimizer has
                made.

        Returns:
            The loss of the share over the weight of the global batch, and the
            weight of the share.
        """
        step = self.optimizer.iterations if step is None else step
        inputs, labels, weights = _unpacked(batch)
        total = tf.reduce_sum(weights)
        replica = tf.distribute.get_replica_context()
        global_total = total
        if replica.num_replicas_in_sync > 1:
            global_total = replica.all_reduce(tf.distribute.ReduceOp.SUM, total)
        weights = tf.math.divide_no_nan(weights, global_total)
        with tf.GradientTape() as tape:
            with dropout_seeds.given(dropout_seeds.of_step(self.seed, step)):
                logits = self.model(inputs, training=True)
            loss = self._loss_sum(labels, logits, weights)
            penalties = self.model.losses
            if penalties:
                loss += tf.add_n(penalties) / replica.num_replicas_in_sync
        variables = self.model.trainable_variables
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(
                tape.gradient(loss, variables), variables, strict=True
            )
            if gradient is not None or _warned(variable)
        ]
        self._build(variables)
        if isinstance(self.optimizer, gradients.SummedGradients):
            self.optimizer.apply(*zip(*pairs, strict=True))  # sums by itself
        else:
            gradients.apply_summed(self.optimizer, pairs)
        return loss, total

    def sums(self, batch: tuple) -> tf.Tensor:
        """Returns what a replica's share adds to loss and metrics, [M, 2]."""
        inputs, labels, weights = _unpacked(batch)
        logits = self.model(inputs, training=False)
        loss = self._loss_sum(labels, logits, weights)
        sums = [(loss, tf.reduce_sum(weights))]
        sums += [
            metric.sums(labels, logits, weights) for metric in self.metrics
        ]
        return tf.stack([tf.stack(pair) for pair in sums])

    def _loss_sum(self, labels, logits, weights) -> tf.Tensor:
        if isinstance(self.loss, keras_losses.SparseLoss):
            return self.loss.loss_sum(labels, logits, weights)
        losses = self.loss.call(labels, logits)
        losses = tf.reshape(losses, [tf.shape(losses)[0], -1])
        return tf.reduce_sum(weights * tf.reduce_mean(losses, axis=1))

    def _build(self, variables) -> None:
        """Makes the optimizer's variables, before a graph holds them."""
        if not self.optimizer.built:
            with tf.init_scope(), self.strategy.scope():
                self.optimizer.build(variables)


def _unpacked(batch) -> tuple:
    """Returns inputs, labels and weights [N] of a batch."""
    inputs, labels, *rest = batch
    weights = sparse_labels.row_weights(labels, rest[0] if rest else None)
    return inputs, labels, weights


def _warned(variable: keras.Variable) -> bool:
    """Warns of a weight without a gradient; returns False."""
    warnings.warn(
        f"the loss does not depend on {variable.path}, which stays as it is",
        stacklevel=2,
    )
    return False
