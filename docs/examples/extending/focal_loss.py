"""The focal loss: outputs that are already right count less.

# N instances, B outputs, P positives

With z the logit of an output, s = z for a label of the instance and -z for
others, and p = sigmoid(s), its loss is -(1 - p)^gamma log p (Lin et al., "Focal
loss for dense object detection", ICCV 2017). Its derivative with respect to s
is (1 - p)^gamma (gamma p log p - (1 - p)). At gamma 0 both are those of sigmoid
cross-entropy.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.models import calibration, contract


@dataclasses.dataclass(frozen=True)
class FocalOptions:
    """Options of the focal loss; each is a flag and a field of the config."""

    focal_gamma: float = options_lib.option(
        2.0,
        "Focal loss: how much less an output counts that is right already. "
        "0: sigmoid cross-entropy.",
        minimum=0,
    )


class FocalLoss(contract.Loss):
    """Independent sigmoids; easy outputs count less by (1 - p)^gamma.

    Args:
        gamma: at least 0.
    """

    Options = FocalOptions
    separates = True  # each output has its own loss
    link = calibration.SIGMOID

    def __init__(self, gamma: float = 2.0):
        self.gamma = gamma

    @classmethod
    def from_options(cls, options) -> FocalLoss:
        """Returns the loss that the options describe."""
        return cls(options.focal_gamma)

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the losses, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        hits = tf.gather_nd(logits, places)
        # All outputs as if their targets were 0, then correct the positives.
        row_losses = tf.reduce_sum(self._loss(-logits), axis=1)
        changes = self._loss(hits) - self._loss(-hits)
        return tf.reduce_sum(weights * row_losses) + tf.reduce_sum(
            positives.weights * changes
        )

    def logit_gradient(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the derivative of `value` in closed form, [N, B]."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        hits = tf.gather_nd(logits, places)
        changes = self._slope(hits) + self._slope(-hits)
        return tf.tensor_scatter_nd_add(
            -weights[:, None] * self._slope(-logits),
            places,
            positives.weights * changes,
        )

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the logits of `priors` [B], kept finite."""
        priors = np.clip(priors, 1e-8, 1 - 1e-4)
        return np.log(priors / (1 - priors)).astype(np.float32)

    def get_config(self) -> dict:
        """Returns the arguments of the constructor."""
        return {"gamma": self.gamma}

    def _loss(self, signed: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each s."""
        focus = tf.exp(self.gamma * tf.math.log_sigmoid(-signed))
        return -focus * tf.math.log_sigmoid(signed)

    def _slope(self, signed: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `_loss`."""
        p, log_p = tf.sigmoid(signed), tf.math.log_sigmoid(signed)
        focus = tf.exp(self.gamma * tf.math.log_sigmoid(-signed))
        return focus * (self.gamma * p * log_p - tf.sigmoid(-signed))
