"""The focal loss: what is learnt already counts less.

With z the logit of an output, s = z where it is a label and -z where it is
none, and p = sigmoid(s), its loss is -(1 - p)^gamma log p (Lin et al., "Focal
loss for dense object detection", ICCV 2017). Its derivative with respect to s
is (1 - p)^gamma (gamma p log p - (1 - p)). At gamma 0 both are those of sigmoid
cross-entropy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import pointwise, sites
from tfxml.models.losses import focal_options


class FocalLoss(pointwise.PointwiseLoss):
    """Independent sigmoids; easy outputs count less by (1 - p)^gamma.

    Args:
        gamma: at least 0.
    """

    Options = focal_options.FocalOptions

    def __init__(self, gamma: float = 2.0):
        self.gamma = gamma

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> FocalLoss:
        """Returns the loss that the options describe."""
        del site
        return cls(options.focal_gamma)

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns -(1 - p)^gamma log p, p = sigmoid(z)."""
        focus = tf.exp(self.gamma * tf.math.log_sigmoid(-z))
        return -focus * tf.math.log_sigmoid(z)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the loss of outputs that are off."""
        return self.on(-z)

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""
        p, log_p = tf.sigmoid(z), tf.math.log_sigmoid(z)
        focus = tf.exp(self.gamma * tf.math.log_sigmoid(-z))
        return focus * (self.gamma * p * log_p - tf.sigmoid(-z))

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`."""
        return -self.on_slope(-z)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the logits of `priors` [B], kept finite."""
        return pointwise.logits_of(priors)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"gamma": self.gamma}
