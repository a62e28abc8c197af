"""The whole model: sparse rows -> encoders -> head.

# N instances, D features, K top labels
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfxml.models import encoders, losses, mach, sigmoid, sparse_rows


@keras.saving.register_keras_serializable(package="tfxml")
class ExtremeClassifier(keras.Model):
    """Encoders and a head under one roof.

    Args:
        encoders: none for a linear model, one that all outputs share, or one
            a world of MACH (separate trunks).
        head: a `SigmoidHead` or a `MachHead`.
        num_features: D.
        form: how rows are multiplied; see `sparse_rows.FORMS`.
    """

    def __init__(
        self,
        encoders: Sequence[encoders.Encoder],
        head: sigmoid.SigmoidHead | mach.MachHead,
        num_features: int,
        form: str,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.encoders = list(encoders)
        self.head = head
        self.num_features = num_features
        self.form = form
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
            }
        )

    def encode(
        self, feature_ids, feature_values, dropout_seed=None, encoders=None
    ) -> list:
        """Returns what the head reads: [N, H] an encoder, or the rows.

        `encoders` are some of the model's, where not all are needed.
        """
        if not self.encoders:
            return [
                sparse_rows.arrange(
                    feature_ids, feature_values, self.num_features, self.form
                )
            ]
        encoders = self.encoders if encoders is None else encoders
        # Trunks that hash no features read the same rows.
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
        feature_ids,
        feature_values,
        label_ids,
        weights,
        dropout_seed=None,
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar.

        Args:
            feature_ids: [N, (D)] ragged, or [N, K] padded with 0.
            feature_values: of the same shape; padded with 0.
            label_ids: [N, (L)] ragged, or [N, K] padded with -1.
            weights: [N]; the loss of a row with weight 0 does not count.
            dropout_seed: [2] int32, or None for no dropout.
        """
        encoded = self.encode(feature_ids, feature_values, dropout_seed)
        return self.head.loss(encoded, _positives(label_ids, weights), weights)

    def parts(self) -> list[ExtremeClassifier | Part]:
        """Returns what trains without knowing of the rest: one a device."""
        placed = [layer.device for layer in self.encoders or self.head.blocks]
        devices = list(dict.fromkeys(placed))
        if len(devices) == 1:
            return [self]
        return [Part(self, device) for device in devices]

    @property
    def device(self) -> str | None:
        """Where the model lies, if it lies in one place."""
        return self.head.blocks[0].device

    def top_k(self, feature_ids, feature_values, k: int):
        """Returns the best labels' scores and ids, [N, K] each, best first."""
        return self.head.top_k(self.encode(feature_ids, feature_values), k)

    def named_variables(self) -> dict[str, keras.Variable]:
        """Returns each weight under the name that checkpoints give it.

        (TensorFlow's checkpoints do not look into Keras' lists of layers.)
        """
        names = {}
        for index, encoder in enumerate(self.encoders):
            for weight in encoder.weights:
                names[f"trunk_{index}_{weight.name}"] = weight
        for index, block in enumerate(self.head.blocks):
            for weight in block.weights:
                names[f"block_{index}_{weight.name}"] = weight
        return names

    def call(self, inputs):
        """Returns the top 5 labels of (feature_ids, feature_values)."""
        feature_ids, feature_values = inputs
        return self.top_k(feature_ids, feature_values, k=5)


class Part:
    """The trunks and worlds of a MACH model that lie on one device.

    The others' gradients do not depend on them.
    """

    def __init__(self, model: ExtremeClassifier, device: str):
        blocks = model.head.blocks
        self._model = model
        self.device = device
        self.encoders = [one for one in model.encoders if one.device == device]
        worlds = [r for r, one in enumerate(blocks) if one.device == device]
        self.worlds = range(worlds[0], worlds[-1] + 1)
        self.trainable_variables = [
            weight
            for layer in [*self.encoders, *(blocks[r] for r in self.worlds)]
            for weight in layer.trainable_weights
        ]

    def loss_sum(
        self,
        feature_ids,
        feature_values,
        label_ids,
        weights,
        dropout_seed=None,
    ) -> tf.Tensor:
        """Returns the part's share of `ExtremeClassifier.loss_sum`."""
        encoded = self._model.encode(
            feature_ids, feature_values, dropout_seed, self.encoders
        )
        positives = _positives(label_ids, weights)
        return self._model.head.loss(encoded, positives, weights, self.worlds)


def _positives(label_ids, weights) -> losses.Positives:
    """Returns the label ids of a batch as rows, columns and weights."""
    if isinstance(label_ids, tf.RaggedTensor):
        rows = tf.cast(label_ids.value_rowids(), tf.int32)
        columns = tf.cast(label_ids.flat_values, tf.int32)
        return losses.Positives(rows, columns, tf.gather(weights, rows))
    columns = tf.cast(label_ids, tf.int32)
    rows = tf.broadcast_to(
        tf.range(tf.shape(columns)[0])[:, None], tf.shape(columns)
    )
    is_label = tf.cast(columns >= 0, weights.dtype)
    return losses.Positives(
        rows, tf.maximum(columns, 0), weights[:, None] * is_label
    )
