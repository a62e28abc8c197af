"""What the losses share that treat each output by itself.

# N instances, B outputs, P positives

Such a loss is told by two functions of a logit z: what it costs where the
output is on, and where it is off. All outputs are taken as off, and what the
positives change is added, so that no target of shape [N, B] is made.
"""

from __future__ import annotations

import abc

import numpy as np
import tensorflow as tf

from tfxml.models import calibration, contract


class PointwiseLoss(contract.Loss):
    """The sum of a loss an output; subclasses say the four functions.

    `on_weights` [B] is how many times each output counts where it is on; None:
    once.
    """

    separates = True
    link = calibration.SIGMOID
    on_weights: np.ndarray | None = None

    @abc.abstractmethod
    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the loss of logits whose outputs are on."""

    @abc.abstractmethod
    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the loss of logits whose outputs are off."""

    @abc.abstractmethod
    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""

    @abc.abstractmethod
    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`."""

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the losses, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        hits = tf.gather_nd(logits, places)
        changes = self._on_weights(positives) * self.on(hits) - self.off(hits)
        row_losses = tf.reduce_sum(self.off(logits), axis=1)
        return tf.reduce_sum(weights * row_losses) + tf.reduce_sum(
            positives.weights * changes
        )

    def logit_gradient(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the derivative of `value`, [N, B]."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        hits = tf.gather_nd(logits, places)
        changes = self._on_weights(positives) * self.on_slope(
            hits
        ) - self.off_slope(hits)
        return tf.tensor_scatter_nd_add(
            weights[:, None] * self.off_slope(logits),
            places,
            positives.weights * changes,
        )

    def _on_weights(self, positives: contract.Positives) -> tf.Tensor | float:
        if self.on_weights is None:
            return 1.0
        return tf.gather(
            tf.constant(self.on_weights, tf.float32), positives.columns
        )


def logits_of(priors: np.ndarray) -> np.ndarray:
    """Returns the logits of probabilities [B], kept finite."""
    priors = np.clip(priors, 1e-8, 1 - 1e-4)
    return np.log(priors / (1 - priors)).astype(np.float32)
