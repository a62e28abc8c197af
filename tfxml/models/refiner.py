"""A second look at the labels that a head finds best.

# N instances, D features, L labels, S labels of a shortlist, F weights a label,
# M pairs of an instance and a label, U distinct features of the batch,
# K top labels

The encoder squeezes an instance through H units, in which rare words that
decide rare labels get lost. Here each label has a linear classifier of its own,
straight from the features. It is asked only about a head's S best labels, so
that its cost does not grow with L. (Astec, Dahiya et al., WSDM 2021, ranks its
shortlist again too, by the encoder's output; there it is a different part of
the network that says more.)
"""

from __future__ import annotations

from typing import NamedTuple

import keras
import tensorflow as tf

from tfxml.models import sparse_rows

_LARGEST_LOGIT = 15.0  # where float32 probabilities stop telling
# A margin of 1, which a support vector has, counts as much as this logit.
_LOGIT_OF_MARGIN = 5.0
# A label has at most so many times the mean number of weights.
MOST_OF_MEAN = 8


class Weights(NamedTuple):
    """The labels' own classifiers, one after the other."""

    splits: tf.Tensor  # [L + 1] int64: where a label's weights begin
    features: tf.Tensor  # [L F] int32, ascending within a label
    kernel: tf.Tensor  # [L F]
    bias: tf.Tensor  # [L]


class Rows(NamedTuple):
    """Instances in which single features are looked up."""

    values: tf.Tensor  # [N, width], the last column of zeros
    columns: tf.Tensor  # [D + 1]: where a feature stands; absent: the last
    is_static: bool  # whether no shape may follow from values


@keras.saving.register_keras_serializable(package="tfxml")
class Refiner(keras.layers.Layer):
    """A sparse linear classifier a label, over a head's shortlist.

    Its weights are not trained by gradients: `training.refining` learns them,
    and `assign` puts them here. Before that the head's order stays.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, for how many weights a label there is room, on
            average; a single one has at most `MOST_OF_MEAN` times as many.
        shortlist_size: S.
        share: of this layer's logit in what a label is ranked by; the rest is
            the head's.
    """

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        mean_features: int,
        shortlist_size: int,
        share: float = 0.7,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.num_features = num_features
        self.mean_features = mean_features
        self.shortlist_size = min(shortlist_size, num_labels)
        self.share = share
        room = num_labels * mean_features

        def weight(name: str, size: int, dtype: str, initializer="zeros"):
            return self.add_weight(
                name=name,
                shape=(size,),
                dtype=dtype,
                initializer=initializer,
                trainable=False,
            )

        self.splits = weight("splits", num_labels + 1, "int64")
        self.features = weight(
            "features",
            room,
            "int32",
            keras.initializers.Constant(num_features),
        )
        self.kernel = weight("kernel", room, "float32")
        self.bias = weight("bias", num_labels, "float32")
        self.built = True

    @property
    def most_features(self) -> int:
        """How many weights a label has at most."""
        return MOST_OF_MEAN * self.mean_features

    def assign(self, weights: Weights) -> None:
        """Takes the labels' classifiers from now on."""
        self.splits.assign(weights.splits)
        self.features.assign(weights.features)
        self.kernel.assign(weights.kernel)
        self.bias.assign(weights.bias)

    def get_config(self) -> dict:
        """Returns what makes the layer again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "num_features": self.num_features,
            "mean_features": self.mean_features,
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

    def margins(
        self, rows: Rows, row_ids: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns what the labels' own classifiers say, [M].

        Args:
            rows: what `arrange` returns.
            row_ids, label_ids: [M] int32, the pairs.
        """
        starts = tf.gather(self.splits.value, label_ids)
        ends = tf.gather(self.splits.value, label_ids + 1)
        first_values = row_ids * tf.shape(rows.values)[1]
        if rows.is_static:
            steps = tf.range(self.most_features, dtype=tf.int64)
            places = starts[:, None] + steps
            is_own = places < ends[:, None]
            places = tf.where(is_own, places, 0)
            terms = self._terms(rows, places, first_values[:, None])
            sums = tf.reduce_sum(tf.where(is_own, terms, 0.0), axis=1)
        else:
            splits, places = tf.raw_ops.RaggedRange(
                starts=starts,
                limits=ends,
                deltas=tf.constant(1, tf.int64),
            )
            owners = tf.ragged.row_splits_to_segment_ids(splits)
            terms = self._terms(rows, places, tf.gather(first_values, owners))
            sums = tf.math.unsorted_segment_sum(
                terms, owners, tf.size(label_ids)
            )
        return sums + tf.gather(self.bias.value, label_ids)

    def _terms(self, rows: Rows, places, first_values) -> tf.Tensor:
        """Returns weights times values; `first_values` are rows' places."""
        columns = tf.gather(
            rows.columns, tf.gather(self.features.value, places)
        )
        values = tf.gather(
            tf.reshape(rows.values, [-1]), first_values + columns
        )
        return tf.gather(self.kernel.value, places) * values

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
        own = self.margins(rows, row_ids, tf.reshape(label_ids, [-1]))
        own = _LOGIT_OF_MARGIN * tf.reshape(own, shape)
        return self.share * own + (1 - self.share) * _logits_of(scores)


def _logits_of(scores: tf.Tensor) -> tf.Tensor:
    """Returns the logits of a head's scores, kept finite."""
    least = tf.sigmoid(-_LARGEST_LOGIT)
    scores = tf.clip_by_value(scores, least, 1 - least)
    return tf.math.log(scores) - tf.math.log1p(-scores)
