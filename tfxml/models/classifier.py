"""The whole model: sparse rows -> encoders -> head.

# N instances, D features, K top labels
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfxml.models import encoders, losses, mach, sigmoid, sparse_rows


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

    def encode(self, feature_ids, feature_values, dropout_seed=None) -> list:
        """Returns what the head reads: [N, H] an encoder, or the rows."""
        rows = sparse_rows.arrange(
            feature_ids, feature_values, self.num_features, self.form
        )
        if not self.encoders:
            return [rows]
        return [
            encoder.call(rows, dropout_seed=dropout_seed)
            for encoder in self.encoders
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


def _positives(label_ids, weights) -> losses.Positives:
    """Returns the label ids of a batch as rows, columns and weights."""
    if isinstance(label_ids, tf.RaggedTensor):
        rows = tf.cast(label_ids.value_rowids(), tf.int32)
        columns = tf.cast(label_ids.flat_values, tf.int32)
        return losses.Positives(rows, columns, tf.gather(weights, rows))
    shape = tf.shape(label_ids)
    columns = tf.reshape(tf.cast(label_ids, tf.int32), [-1])
    rows = tf.repeat(tf.range(shape[0]), shape[1])
    is_label = tf.cast(columns >= 0, weights.dtype)
    return losses.Positives(
        rows, tf.maximum(columns, 0), tf.gather(weights, rows) * is_label
    )
