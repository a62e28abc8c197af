"""A second look at the labels that a head finds best.

# N instances, D features, L labels, S labels of a shortlist, F features of a
# label, M pairs of an instance and a label, V distinct labels of the pairs,
# U distinct features of the batch, K top labels

The encoder squeezes an instance through H units, in which rare words that
decide rare labels get lost. Here each label has a linear classifier of its own,
straight from the features, over the F features that its instances show most:
an output layer of fixed fan-in. It is asked only about a head's S best labels,
and trained on them and the positives, so that a step's cost does not grow with
L. (Astec, Dahiya et al., WSDM 2021, ranks its shortlist again too, by the
encoder's output; there it is a different part of the network that says more.)
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import losses, sparse_rows

# A label is rare among those that the head mistakes for positives.
_FIRST_LOGIT = -2.0
_LARGEST_LOGIT = 15.0  # where float32 probabilities stop telling


class Rows(NamedTuple):
    """Instances in which single features are looked up."""

    values: tf.Tensor  # [N, width], the last column of zeros
    columns: tf.Tensor  # [D + 1]: where a feature stands; absent: the last
    is_static: bool  # whether no shape may follow from values


@keras.saving.register_keras_serializable(package="tfxml")
class Refiner(keras.layers.Layer):
    """A sparse linear classifier a label, over a head's shortlist.

    Args:
        num_labels: L.
        num_features: D.
        fan_in: F.
        shortlist_size: S.
        share: of this layer's logit in what a label is ranked by; the rest is
            the head's.
        label_features: [L, F], the features that each label reads, D where it
            has fewer; None: none yet.
    """

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        fan_in: int,
        shortlist_size: int,
        share: float = 0.5,
        label_features: np.ndarray | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.num_features = num_features
        self.fan_in = fan_in
        self.shortlist_size = min(shortlist_size, num_labels)
        self.share = share
        self.features = self.add_weight(
            name="features",
            shape=(num_labels, fan_in),
            dtype="int32",
            initializer=keras.initializers.Constant(num_features),
            trainable=False,
        )
        if label_features is not None:
            self.features.assign(label_features)
        self.kernel = self.add_weight(
            name="kernel", shape=(num_labels, fan_in), initializer="zeros"
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(num_labels,),
            initializer=keras.initializers.Constant(_FIRST_LOGIT),
        )
        self.built = True

    def get_config(self) -> dict:
        """Returns what makes the layer again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "num_features": self.num_features,
            "fan_in": self.fan_in,
            "shortlist_size": self.shortlist_size,
            "share": self.share,
        }

    def arrange(self, feature_ids, feature_values, form: str) -> Rows:
        """Returns the rows as the other methods take them.

        Args:
            feature_ids, feature_values: [N, (D)] ragged, or padded [N, K].
            form: how the model multiplies rows; see `sparse_rows.FORMS`.
        """
        width = self.num_features + 1
        if form != "compact" or not isinstance(feature_ids, tf.RaggedTensor):
            values = sparse_rows.arrange(
                feature_ids, feature_values, width, "dense"
            )
            return Rows(values, tf.range(width), form == "padded")
        rows = sparse_rows.arrange(feature_ids, feature_values, width, form)
        num_distinct = tf.size(rows.feature_ids)
        columns = tf.tensor_scatter_nd_update(
            tf.fill([width], num_distinct),
            rows.feature_ids[:, None],
            tf.range(num_distinct),
        )
        shape = tf.stack([rows.num_rows, tf.cast(num_distinct, tf.int64) + 1])
        values = tf.scatter_nd(rows.indices, rows.values, shape)
        return Rows(values, columns, False)

    def logits(
        self, rows: Rows, row_ids: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns what the labels' own classifiers say, [M].

        Args:
            rows: what `arrange` returns.
            row_ids, label_ids: [M] int32, the pairs.
        """
        if rows.is_static:
            return self._logits(rows, row_ids, label_ids, lambda x: x)
        distinct, places = tf.unique(label_ids)
        return self._logits(
            rows, row_ids, distinct, lambda x: tf.gather(x, places)
        )

    def _logits(self, rows, row_ids, labels, of_pairs) -> tf.Tensor:
        features = tf.gather(self.features.value, labels)  # [V, F]
        columns = of_pairs(tf.gather(rows.columns, features))  # [M, F]
        width = tf.shape(rows.values)[1]
        found = tf.gather(
            tf.reshape(rows.values, [-1]), row_ids[:, None] * width + columns
        )
        kernel = of_pairs(tf.gather(self.kernel.value, labels))
        bias = of_pairs(tf.gather(self.bias.value, labels))
        return tf.reduce_sum(kernel * found, axis=1) + bias

    def loss(
        self,
        rows: Rows,
        shortlist: tf.Tensor,
        positives: losses.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of cross-entropies, a scalar.

        The terms of an instance are those of its positive labels and of the
        others in its shortlist.

        Args:
            rows: what `arrange` returns.
            shortlist: [N, S] label ids.
            positives: the labels of the batch.
            weights: [N].
        """
        is_positive = _is_in(shortlist, positives, self.num_labels)
        negative_weights = tf.where(is_positive, 0.0, weights[:, None])
        row_ids = tf.broadcast_to(
            tf.range(tf.shape(shortlist)[0])[:, None], tf.shape(shortlist)
        )
        num_negatives = tf.size(shortlist)
        logits = self.logits(
            rows,
            _joined(row_ids, positives.rows),
            _joined(shortlist, positives.columns),
        )
        return tf.reduce_sum(
            tf.reshape(negative_weights, [-1])
            * tf.nn.softplus(logits[:num_negatives])
        ) + tf.reduce_sum(
            tf.reshape(positives.weights, [-1])
            * tf.nn.softplus(-logits[num_negatives:])
        )

    def refine(
        self, rows: Rows, scores: tf.Tensor, label_ids: tf.Tensor, k: int
    ) -> tf.Tensor:
        """Returns the best labels' scores and ids, [N, K] each.

        The first S are ranked again. Those behind keep their order and stay
        behind, so that a larger `k` only adds labels.

        Args:
            rows: what `arrange` returns.
            scores, label_ids: [N, at least min(k, L) and S], a head's best.
            k: how many labels.
        """
        size = self.shortlist_size
        estimates = self.estimates(rows, scores[:, :size], label_ids[:, :size])
        best, places = tf.math.top_k(estimates, size)
        refined = tf.gather(label_ids, places, axis=1, batch_dims=1)
        behind = tf.minimum(
            _logits_of(scores[:, size:]), tf.reduce_min(best, 1, keepdims=True)
        )
        best = tf.nn.sigmoid(tf.concat([best, behind], axis=1))
        return best[:, :k], tf.concat([refined, label_ids[:, size:]], 1)[:, :k]

    def estimates(
        self, rows: Rows, scores: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the logits [N, C] by which labels are ranked.

        Args:
            rows: what `arrange` returns.
            scores: [N, C], the head's.
            label_ids: [N, C].
        """
        shape = tf.shape(label_ids)
        row_ids = tf.repeat(tf.range(shape[0]), shape[1])
        own = self.logits(rows, row_ids, tf.reshape(label_ids, [-1]))
        own = tf.reshape(own, shape)
        return self.share * own + (1 - self.share) * _logits_of(scores)


def _logits_of(scores: tf.Tensor) -> tf.Tensor:
    """Returns the logits of a head's scores, kept finite."""
    least = tf.sigmoid(-_LARGEST_LOGIT)
    scores = tf.clip_by_value(scores, least, 1 - least)
    return tf.math.log(scores) - tf.math.log1p(-scores)


def _joined(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.reshape(one, [-1]), tf.reshape(other, [-1])], axis=0)


def _is_in(
    shortlist: tf.Tensor, positives: losses.Positives, num_labels: int
) -> tf.Tensor:
    """Returns which of [N, S] labels are positives of their instances."""

    def keys(rows, columns):
        rows = tf.cast(rows, tf.int64)
        return rows * num_labels + tf.cast(columns, tf.int64)

    known = tf.where(
        positives.weights > 0, keys(positives.rows, positives.columns), -1
    )
    known = tf.sort(tf.reshape(known, [-1]))
    known = tf.concat([known, [tf.int64.max]], axis=0)
    wanted = keys(tf.range(tf.shape(shortlist)[0])[:, None], shortlist)
    places = tf.searchsorted(known, tf.reshape(wanted, [-1]))
    found = tf.gather(known, places)
    return tf.reshape(found, tf.shape(shortlist)) == wanted
