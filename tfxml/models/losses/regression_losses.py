"""Losses of regression: a linear output a label, and a distance from its value.

The value is 1 where an output is on and 0 where it is off. The squared error's
best prediction is P(label | x), so its outputs are shown as they are. The best
prediction of the absolute error is the median, which is 0 for every label less
likely than not: it suits labels that are nearly certain, and no rare ones.
Huber's loss (1964) is half the squared error near the value, and linear beyond
a distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import calibration, pointwise, sites
from tfxml.models.losses import huber_options


class SquaredError(pointwise.PointwiseLoss):
    """(z - y)^2 of each output."""

    link = calibration.IDENTITY

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns (z - 1)^2."""
        return tf.square(z - 1)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns z^2."""
        return tf.square(z)

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""
        return 2 * (z - 1)

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`."""
        return 2 * z

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns `priors` [B], the means."""
        return np.asarray(priors, np.float32)


class AbsoluteError(pointwise.PointwiseLoss):
    """|z - y| of each output."""

    link = calibration.IDENTITY

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns |z - 1|."""
        return tf.abs(z - 1)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns |z|."""
        return tf.abs(z)

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`; 0 at the value."""
        return tf.sign(z - 1)

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`; 0 at the value."""
        return tf.sign(z)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the medians: 0, or 1 above 1/2."""
        return (priors > 0.5).astype(np.float32)


class Huber(pointwise.PointwiseLoss):
    """Half the squared error up to a distance, then linear.

    Args:
        delta: that distance, above 0.
    """

    Options = huber_options.HuberOptions
    link = calibration.IDENTITY

    def __init__(self, delta: float = 1.0):
        self.delta = delta

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> Huber:
        """Returns the loss that the options describe."""
        del site
        return cls(options.huber_delta)

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the loss of a distance from 1."""
        return self.off(z - 1)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the loss of a distance from 0."""
        distance = tf.abs(z)
        near = tf.minimum(distance, self.delta)
        return near * (distance - near / 2)

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""
        return self.off_slope(z - 1)

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`."""
        return tf.clip_by_value(z, -self.delta, self.delta)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the constants of the least loss, [B], of shares below 1/2."""
        rest = np.maximum(1 - priors, 1e-8)
        is_near = rest <= self.delta
        bias = np.where(is_near, priors, priors * self.delta / rest)
        return np.minimum(bias, 1).astype(np.float32)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"delta": self.delta}
