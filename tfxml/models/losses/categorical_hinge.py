"""Categorical hinge: the label ahead of every other by a margin.

# N instances, B outputs, P positives

With z the logits, y an instance's label and m the largest logit of those that
are none, its loss is max(0, 1 + m - z_y) (Crammer and Singer, JMLR 2001). An
instance with several labels has their mean.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.models import calibration, contract, sparse_labels

_FAR = 1e9  # below any logit


class CategoricalHinge(contract.Loss):
    """The hinge of a label's lead over the best of the others.

    Logits are margins: they rank, and their sigmoids are no probabilities.
    """

    separates = False  # the best of the others is among all outputs
    is_multiclass = True
    link = calibration.SIGMOID

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the hinges, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        is_label = tf.cast(positives.weights > 0, logits.dtype)
        others = tf.tensor_scatter_nd_sub(logits, places, _FAR * is_label)
        best = tf.reduce_max(others, axis=1)
        shares, _ = sparse_labels.shares(
            positives, tf.shape(logits)[0], weights
        )
        hits = tf.gather_nd(logits, places)
        return tf.reduce_sum(
            shares * tf.nn.relu(1 + tf.gather(best, positives.rows) - hits)
        )

    def prior_bias(self, priors: np.ndarray) -> np.ndarray:
        """Returns zeros, [B]: no constant is ahead of the others for all."""
        return np.zeros(len(priors), np.float32)
