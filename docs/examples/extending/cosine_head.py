"""A head that ranks labels by their angle to an instance.

# N instances, H units of the encoder, L labels

The logit of a label is `scale * cos(hidden, label) + bias`: frequent labels
cannot win by longer vectors (Wang et al., "NormFace", ACM Multimedia 2017). The
scale is one number that is learnt with the rest.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.models import contract, losses, module_options, sites
from tfxml.models import encoded as encoded_lib
from tfxml.topk import dropping


@dataclasses.dataclass(frozen=True)
class CosineOptions(module_options.ModuleOptions):
    """Options of the cosine head; each is a flag and a field of the config."""

    cosine_scale: float = options_lib.option(
        10.0,
        "Cosine: the factor of the cosines when training starts.",
        minimum=1,
    )


class CosineHead(contract.Head):
    """Scaled cosines between the encoder's output and a vector per label.

    Args:
        num_labels: L.
        input_dim: H.
        loss: of the logits.
        scale: of the cosines, at first.
        priors: [L], the fraction of instances with each label.
        seed: of the initial kernel.
        dropped: ids of labels that are never answered.
    """

    Options = CosineOptions

    def __init__(
        self,
        num_labels: int,
        input_dim: int,
        loss: contract.Loss,
        scale: float = 10.0,
        priors: np.ndarray | None = None,
        seed: int = 0,
        dropped: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.loss = loss
        self.dropped = dropping.checked(dropped, num_labels)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(num_labels, input_dim),
            initializer=keras.initializers.RandomNormal(stddev=1.0, seed=seed),
        )
        self.bias = self.add_weight(
            name="bias", shape=(num_labels,), initializer="zeros"
        )
        # Its logarithm is learnt, because the scale must be above 0.
        self.log_scale = self.add_weight(
            name="log_scale",
            shape=(),
            initializer=keras.initializers.Constant(math.log(scale)),
        )
        if priors is not None:
            self.bias.assign(loss.prior_bias(priors))
        self.built = True

    @classmethod
    def create(
        cls, options, site: sites.Site, loss: contract.Loss
    ) -> CosineHead:
        """Returns the head that the options describe."""
        return cls(
            site.num_labels,
            site.input_dim,
            loss,
            options.cosine_scale,
            site.label_priors(),
            site.seed,
            site.dropped,
        )

    def call(self, encoded) -> tf.Tensor:
        """Returns logits, [N, L]."""
        hidden = tf.math.l2_normalize(encoded_lib.only(encoded), axis=1)
        labels = tf.math.l2_normalize(self.kernel, axis=1)
        cosines = tf.matmul(hidden, labels, transpose_b=True)
        return tf.exp(self.log_scale) * cosines + self.bias

    def get_config(self) -> dict:
        """Returns the arguments that rebuild the head, without weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "input_dim": self.input_dim,
            "loss": losses.to_config(self.loss),
            "dropped": self.dropped.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict) -> CosineHead:
        """Returns the head that `get_config` describes."""
        return cls(**{**config, "loss": losses.from_config(config["loss"])})
