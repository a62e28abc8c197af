"""The losses as `keras.losses.Loss`, for `model.compile`.

# N instances, L labels, R repetitions, B buckets, P labels of an instance
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import contract, keras_strategies, sparse_labels
from tfxml.models.losses import sigmoid_cross_entropy, softmax_cross_entropy


class SparseLoss(keras.losses.Loss):
    """A loss of logits and sparse labels, the mean over instances.

    The loss of an instance is the sum over its outputs; the mean is weighted:
    sum_i w_i loss_i / sum_i w_i.

    Args:
        head: whose logits they are. Only needed if the model changes the
            output of a `MachHead` before it reaches the loss.
        name: of the loss.
    """

    loss: contract.Loss

    def __init__(
        self, head: contract.Head | None = None, name: str | None = None
    ):
        super().__init__(name=name, reduction=None)
        keras_strategies.warn()
        self.head = head

    def __call__(
        self,
        y_true: Any,
        y_pred: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns the mean loss, a scalar.

        Args:
            y_true: label ids, ragged [N, (P)] or padded with -1 [N, P], or a
                `tf.SparseTensor` [N, L] that is nonzero at the labels.
            y_pred: logits of a `SigmoidHead` [N, L] or `MachHead` [N, R, B].
            sample_weight: [N], or None.
        """
        keras_strategies.check_loop()
        weights = sparse_labels.row_weights(y_true, sample_weight)
        total = tf.reduce_sum(weights)
        replica = tf.distribute.get_replica_context()
        if replica is not None and replica.num_replicas_in_sync > 1:
            # Keras adds the replicas' gradients up, so each instance is
            # divided by the weight of the global batch: exact for uneven
            # shares too, which Keras' own mean of means is not.
            total = replica.all_reduce(tf.distribute.ReduceOp.SUM, total)
        loss = self.loss_sum(y_true, y_pred, weights)
        return tf.math.divide_no_nan(loss, total)

    def loss_sum(
        self, y_true: Any, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar."""
        y_pred = _float32(y_pred)
        head = sparse_labels.head_of(y_pred, self.head)
        positives = sparse_labels.positives_of(y_true, weights)
        if head is not None:
            return head.logits_loss(self.loss, y_pred, positives, weights)
        if y_pred.shape.rank != 2:  # of shape inference, which has no head
            return tf.reduce_sum(y_pred)
        return self.loss.value(y_pred, positives, weights)

    def get_config(self) -> dict:
        """Returns the arguments of the constructor; a head is not kept."""
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="tfxml")
class SparseSigmoidCrossEntropy(SparseLoss):
    """Sigmoid cross-entropy of each label, or of each bucket, on its own.

    Args:
        head: see `SparseLoss`.
        label_weights: [L], how much each label counts; None: 1 each. They take
            the place of Keras' `class_weight`, which knows one class an
            instance. Not for a `MachHead`, whose labels share buckets.
        name: of the loss.
    """

    loss = sigmoid_cross_entropy.SigmoidCrossEntropy()

    def __init__(
        self,
        head: contract.Head | None = None,
        label_weights: Sequence[float] | None = None,
        name: str | None = None,
    ):
        super().__init__(head, name)
        self.label_weights = None
        if label_weights is not None:
            self.label_weights = np.asarray(label_weights, np.float32)

    def loss_sum(
        self, y_true: Any, y_pred: tf.Tensor, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar."""
        if self.label_weights is None:
            return super().loss_sum(y_true, y_pred, weights)
        shape = y_pred.shape
        if shape.rank != 2 or shape[1] != len(self.label_weights):
            raise ValueError(
                "`label_weights` must be of as many labels as a SigmoidHead "
                f"has, and None for a MachHead. Received: "
                f"{len(self.label_weights)} weights and logits of shape {shape}"
            )
        logits = tf.cast(y_pred, tf.float32)
        positives = sparse_labels.positives_of(y_true, weights)
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        hits = tf.gather_nd(logits, places) * positives.weights
        # By label: sum_i w_i softplus(z_ij), less z_ij where j is a label.
        row_losses = tf.linalg.matvec(
            tf.nn.softplus(logits), self.label_weights
        )
        return tf.reduce_sum(weights * row_losses) - tf.reduce_sum(
            tf.gather(self.label_weights, positives.columns) * hits
        )

    def get_config(self) -> dict:
        """Returns the arguments of the constructor; a head is not kept."""
        label_weights = self.label_weights
        if label_weights is not None:
            label_weights = label_weights.tolist()
        return {**super().get_config(), "label_weights": label_weights}


@keras.saving.register_keras_serializable(package="tfxml")
class SparseSoftmaxCrossEntropy(SparseLoss):
    """Softmax cross-entropy over all labels, or the buckets of a repetition.

    An instance with several labels has the mean of their losses.
    """

    loss = softmax_cross_entropy.SoftmaxCrossEntropy()


def _float32(y_pred: tf.Tensor) -> tf.Tensor:
    if y_pred.dtype == tf.float32:
        return y_pred  # a cast would lose the head
    cast = tf.cast(y_pred, tf.float32)
    cast._tfxml_head = contract.head_of(y_pred)
    return cast
