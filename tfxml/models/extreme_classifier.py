"""The whole model: sparse rows -> encoders -> head.

# N instances, D features, K top labels
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.models import reranker, sparse_rows
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import centroid, mach_head, sigmoid
from tfxml.models.losses import sigmoid_cross_entropy


@dataclasses.dataclass(frozen=True)
class Part:
    """The encoders and repetitions that lie on one device.

    The others' gradients do not depend on them.
    """

    device: str | None
    encoders: Sequence[bag_encoder.Encoder]
    repetitions: range | None  # None: the whole head
    trainable_variables: Sequence[keras.Variable]


@keras.saving.register_keras_serializable(package="tfxml")
class ExtremeClassifier(keras.Model):
    """Encoders and a head under one roof.

    Args:
        encoders: none for a linear model, one that all outputs share, or one
            a repetition of MACH (separate encoders).
        head: a `SigmoidHead`, a `MachHead` or a `CentroidHead`.
        num_features: D.
        form: how rows are multiplied; see `sparse_rows.FORMS`.
        reranker: what ranks the head's best labels again; None: nothing.
    """

    def __init__(
        self,
        encoders: Sequence[bag_encoder.Encoder],
        head: sigmoid.SigmoidHead | mach_head.MachHead | centroid.CentroidHead,
        num_features: int,
        form: str,
        reranker: reranker.Reranker | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoders = list(encoders)
        self.head = head
        self.num_features = num_features
        self.form = form
        self.reranker = reranker
        self.built = True

    def get_config(self) -> dict:
        """Returns what makes the model again, but for its weights."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "encoders": [serialize(one) for one in self.encoders],
            "head": serialize(self.head),
            "num_features": self.num_features,
            "form": self.form,
            "reranker": self.reranker and serialize(self.reranker),
        }

    @classmethod
    def from_config(cls, config: dict) -> ExtremeClassifier:
        """Returns the model that `get_config` describes."""
        deserialize = keras.saving.deserialize_keras_object
        return cls(
            **{
                **config,
                "encoders": [deserialize(one) for one in config["encoders"]],
                "head": deserialize(config["head"]),
                "reranker": config["reranker"]
                and deserialize(config["reranker"]),
            }
        )

    def encode(
        self,
        inputs: Mapping[str, tf.RaggedTensor | tf.Tensor],
        dropout_seed: tf.Tensor | None = None,
        encoders: Sequence[bag_encoder.Encoder] | None = None,
    ) -> list:
        """Returns what the head reads: [N, H] an encoder, or the rows.

        Args:
            inputs: rows by the names of `inputs`.
            dropout_seed: [2] int32, or None for no dropout.
            encoders: some of the model's; None: all of them.
        """
        feature_ids = inputs[inputs_lib.FEATURE_IDS]
        feature_values = inputs[inputs_lib.FEATURE_VALUES]
        if not self.encoders:
            return [
                sparse_rows.arrange(
                    feature_ids, feature_values, self.num_features, self.form
                )
            ]
        encoders = self.encoders if encoders is None else encoders
        # Encoders that hash no features read the same rows.
        rows = {
            one.feature_hash: one.arrange(
                feature_ids, feature_values, self.form
            )
            for one in encoders
        }
        return [
            one.call(rows[one.feature_hash], dropout_seed=dropout_seed)
            for one in encoders
        ]

    def loss_sum(
        self,
        inputs: Mapping[str, tf.RaggedTensor | tf.Tensor],
        label_ids: tf.RaggedTensor | tf.Tensor,
        weights: tf.Tensor,
        dropout_seed: tf.Tensor | None = None,
        part: Part | None = None,
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar.

        Args:
            inputs: rows by the names of `inputs`: ragged, or padded as it
                says.
            label_ids: [N, (L)] ragged, or [N, K] padded with -1.
            weights: [N]; the loss of a row with weight 0 does not count.
            dropout_seed: [2] int32, or None for no dropout.
            part: whose share of the sum; None: all of it.
        """
        encoded = self.encode(
            inputs,
            dropout_seed,
            None if part is None else part.encoders,
        )
        positives = _positives(label_ids, weights)
        if part is not None and part.repetitions is not None:
            return self.head.loss(encoded, positives, weights, part.repetitions)
        return self.head.loss(encoded, positives, weights)

    def parts(self) -> list[Part]:
        """Returns what trains without knowing of the rest: one a device."""
        blocks = self.head.blocks
        devices = list(dict.fromkeys(block.device for block in blocks))
        if len(devices) <= 1:
            variables = [
                weight
                for layer in [*self.encoders, *blocks]
                for weight in layer.trainable_weights
            ]
            device = devices[0] if devices else None
            return [Part(device, self.encoders, None, variables)]
        parts = []
        for device in devices:
            encoders = [one for one in self.encoders if one.device == device]
            repetitions = [
                r for r, one in enumerate(blocks) if one.device == device
            ]
            variables = [
                weight
                for layer in [*encoders, *(blocks[r] for r in repetitions)]
                for weight in layer.trainable_weights
            ]
            run = range(repetitions[0], repetitions[-1] + 1)
            parts.append(Part(device, encoders, run, variables))
        return parts

    def top_k(
        self, inputs: Mapping[str, tf.RaggedTensor | tf.Tensor], k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each, best first."""
        encoded = self.encode(inputs)
        if self.reranker is None:
            return self.head.top_k(encoded, k)
        scores, label_ids = self.head.top_k(
            encoded, max(k, self.reranker.num_candidates)
        )
        rows = sparse_rows.arrange(
            inputs[inputs_lib.FEATURE_IDS],
            inputs[inputs_lib.FEATURE_VALUES],
            self.num_features,
            "ragged",
        )
        return self.reranker.rerank(rows, scores, label_ids, k)

    def candidates(
        self, inputs: Mapping[str, tf.RaggedTensor | tf.Tensor], k: int
    ) -> tf.Tensor:
        """Returns the labels that the head alone finds best, [N, K]."""
        return self.head.top_k(self.encode(inputs), k)[1]

    def named_variables(self) -> dict[str, keras.Variable]:
        """Returns each weight under the name that checkpoints give it.

        (TensorFlow's checkpoints do not look into Keras' lists of layers.)
        """
        names = {}
        for index, encoder in enumerate(self.encoders):
            for weight in encoder.weights:
                names[f"encoder_{index}_{weight.name}"] = weight
        for index, block in enumerate(self.head.blocks):
            for weight in block.weights:
                names[f"block_{index}_{weight.name}"] = weight
        if not self.head.blocks:
            for weight in self.head.weights:
                names[f"head_{weight.name}"] = weight
        if self.reranker is not None:
            for weight in self.reranker.weights:
                names[f"reranker_{weight.name}"] = weight
        return names

    def call(
        self, inputs: Mapping[str, tf.RaggedTensor | tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the scores and ids of the top 5 labels, [N, 5] each."""
        return self.top_k(inputs, k=5)


def _positives(label_ids, weights) -> sigmoid_cross_entropy.Positives:
    """Returns the label ids of a batch as rows, columns and weights."""
    if isinstance(label_ids, tf.RaggedTensor):
        rows = tf.cast(label_ids.value_rowids(), tf.int32)
        columns = tf.cast(label_ids.flat_values, tf.int32)
        return sigmoid_cross_entropy.Positives(
            rows, columns, tf.gather(weights, rows)
        )
    columns = tf.cast(label_ids, tf.int32)
    rows = tf.broadcast_to(
        tf.range(tf.shape(columns)[0])[:, None], tf.shape(columns)
    )
    is_label = tf.cast(columns >= 0, weights.dtype)
    return sigmoid_cross_entropy.Positives(
        rows, tf.maximum(columns, 0), weights[:, None] * is_label
    )
