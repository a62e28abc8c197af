"""Turns texts into the named inputs of a model.

# n texts of a batch
"""

from __future__ import annotations

import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import inputs
from tfxml.data.text import text_features as text_features_lib
from tfxml.models import contract, encoders, heads


def max_tokens(config: config_lib.Config) -> int | None:
    """Returns how many tokens of a text a model reads; None: it reads none."""
    if heads.HEADS[config.head].reads_rows:
        return None
    reads = encoders.ENCODERS[config.encoder].reads
    return config.max_tokens if reads == contract.TOKENS else None


class TextInputs:
    """Turns texts into a model's inputs, in TensorFlow ops.

    Args:
        config: of the run.
        features: fitted on its training texts.
    """

    def __init__(
        self,
        config: config_lib.Config,
        features: text_features_lib.TextFeatures,
    ):
        self._features = features
        self.max_tokens = max_tokens(config)

    def __call__(self, texts: tf.Tensor) -> dict[str, tf.RaggedTensor]:
        """Returns the bag of features of texts [n] and, if read, tokens."""
        model_inputs = inputs.features(*self._features(texts))
        if self.max_tokens is not None:
            model_inputs[inputs.TOKEN_IDS] = self._features.tokens(
                texts, self.max_tokens
            )
        return model_inputs
