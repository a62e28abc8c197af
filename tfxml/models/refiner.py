"""A second look at the labels that a head finds best.

# N instances, D features, L labels, S labels of a shortlist, F weights a label,
# T buckets of weights, E features of all rows, C candidates, K top labels

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
import numpy as np
import tensorflow as tf

from tfxml import compiled

_LARGEST_LOGIT = 15.0  # where float32 probabilities stop telling
# A margin of 1, which a support vector has, counts as much as this logit.
_LOGIT_OF_MARGIN = 5.0
# A label's weights lie in buckets of so many places, found by a hash of the
# feature; half of the places are for use, so that few buckets run over.
_PLACES = 8
_USED = 4
_MULTIPLIER = 2654435761  # Knuth's, 2^32 over the golden ratio
_AT_ONCE = 32  # instances looked at together


class Table(NamedTuple):
    """The labels' own classifiers, to be looked up by label and feature."""

    splits: np.ndarray  # [L + 1] int32: where a label's buckets begin
    features: np.ndarray  # [T, 8] int32; D: a place without a weight
    kernel: np.ndarray  # [T, 8]
    bias: np.ndarray  # [L]


class Rows(NamedTuple):
    """Instances as the refiner reads them, ragged [E] or padded [N, K]."""

    feature_ids: tf.Tensor
    values: tf.Tensor
    splits: tf.Tensor | None  # [N + 1] int64; None: padded


