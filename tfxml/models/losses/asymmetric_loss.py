"""The asymmetric loss: the many outputs that are off count less.

With p = sigmoid(z), an output that is on costs -(1 - p)^g+ log p, and one that
is off -(p_m)^g- log(1 - p_m) with p_m = max(p - m, 0): outputs that are off and
below the margin m cost nothing (Ridnik et al., "Asymmetric loss for multi-label
classification", ICCV 2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import pointwise, sites
from tfxml.models.losses import asymmetric_options

_LEAST = 1e-12


class AsymmetricLoss(pointwise.PointwiseLoss):
    """Independent sigmoids; outputs that are off have a focus of their own.

    Args:
        gamma_on: focus of outputs that are on.
        gamma_off: focus of outputs that are off.
        margin: in [0, 1), taken off the probabilities of those that are off.
    """

    Options = asymmetric_options.AsymmetricOptions

    def __init__(
        self,
        gamma_on: float = 0.0,
        gamma_off: float = 4.0,
        margin: float = 0.05,
    ):
        if not 0 <= margin < 1:
            raise ValueError(f"`margin` must be in [0, 1). Received: {margin=}")
        self.gamma_on = gamma_on
        self.gamma_off = gamma_off
        self.margin = margin

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> AsymmetricLoss:
        """Returns the loss that the options describe."""
        del site
        return cls(
            options.asymmetric_gamma_on,
            options.asymmetric_gamma_off,
            options.asymmetric_margin,
        )

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns -(1 - p)^g+ log p."""
        focus = tf.exp(self.gamma_on * tf.math.log_sigmoid(-z))
        return -focus * tf.math.log_sigmoid(z)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns -(p_m)^g- log(1 - p_m)."""
        shifted, log_rest = self._shifted(z)
        return -tf.pow(shifted, self.gamma_off) * log_rest

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""
        p, log_p = tf.sigmoid(z), tf.math.log_sigmoid(z)
        focus = tf.exp(self.gamma_on * tf.math.log_sigmoid(-z))
        return focus * (self.gamma_on * p * log_p - tf.sigmoid(-z))

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`; 0 below the margin."""
        shifted, log_rest = self._shifted(z)
        power = tf.pow(shifted, self.gamma_off)
        slope = power / tf.exp(log_rest)
        if self.gamma_off:
            slope -= self.gamma_off * power / shifted * log_rest
        # p (1 - p), the derivative of p.
        slope *= tf.sigmoid(z) * tf.sigmoid(-z)
        return tf.where(tf.sigmoid(z) > self.margin, slope, 0.0)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the logits of `priors` [B], kept finite."""
        return pointwise.logits_of(priors)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            "gamma_on": self.gamma_on,
            "gamma_off": self.gamma_off,
            "margin": self.margin,
        }

    def _shifted(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns p_m, kept above 0, and log(1 - p_m)."""
        shifted = tf.maximum(tf.sigmoid(z) - self.margin, _LEAST)
        rest = tf.minimum(tf.sigmoid(-z) + self.margin, 1.0)
        return shifted, tf.math.log(tf.maximum(rest, _LEAST))
