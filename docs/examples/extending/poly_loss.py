"""The poly loss: cross-entropy whose first term counts more.

# N instances, B outputs, P positives

With z the logit of an output, s = z where it is a label and -z where it is
none, and p = sigmoid(s), its loss is -log p + epsilon (1 - p) (Leng et al.,
"PolyLoss", ICLR 2022). Its derivative with respect to s is
-(1 - p) (1 + epsilon p). At epsilon 0 both are those of sigmoid cross-entropy.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.models import calibration, contract, module_options, sites


@dataclasses.dataclass(frozen=True)
class PolyOptions(module_options.ModuleOptions):
    """Options of the poly loss; each is a flag and a field of the config."""

    poly_epsilon: float = options_lib.option(
        1.0,
        "Poly loss: how much the first term counts beside cross-entropy. 0: "
        "not at all.",
        minimum=0,
    )


class PolyLoss(contract.Loss):
    """Independent sigmoids; doubt costs epsilon (1 - p) more.

    Args:
        epsilon: at least 0.
    """

    Options = PolyOptions
    separates = True  # each output has a loss of its own
    link = calibration.SIGMOID

    def __init__(self, epsilon: float = 1.0):
        self.epsilon = epsilon

    @classmethod
    def from_options(cls, options, site: sites.Site) -> PolyLoss:
        """Returns the loss that the options describe."""
        del site  # the sizes of the data, which it need not know
        return cls(options.poly_epsilon)

    def value(
        self,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of the losses, a scalar."""
        places = tf.stack([positives.rows, positives.columns], axis=-1)
        hits = tf.gather_nd(logits, places)
        # All outputs as if they were off, then what the positives change.
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
        return {"epsilon": self.epsilon}

    def _loss(self, signed: tf.Tensor) -> tf.Tensor:
        """Returns the loss of each s."""
        doubt = tf.sigmoid(-signed)
        return tf.nn.softplus(-signed) + self.epsilon * doubt

    def _slope(self, signed: tf.Tensor) -> tf.Tensor:
        """Returns the derivative of `_loss`."""
        return -tf.sigmoid(-signed) * (1 + self.epsilon * tf.sigmoid(signed))
