"""Propensity-scored cross-entropy: labels that are often missing count more.

A label that is there is recorded with probability p, its propensity, which is
small for rare labels. With z the logit, an output that is on costs
(2 / p - 1) softplus(-z), and one that is off softplus(z): the weights of the
unbiased estimate of the Hamming loss (Jain, Prabhu and Varma, KDD 2016), with
cross-entropy in place of the 0-1 loss (Qaraei et al., "Convex surrogates for
unbiased loss functions in extreme classification with missing labels", WWW
2021).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import pointwise, sites


class PropensityLoss(pointwise.PointwiseLoss):
    """Cross-entropy whose positives count 2 / p - 1 times.

    Args:
        inverse_propensity: from the share of the instances in which outputs
            are on, [B], to 1 / p, [B]; None: 1, which is plain cross-entropy.
    """

    def __init__(
        self,
        inverse_propensity: Callable[[np.ndarray], np.ndarray] | None = None,
    ):
        self.inverse_propensity = inverse_propensity

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> PropensityLoss:
        """Returns the loss that the options describe."""
        del options
        return cls(site.inverse_propensity)

    def of_outputs(self, priors: np.ndarray) -> PropensityLoss:
        """Returns the loss that weighs outputs of these shares."""
        if self.inverse_propensity is None:
            return self
        weighted = copy.copy(self)
        weighted.on_weights = (2 * self.inverse_propensity(priors) - 1).astype(
            np.float32
        )
        return weighted

    def on(self, z: tf.Tensor) -> tf.Tensor:
        """Returns softplus(-z)."""
        return tf.nn.softplus(-z)

    def off(self, z: tf.Tensor) -> tf.Tensor:
        """Returns softplus(z)."""
        return tf.nn.softplus(z)

    def on_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `on`."""
        return -tf.sigmoid(-z)

    def off_slope(self, z: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `off`."""
        return tf.sigmoid(z)

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the constant logits of the least loss, [B]."""
        bias = pointwise.logits_of(priors)
        return (
            bias if self.on_weights is None else bias + np.log(self.on_weights)
        )
