"""Encoders that a Keras file holds: any model of tokens or of a dense vector.

# N instances, T places, D features
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import keras
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.models import (
    contract,
    keras_encoder,
    sites,
    sparse_rows,
    token_encoder,
)
from tfxml.models.encoders import backbone_options


class BackboneEncoder(keras_encoder.KerasEncoder):
    """A Keras model of token ids [N, T], 0 where there is no word.

    It takes the ids alone, or by KerasHub's names: `token_ids`, `padding_mask`
    and `segment_ids`. A model with a fixed T gets texts padded to it.
    """

    Options = backbone_options.BackboneOptions
    reads = contract.TOKENS

    def arrange(self, inputs: Mapping[str, Any], form: str) -> tf.Tensor:
        """Returns the tokens, [N, T] int32, padded with 0."""
        return token_encoder.padded_tokens(inputs)

    @property
    def arrangement(self) -> str:
        """All encoders of tokens read the same."""
        return contract.TOKENS

    @property
    def _num_places(self) -> int | None:
        """T, where the model has a fixed one."""
        return tf.nest.flatten(self.input_of_backbone)[0].shape[1]

    def check_site(self, options: Any, site: sites.Site) -> None:
        """Raises ValueError if the model does not take what the data have."""
        if not site.num_tokens:
            raise ValueError(
                "`encoder` must be one that reads features for data without "
                "text. Received: encoder=backbone, which reads words in their "
                "order"
            )
        number = self._num_places
        if number is not None and number < options.max_tokens:
            raise ValueError(
                f"`max_tokens` must be at most {number}, which the backbone "
                f"takes. Received: max_tokens={options.max_tokens}"
            )
        for layer in self.backbone._flatten_layers():
            if (
                isinstance(layer, keras.layers.Embedding)
                and "position" not in layer.name
                and self._may_read_tokens(layer)
                and layer.input_dim < site.num_tokens
            ):
                raise ValueError(
                    "`backbone` must have an embedding of at least "
                    f"{site.num_tokens} tokens, of which 0 pads. Received: "
                    f"{layer.name} of {layer.input_dim}; see num_subwords, "
                    "min_df and max_features"
                )

    def _may_read_tokens(self, layer: keras.Layer) -> bool:
        """Tells whether a layer reads none of the inputs beside the tokens."""
        inputs = self.input_of_backbone
        if not isinstance(inputs, Mapping):
            return True
        others = {id(inputs[name]) for name in inputs if name != "token_ids"}
        return not any(
            id(tensor) in others
            for node in layer._inbound_nodes
            for tensor in node.input_tensors
        )

    def taken(self, rows: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Returns the argument of the model, and which places have a word."""
        # A batch of texts without words still has a place.
        more = tf.maximum(1 - tf.shape(rows)[1], 0)
        if self._num_places is not None:
            more = self._num_places - tf.shape(rows)[1]
        rows = tf.pad(rows, [[0, 0], [0, more]])
        rows = tf.ensure_shape(rows, [None, self._num_places])
        is_word = rows > 0
        mask = tf.cast(is_word, tf.float32)
        names = self.input_of_backbone
        if not isinstance(names, Mapping):
            return rows, mask
        known = {
            "token_ids": rows,
            "padding_mask": tf.cast(is_word, tf.int32),
            "segment_ids": tf.zeros_like(rows),
        }
        missing = set(names) - set(known)
        if missing:
            raise ValueError(
                f"`backbone` must take some of {', '.join(known)}. Received: a "
                f"model that takes {', '.join(sorted(missing))}"
            )
        return {name: known[name] for name in names}, mask


class DenseBackboneEncoder(keras_encoder.KerasEncoder):
    """A Keras model of an instance's features as a dense vector, [N, D]."""

    Options = backbone_options.BackboneOptions
    reads = contract.BAG

    def arrange(self, inputs: Mapping[str, Any], form: str) -> tf.Tensor:
        """Returns the features, [N, D]."""
        return sparse_rows.arrange(
            inputs[inputs_lib.FEATURE_IDS],
            inputs[inputs_lib.FEATURE_VALUES],
            self.input_of_backbone.shape[-1],
            "dense",
        )

    @property
    def arrangement(self) -> Hashable:
        """All read the same dense vector."""
        return "dense", self.input_of_backbone.shape[-1]

    def check_site(self, options: Any, site: sites.Site) -> None:
        """Raises ValueError if the model does not take what the data have."""
        taken = self.input_of_backbone
        if isinstance(taken, (Mapping, list)) or tuple(taken.shape) != (
            None,
            site.num_features,
        ):
            raise ValueError(
                f"`backbone` must take a vector of {site.num_features} "
                f"features. Received: a model that takes {taken}"
            )

    def taken(self, rows: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Returns the features; there are no places."""
        return rows, tf.ones([1, 1])
