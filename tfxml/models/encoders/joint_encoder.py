"""Bag and sequence in one encoder: two vectors behind one another.

# N instances, H units

A bag of weighted features covers the whole text and its n-grams at little cost;
a sequence has the order of its first words. The head reads both.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import contract, sites
from tfxml.models.encoders import (
    bag_encoder,
    conv_encoder,
    joint_options,
    recurrent_encoder,
    transformer_encoder,
)

SEQUENCES: dict[str, type[contract.Encoder]] = {
    "conv": conv_encoder.ConvEncoder,
    "recurrent": recurrent_encoder.RecurrentEncoder,
    "transformer": transformer_encoder.TransformerEncoder,
}


class JointEncoder(contract.Encoder):
    """What a bag's and a sequence's encoder return, behind one another.

    Args:
        bag: the encoder of features.
        sequence: the encoder of tokens.
        kind: which of `SEQUENCES` it is.
    """

    Options = joint_options.JointOptions
    reads = contract.TOKENS

    def __init__(
        self,
        bag: bag_encoder.BagEncoder,
        sequence: contract.Encoder,
        kind: str,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.bag = bag
        self.sequence = sequence
        self.kind = kind
        self.output_dim = bag.output_dim + sequence.output_dim
        self.built = True

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, number: int
    ) -> JointEncoder:
        """Returns the `number`-th encoder of a model."""
        kind = options.joint_sequence
        return cls(
            bag_encoder.BagEncoder.create(options, site, number),
            SEQUENCES[kind].create(options, site, number),
            kind,
        )

    def arrange(self, inputs: Mapping[str, Any], form: str) -> tuple:
        """Returns the rows of features, and the tokens."""
        return (
            self.bag.arrange(inputs, form),
            self.sequence.arrange(inputs, form),
        )

    @property
    def arrangement(self) -> Hashable:
        """That of both."""
        return self.bag.arrangement, self.sequence.arrangement

    def assign_words(self, vectors: np.ndarray, is_there: np.ndarray) -> None:
        """Starts with given word vectors; see `contract.Encoder`."""
        self.sequence.assign_words(vectors, is_there)

    def call(
        self, rows: Any, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns [N, H]; see `contract.Encoder.call`."""
        features, tokens = rows
        return tf.concat(
            [
                self.bag.call(features, dropout_seed),
                self.sequence.call(tokens, dropout_seed),
            ],
            axis=1,
        )

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "bag": self.bag.get_config(),
            "sequence": self.sequence.get_config(),
            "kind": self.kind,
        }

    @classmethod
    def from_config(cls, config: dict) -> JointEncoder:
        """Returns the encoder that `get_config` describes."""
        sequence = SEQUENCES[config["kind"]].from_config(config["sequence"])
        bag = bag_encoder.BagEncoder.from_config(config["bag"])
        return cls(**{**config, "bag": bag, "sequence": sequence})

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return f"{self.bag.describe()} beside {self.sequence.describe()}"
