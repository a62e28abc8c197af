"""A head whose biases stay at the labels' frequencies, with a serving form.

# N instances, H units of the encoder, L labels
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.models import contract, forms, losses, module_options, sites
from tfxml.models import encoded as encoded_lib
from tfxml.topk import dropping


@dataclasses.dataclass(frozen=True)
class PriorOptions(module_options.ModuleOptions):
    """Options of the prior head."""

    prior_strength: float = options_lib.option(
        1.0, "Prior: the factor of the fixed biases. 0: none.", minimum=0
    )


class PriorHead(contract.Head):
    """One output per label, with a trained kernel and a fixed bias.

    Args:
        num_labels: L.
        input_dim: H.
        loss: of the logits.
        bias: [L]; None: zeros, where weights are restored.
        seed: of the initial kernel.
        dropped: ids of labels that are never answered.
    """

    Options = PriorOptions

    def __init__(
        self,
        num_labels: int,
        input_dim: int,
        loss: contract.Loss,
        bias: np.ndarray | None = None,
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
            initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
        )
        # Saved like any weight, but never updated.
        self.bias = self.add_weight(
            name="bias",
            shape=(num_labels,),
            initializer="zeros",
            trainable=False,
        )
        if bias is not None:
            self.bias.assign(bias)
        self.built = True

    @classmethod
    def create(
        cls, options, site: sites.Site, loss: contract.Loss
    ) -> PriorHead:
        """Returns the head that the options describe."""
        priors, bias = site.label_priors(), None
        if priors is not None:
            bias = options.prior_strength * loss.prior_bias(priors)
        return cls(
            site.num_labels, site.input_dim, loss, bias, site.seed, site.dropped
        )

    def call(self, encoded) -> tf.Tensor:
        """Returns logits, [N, L]."""
        product = tf.matmul(
            encoded_lib.only(encoded), self.kernel, transpose_b=True
        )
        return product + self.bias

    def form(self) -> forms.BlockRanking | None:
        """Returns its serving form: labels ranked by one product.

        None for a loss whose `normalized` the form does not know.
        """
        if not self.loss.separates:
            return None
        return forms.BlockRanking(
            self.num_labels,
            [forms.Block(self.kernel, self.bias, is_linear=False)],
            link=self.link,
            dropped=self.dropped,
        )

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
    def from_config(cls, config: dict) -> PriorHead:
        """Returns the head that `get_config` describes."""
        return cls(**{**config, "loss": losses.from_config(config["loss"])})

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return f"{self.num_labels:,} outputs with fixed biases"