def room(num_labels: int, mean_features: int) -> int:
    """Returns T, for how many buckets there is room."""
    return num_labels * (1 + -(-mean_features // _USED))


def table(
    labels: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    num_features: int,
    mean_features: int,
) -> Table:
    """Returns the weights in buckets.

    Of a bucket that would run over the smallest weights are left out; those
    are some in a thousand.

    Args:
        labels, features, kernel: [W], each weight's label, feature and value;
            W is at most L times `mean_features`.
        bias: [L].
        num_features: D.
        mean_features: F.
    """
    num_labels = len(bias)
    counts = np.bincount(labels, minlength=num_labels)
    sizes = np.maximum(-(-counts // _USED), 1)
    splits = np.concatenate([[0], np.cumsum(sizes)])
    shape = room(num_labels, mean_features), _PLACES
    found = Table(
        splits.astype(np.int32),
        np.full(shape, num_features, np.int32),
        np.zeros(shape, np.float32),
        bias.astype(np.float32),
    )
    hashed = hash_of(features.astype(np.int64))
    _fill(
        found.features,
        found.kernel,
        splits[labels] + hashed % sizes[labels],
        features,
        kernel,
    )
    return found


@compiled.loop
def _fill(places, weights, buckets, features, kernel):
    """Puts each weight into its bucket, from which the smallest may fall."""
    used = np.zeros(len(places), np.int64)
    for weight in range(len(kernel)):
        bucket = buckets[weight]
        place = used[bucket]
        if place < places.shape[1]:
            used[bucket] += 1
        else:
            place = np.argmin(np.abs(weights[bucket]))
            if abs(weights[bucket, place]) >= abs(kernel[weight]):
                continue
        places[bucket, place] = features[weight]
        weights[bucket, place] = kernel[weight]


def hash_of(feature_ids):
    """Returns numbers of 24 bits, of an array or a tensor of int64."""
    return feature_ids * _MULTIPLIER % 2**32 // 2**8


@keras.saving.register_keras_serializable(package="tfxml")
class Refiner(keras.layers.Layer):
    """A sparse linear classifier a label, over a head's shortlist.

    Its weights are not trained by gradients: `training.refining` learns them,
    and `assign` puts them here. Before that the head's order stays.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, for how many weights a label there is room, on
            average.
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
        shape = room(num_labels, mean_features), _PLACES

        def weight(name: str, shape: tuple, dtype: str, first: float = 0):
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer=keras.initializers.Constant(first),
                trainable=False,
            )

        self.splits = weight("splits", (num_labels + 1,), "int32")
        self.features = weight("features", shape, "int32", num_features)
        self.kernel = weight("kernel", shape, "float32")
        self.bias = weight("bias", (num_labels,), "float32")
        self.built = True

    def assign(self, found: Table) -> None:
        """Takes the labels' classifiers from now on."""
        self.splits.assign(found.splits)
        self.features.assign(found.features)
        self.kernel.assign(found.kernel)
        self.bias.assign(found.bias)

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

    def arrange(self, feature_ids, feature_values) -> Rows:
        """Returns the rows as the other methods take them.

        Args:
            feature_ids, feature_values: [N, (D)] ragged, or padded [N, K].
        """
        if isinstance(feature_ids, tf.RaggedTensor):
            return Rows(
                feature_ids.flat_values,
                feature_values.flat_values,
                feature_ids.row_splits,
            )
        return Rows(feature_ids, feature_values, None)

    def margins(self, rows: Rows, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns what the labels' own classifiers say, [N, C].

        Args:
            rows: what `arrange` returns.
            label_ids: [N, C].
        """
        label_ids = tf.cast(label_ids, tf.int32)
        starts = tf.gather(self.splits.value, label_ids)
        sizes = tf.gather(self.splits.value, label_ids + 1) - starts
        # A table that was not learnt yet has no buckets.
        runs = tf.stack([starts, tf.maximum(sizes, 1)], axis=-1)  # [N, C, 2]
        bias = tf.gather(self.bias.value, label_ids)
        if rows.splits is None:
            found = self._weights(rows.feature_ids, runs[:, None])
            return bias + tf.einsum("nk,nkc->nc", rows.values, found)
        num_rows = tf.shape(label_ids)[0]
        num_chunks = tf.maximum((num_rows + _AT_ONCE - 1) // _AT_ONCE, 1)

        def add(number, sums):
            first = number * _AT_ONCE
            last = tf.minimum(first + _AT_ONCE, num_rows)
            splits = rows.splits[first : last + 1]
            some = slice(splits[0], splits[-1])
            # Each entry meets the labels of its row.
            owners = tf.searchsorted(
                splits[1:], tf.range(splits[0], splits[-1]), side="right"
            )
            found = self._weights(
                rows.feature_ids[some], tf.gather(runs[first:last], owners)
            )
            found *= rows.values[some][:, None]
            return number + 1, sums.write(
                number,
                tf.math.unsorted_segment_sum(found, owners, last - first),
            )

        sums = tf.TensorArray(
            tf.float32,
            num_chunks,
            infer_shape=False,
            element_shape=[None, label_ids.shape[1]],
        )
        _, sums = tf.while_loop(
            lambda number, _: number < num_chunks, add, (0, sums)
        )
        return bias + tf.reshape(sums.concat(), tf.shape(label_ids))

    def _weights(self, feature_ids, runs) -> tf.Tensor:
        """Returns the weights [..., C] of features [...] for labels.

        `runs` are where the labels' buckets begin, and how many they are,
        [..., C, 2].
        """
        hashed = hash_of(tf.cast(feature_ids, tf.int64))
        hashed = tf.cast(hashed, tf.int32)[..., None]
        buckets = runs[..., 0] + tf.math.floormod(hashed, runs[..., 1])
        is_it = tf.equal(
            tf.gather(self.features.value, buckets),
            tf.cast(feature_ids, tf.int32)[..., None, None],
        )
        weights = tf.gather(self.kernel.value, buckets)
        return tf.reduce_sum(tf.where(is_it, weights, 0.0), axis=-1)

    def refine(
        self, rows: Rows, scores: tf.Tensor, label_ids: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each.

        Args:
            rows: what `arrange` returns.
            scores, label_ids: [N, at least min(k, L) and S], a head's best.
            k: how many labels.
        """
        margins = self.margins(rows, label_ids[:, : self.shortlist_size])
        return rank_again(margins, scores, label_ids, k, self.share)

    def estimates(
        self, rows: Rows, scores: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the logits [N, C] by which labels are ranked.

        Args:
            rows: what `arrange` returns.
            scores: [N, C], the head's.
            label_ids: [N, C].
        """
        return _mixed(self.margins(rows, label_ids), scores, self.share)


def rank_again(
    margins: tf.Tensor,
    scores: tf.Tensor,
    label_ids: tf.Tensor,
    k: int,
    share: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best labels' scores and ids, [N, K] each.

    The first S are ranked again. Those behind keep their order and stay
    behind, so that a larger `k` only adds labels.

    Args:
        margins: [N, S], what the first labels' own classifiers say.
        scores, label_ids: [N, at least k and S], a head's best.
        k: how many labels.
        share: of the margins; see `Refiner`.
    """
    size = margins.shape[1]
    estimates = _mixed(margins, scores[:, :size], share)
    best, places = tf.math.top_k(estimates, size)
    refined = tf.gather(label_ids[:, :size], places, axis=1, batch_dims=1)
    if scores.shape[1] != size:
        behind = tf.minimum(
            _logits_of(scores[:, size:]), tf.reduce_min(best, 1, keepdims=True)
        )
        best = tf.concat([best, behind], axis=1)
        refined = tf.concat([refined, label_ids[:, size:]], axis=1)
    return tf.nn.sigmoid(best[:, :k]), refined[:, :k]


def _mixed(margins, scores, share: float) -> tf.Tensor:
    return share * _LOGIT_OF_MARGIN * margins + (1 - share) * _logits_of(scores)


def _logits_of(scores: tf.Tensor) -> tf.Tensor:
    """Returns the logits of a head's scores, kept finite."""
    least = tf.sigmoid(-_LARGEST_LOGIT)
    scores = tf.clip_by_value(scores, least, 1 - least)
    return tf.math.log(scores) - tf.math.log1p(-scores)
