"""Hinge losses: outputs on the right side of a margin cost nothing.

With s = z where an output is on and -z where it is off, the hinge costs
max(0, 1 - s) (Cortes and Vapnik, 1995), and the squared hinge its square.
Logits are margins: they rank, and their sigmoids are no probabilities.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.models import pointwise


class Hinge(pointwise.PointwiseLoss):
    """max(0, 1 - s) of each output."""

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns max(0, 1 - z)."""
        return tf.nn.relu(1 - z)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns max(0, 1 + z)."""
        return tf.nn.relu(1 + z)

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`; 0 at the margin."""
        return -tf.cast(z < 1, z.dtype)

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`; 0 at the margin."""
        return tf.cast(z > -1, z.dtype)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the constants of the least loss: -1, or 1 above 1/2."""
        return np.where(priors > 0.5, 1, -1).astype(np.float32)


class SquaredHinge(pointwise.PointwiseLoss):
    """max(0, 1 - s)^2 of each output."""

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns max(0, 1 - z)^2."""
        return tf.square(tf.nn.relu(1 - z))

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns max(0, 1 + z)^2."""
        return tf.square(tf.nn.relu(1 + z))

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""
        return -2 * tf.nn.relu(1 - z)

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`."""
        return 2 * tf.nn.relu(1 + z)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns 2 q - 1 of `priors` q [B], the constants of least loss."""
        return (2 * priors - 1).astype(np.float32)
