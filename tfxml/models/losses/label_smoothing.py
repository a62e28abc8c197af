"""Label smoothing: cross-entropy with targets that are not sure of themselves.

The target of an output is (1 - s) y + s q, with y 1 where it is on and 0 where
it is off, and q the share of the instances in which it is on (Szegedy et al.,
CVPR 2016, take a constant for q; Pereyra et al., 2017, the shares). A constant
would lift each of many thousand labels that are all but never on. Where shares
are not known, q is 1/2, as in Keras.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import calibration, contract, pointwise, sites
from tfxml.models.losses import smoothing_options


class LabelSmoothing(contract.Loss):
    """Independent sigmoids with smoothed targets.

    Args:
        smoothing: s, in [0, 1).
    """

    Options = smoothing_options.LabelSmoothingOptions
    separates = True
    link = calibration.SIGMOID

    def __init__(self, smoothing: float = 0.1):
        if not 0 <= smoothing < 1:
            raise ValueError(
                f"`smoothing` must be in [0, 1). Received: {smoothing=}"
            )
        self.smoothing = smoothing
        self._shares: np.ndarray | None = None

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> LabelSmoothing:
        """Returns the loss that the options describe."""
        del site
        return cls(options.label_smoothing)

    def of_outputs(self, priors: np.ndarray) -> LabelSmoothing:
        """Returns the loss whose targets lean to these shares."""
        known = copy.copy(self)
        known._shares = np.asarray(priors, np.float32)
        return known

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the cross-entropies, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        row_losses = tf.reduce_sum(
            tf.nn.softplus(logits) - self._floor() * logits, axis=1
        )
        hits = tf.gather_nd(logits, places)
        return tf.reduce_sum(weights * row_losses) - tf.reduce_sum(
            (1 - self.smoothing) * positives.weights * hits
        )

    def logit_gradient(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns w_i (sigmoid(z_ij) - target_ij), [N, B]."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        return tf.tensor_scatter_nd_sub(
            weights[:, None] * (tf.nn.sigmoid(logits) - self._floor()),
            places,
            (1 - self.smoothing) * positives.weights,
        )

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns the logits of the mean targets, [B], kept finite."""
        shares = 0.5 if self._shares is None else self._shares
        kept = 1 - self.smoothing
        return pointwise.logits_of(kept * priors + self.smoothing * shares)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"smoothing": self.smoothing}

    def _floor(self) -> tf.Tensor | float:
        """Returns s q, the target of an output that is off."""
        if self._shares is None:
            return self.smoothing / 2
        return tf.constant(self.smoothing * self._shares, tf.float32)
