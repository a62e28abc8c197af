"""Label-wise attention: each label reads the words that matter to it.

# N instances, T places, H units of a state, L labels, B labels of a block,
# C given labels, K top labels

A label's logit is w . m + b, where m is the mean of the text's states weighted
by the label's own attention vector (CAML: Mullenbach et al., NAACL 2018;
AttentionXML: You et al., NeurIPS 2019). As w . m is the mean of w . state under
the same weights, no tensor of [N, L, H] is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import contract, losses, pooling, sites
from tfxml.models import encoded as encoded_lib
from tfxml.models.heads import label_attention_options
from tfxml.models.losses import sigmoid_cross_entropy
from tfxml.topk import dropping

_BLOCK = 1024  # labels at once, so that predicting needs no [N, T, L]
# Of an instance, a place and a label, in training: 23 were measured.
_BYTES = 24


class LabelAttentionHead(contract.Head):
    """A logit a label, from the mean of states that the label weighs.

    Args:
        num_labels: L.
        input_dim: H.
        label_priors: [L], the share of instances with each label.
        seed: of the initial weights.
        dropped: ids of labels that are never answered.
        loss: of the labels; None: sigmoid cross-entropy.
    """

    Options = label_attention_options.LabelAttentionOptions

    def __init__(
        self,
        num_labels: int,
        input_dim: int,
        label_priors: np.ndarray | None = None,
        seed: int = 0,
        dropped: Sequence[int] | np.ndarray = (),
        loss: contract.Loss | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.seed = seed
        self.dropped = dropping.checked(dropped, num_labels)
        loss = loss or sigmoid_cross_entropy.SigmoidCrossEntropy()
        self.loss = (
            loss if label_priors is None else loss.of_outputs(label_priors)
        )

        def add(name: str, stddev: float, seed: int):
            return self.add_weight(
                name=name,
                shape=(num_labels, input_dim),
                initializer=keras.initializers.RandomNormal(
                    stddev=stddev, seed=seed
                ),
            )

        self.queries = add("queries", input_dim**-0.5, 2 * seed)
        self.kernel = add("kernel", 0.01, 2 * seed + 1)
        self.bias = self.add_weight(
            name="bias",
            shape=(num_labels,),
            initializer=self._prior_bias(label_priors),
        )
        self.built = True

    def _prior_bias(
        self, priors: np.ndarray | None
    ) -> str | Callable[..., tf.Tensor]:
        if priors is None:
            return "zeros"
        bias = self.loss.prior_bias(priors)
        return lambda shape, dtype=None: tf.constant(bias, dtype, shape)

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> LabelAttentionHead:
        """Returns the head that the options describe.

        Raises:
            ValueError: if a step would take more memory than they allow.
        """
        gib = step_gib(options.batch_size, options.max_tokens, site.num_labels)
        if gib > options.label_attention_gib:
            raise ValueError(
                "`label_attention_gib` must cover the attention of all labels "
                f"in a step: {gib:.3g} GiB for batch_size="
                f"{options.batch_size}, max_tokens={options.max_tokens} and "
                f"{site.num_labels:,} labels. Take smaller ones, or another "
                "head. Received: label_attention_gib="
                f"{options.label_attention_gib}"
            )
        return cls(
            site.num_labels,
            site.input_dim,
            site.label_priors(),
            site.seed,
            site.dropped,
            loss,
        )

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "input_dim": self.input_dim,
            "seed": self.seed,
            "dropped": self.dropped.tolist(),
            "loss": losses.to_config(self.loss),
        }

    @classmethod
    def from_config(cls, config: dict) -> LabelAttentionHead:
        """Returns the head that `get_config` describes."""
        return cls(**{**config, "loss": losses.from_config(config["loss"])})

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns logits, [N, L].

        Args:
            encoded: `encoded.States`.
        """
        states = encoded_lib.only(encoded)
        return tf.concat(
            [
                _logits(
                    states,
                    self.queries[start : start + _BLOCK],
                    self.kernel[start : start + _BLOCK],
                    self.bias[start : start + _BLOCK],
                )
                for start in range(0, self.num_labels, _BLOCK)
            ],
            axis=1,
        )

    def label_estimates(self, encoded: Any, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns what given labels [C] are ranked by, [N, C]."""
        if not self.loss.separates:
            return super().label_estimates(encoded, label_ids)
        return self.loss.normalized(
            _logits(
                encoded_lib.only(encoded),
                tf.gather(self.queries, label_ids),
                tf.gather(self.kernel, label_ids),
                tf.gather(self.bias, label_ids),
            )
        )

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return f"{self.num_labels:,} sigmoids, each with its own attention"


def step_gib(batch_size: int, max_tokens: int, num_labels: int) -> float:
    """Returns the memory of the attention of a training step, in GiB."""
    return _BYTES * batch_size * max_tokens * num_labels / 2**30


def _logits(
    encoded: encoded_lib.States,
    queries: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
) -> tf.Tensor:
    """Returns the logits of labels [B] with queries and kernels [B, H]."""
    weights = pooling.masked_softmax(
        tf.einsum("nth,bh->nbt", encoded.states, queries),
        encoded.is_word[:, None, :],
    )
    values = tf.einsum("nth,bh->nbt", encoded.states, kernel)
    return tf.reduce_sum(weights * values, axis=2) + bias
