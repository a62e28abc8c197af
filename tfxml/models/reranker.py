"""A second look at the labels that a head finds best.

# N instances, D features, L labels, S labels of a candidates, F weights a
# label, T places of weights, G groups of them, C candidates, K top labels

The encoder squeezes an instance through H units, in which rare words that
decide rare labels get lost. Here each label has a linear classifier of its own,
straight from the features. It is asked only about a head's S best labels, so
that its cost does not grow with L. (Astec, Dahiya et al., WSDM 2021, ranks its
candidates again too, by the encoder's output; there it is a different part of
the network that says more.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.cpu import compiled
from tfxml.models import sparse_rows

LARGEST_LOGIT = 15.0  # where float32 probabilities stop telling
# A margin of 1, which a support vector has, counts as much as this logit.
LOGIT_OF_MARGIN = 5.0
# A label's weights lie in places found by hashes of the feature, no two in one.
# A first hash tells a weight's group, and each group has a shift of its own, by
# which all of its weights find free places (Belazzougui, Botelho,
# Dietzfelbinger, "Hash, displace, and compress", ESA 2009): so one look is
# enough. The place is the fraction of (third + second shift) / 2^20; no number
# is as large as 2^24, so that float32 is exact everywhere.
_WEIGHTS_OF_FIVE = 4  # places in use
_PLACES_OF_GROUP = 4
_BITS = 20  # of the first and the third hash
_LEAST_SECOND = 1 << 10  # its first bit, so that each shift moves each weight
_SHIFTS = 1 << 12  # how many there are
_STEP = 2531  # odd, from the shift that is tried to the next
_MULTIPLIERS = 2654435761, 2246822519, 3266489917  # 32 bits, without a pattern


class Runs(NamedTuple):
    """Where the places and groups of labels [...] lie."""

    starts: tf.Tensor  # [...] int32, the first place
    sizes: tf.Tensor  # [...] float32, how many places
    groups: tf.Tensor  # [...] int32, the first group
    num_groups: tf.Tensor  # [...] float32


class Table(NamedTuple):
    """The labels' own classifiers, to be looked up by label and feature."""

    splits: np.ndarray  # [L + 1] int32: where a label's places begin
    shifts: np.ndarray  # [G] int32; see `_groups_before`
    features: np.ndarray  # [T] int32; D: a place without a weight
    kernel: np.ndarray  # [T]
    bias: np.ndarray  # [L]


def room(num_labels: int, mean_features: int) -> int:
    """Returns T, for how many places there is room."""
    weights = num_labels * mean_features
    return -(-weights * 5 // _WEIGHTS_OF_FIVE) + num_labels


def table(
    labels: np.ndarray,
    features: np.ndarray,
    kernel: np.ndarray,
    bias: np.ndarray,
    num_features: int,
    mean_features: int,
) -> Table:
    """Returns the weights at their places.

    Args:
        labels, features, kernel: [W], each weight's label, feature and value,
            no pair of label and feature twice; W is at most L times
            `mean_features`.
        bias: [L].
        num_features: D.
        mean_features: F.
    """
    num_labels = len(bias)
    num_places = room(num_labels, mean_features)
    counts = np.bincount(labels, minlength=num_labels)
    starts = np.concatenate([[0], np.cumsum(counts)])
    splits = starts + starts // _WEIGHTS_OF_FIVE + np.arange(num_labels + 1)
    found = Table(
        splits.astype(np.int32),
        np.zeros(_groups_before(num_places, num_labels), np.int32),
        np.full(num_places, num_features, np.int32),
        np.zeros(num_places, np.float32),
        bias.astype(np.float32),
    )
    groups = _groups_before(splits, np.arange(num_labels + 1))
    first, *hashes = hashes_of(features.astype(np.int64))
    num_groups = np.diff(groups)
    group_of = groups[labels] + _part(first, num_groups[labels])
    sizes = np.bincount(group_of, minlength=groups[-1])
    # The largest groups come first, while there is space.
    by_size = np.argsort(-sizes.astype(np.int16), kind="stable")
    _fill(
        splits,
        by_size,
        np.repeat(np.arange(num_labels), num_groups)[by_size],
        np.concatenate([[0], np.cumsum(sizes)]),
        np.argsort(group_of),
        *(one.astype(np.int32) for one in hashes),
        features.astype(np.int32, copy=False),
        kernel.astype(np.float32, copy=False),
        found.shifts,
        found.features,
        found.kernel,
    )
    return found


def _groups_before(places, labels):
    """Returns how many groups are before so many labels and their places."""
    return places // _PLACES_OF_GROUP + labels


def _part(hashed: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Returns numbers below `sizes`, by hashes of 20 bits."""
    fraction = hashed.astype(np.float32) * np.float32(2.0**-_BITS)
    return (fraction * sizes.astype(np.float32)).astype(np.int64)


@compiled.loop
def _fill(
    splits,
    groups,
    labels,
    starts,
    order,
    second,
    third,
    features,
    kernel,
    shifts,
    places,
    weights,
):
    """Finds each group's shift and puts its weights at their places.

    `groups` come in this order, with their labels. `order` are the weights by
    group, `starts` where a group's begin. Of a group for which there is no
    shift the smallest weight is left out, as where two have the same second and
    the same third hash.
    """
    empty = places[-1]
    last = (1 << _BITS) - 1
    unit = np.float32(2.0**-_BITS)
    most = 0
    for group in range(len(groups)):
        most = max(most, starts[group + 1] - starts[group])
    found = np.empty(most, np.int64)
    for turn in range(len(groups)):
        group, label = groups[turn], labels[turn]
        some = order[starts[group] : starts[group + 1]]
        room = np.float32(splits[label + 1] - splits[label])
        left = len(some)
        number = shift = trial = 0
        while number < left:
            shifted = third[some[number]] + second[some[number]] * shift
            fraction = np.float32(shifted & last) * unit
            place = splits[label] + int(fraction * room)
            is_free = places[place] == empty
            for other in range(number):
                is_free &= found[other] != place
            found[number] = place
            number += 1
            if is_free:
                continue
            number = 0
            shift = (shift + _STEP) % _SHIFTS
            trial += 1
            if trial == _SHIFTS:
                trial = 0
                left -= 1
                least = left
                for other in range(left):
                    if abs(kernel[some[other]]) < abs(kernel[some[least]]):
                        least = other
                some[least] = some[left]
        for number in range(left):
            places[found[number]] = features[some[number]]
            weights[found[number]] = kernel[some[number]]
        shifts[group] = shift


def hashes_of(feature_ids):
    """Returns three hashes of an array or a tensor of int64.

    The first and the third have 20 bits, the second 11.
    """
    sizes = 1 << _BITS, _LEAST_SECOND, 1 << _BITS
    first, second, third = (
        feature_ids * multiplier % 2**32 // (2**32 // size)
        for multiplier, size in zip(_MULTIPLIERS, sizes, strict=True)
    )
    return [first, second + _LEAST_SECOND, third]


def runs_of(splits: tf.Tensor, label_ids: tf.Tensor) -> Runs:
    """Returns where the places and groups of labels [...] lie."""
    starts = tf.gather(splits, label_ids)
    ends = tf.gather(splits, label_ids + 1)
    groups = _groups_before(starts, label_ids)
    num_groups = _groups_before(ends, label_ids + 1) - groups
    return Runs(
        starts,
        tf.cast(ends - starts, tf.float32),
        groups,
        tf.cast(num_groups, tf.float32),
    )


def look_up(
    feature_ids: tf.Tensor,
    hashes: Sequence[tf.Tensor],
    runs: Runs,
    shifts: tf.Tensor,
    features: tf.Tensor,
    kernel: tf.Tensor,
) -> tf.Tensor:
    """Returns the weights [..., C] of features [...] for C labels.

    In the ops and numbers that every runtime has.

    Args:
        feature_ids: [...] int32.
        hashes: the features', as `hashes_of` returns them, int32.
        runs: the labels', [..., C].
        shifts, features, kernel: of the `Table`.
    """
    unit = 2.0**-_BITS
    first, second, third = (tf.expand_dims(one, -1) for one in hashes)
    fraction = tf.cast(first, tf.float32) * unit
    groups = runs.groups + tf.cast(fraction * runs.num_groups, tf.int32)
    shifted = third + second * tf.gather(shifts, groups)
    fraction = tf.cast(shifted, tf.float32) * unit
    fraction -= tf.floor(fraction)
    places = runs.starts + tf.cast(fraction * runs.sizes, tf.int32)
    is_it = tf.equal(
        tf.gather(features, places), tf.expand_dims(feature_ids, -1)
    )
    return tf.where(is_it, tf.gather(kernel, places), 0.0)


@keras.saving.register_keras_serializable(package="tfxml")
class Reranker(keras.layers.Layer):
    """A sparse linear classifier a label, over a head's candidates.

    Its weights are not trained by gradients: `training.reranking` learns them,
    and `assign` puts them here. Before that the head's order stays.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, for how many weights a label there is room, on
            average.
        num_candidates: S.
        share: of this layer's logit in what a label is ranked by; the rest is
            the head's.
    """

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        mean_features: int,
        num_candidates: int,
        share: float = 0.7,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.num_features = num_features
        self.mean_features = mean_features
        self.num_candidates = min(num_candidates, num_labels)
        self.share = share
        num_places = room(num_labels, mean_features)
        num_groups = _groups_before(num_places, num_labels)

        def weight(name: str, size: int, dtype: str, first: float = 0):
            return self.add_weight(
                name=name,
                shape=(size,),
                dtype=dtype,
                initializer=keras.initializers.Constant(first),
                trainable=False,
            )

        self.splits = weight("splits", num_labels + 1, "int32")
        self.shifts = weight("shifts", num_groups, "int32")
        self.features = weight("features", num_places, "int32", num_features)
        self.kernel = weight("kernel", num_places, "float32")
        self.bias = weight("bias", num_labels, "float32")
        self.built = True

    def assign(self, found: Table) -> None:
        """Takes the labels' classifiers from now on."""
        self.splits.assign(found.splits)
        self.shifts.assign(found.shifts)
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
            "num_candidates": self.num_candidates,
            "share": self.share,
        }

    def margins(self, rows, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns what the labels' own classifiers say, [N, C].

        Args:
            rows: `sparse_rows.RaggedRows` or `PaddedRows`.
            label_ids: [N, C].
        """
        label_ids = tf.cast(label_ids, tf.int32)
        runs = runs_of(self.splits.value, label_ids)
        bias = tf.gather(self.bias.value, label_ids)
        if isinstance(rows, sparse_rows.PaddedRows):
            runs = Runs(*(one[:, None] for one in runs))
            found = self._weights(rows.feature_ids, runs)
            return bias + tf.einsum("nk,nkc->nc", rows.values, found)

        def sums(some: sparse_rows.Chunk) -> tuple[tf.Tensor]:
            # Each entry meets the labels of its row.
            own = Runs(*(tf.gather(some.of(one), some.owners) for one in runs))
            found = self._weights(some.feature_ids, own)
            found *= some.values[:, None]
            return (
                tf.math.unsorted_segment_sum(found, some.owners, some.num_rows),
            )

        (found,) = sparse_rows.map_chunks(
            sums, rows, (tf.TensorSpec([None, label_ids.shape[1]]),)
        )
        return bias + tf.reshape(found, tf.shape(label_ids))

    def _weights(self, feature_ids, runs: Runs) -> tf.Tensor:
        """Returns the weights [..., C] of features [...] for labels."""
        hashes = [
            tf.cast(one, tf.int32)
            for one in hashes_of(tf.cast(feature_ids, tf.int64))
        ]
        return look_up(
            tf.cast(feature_ids, tf.int32),
            hashes,
            runs,
            self.shifts.value,
            self.features.value,
            self.kernel.value,
        )

    def rerank(
        self, rows, scores: tf.Tensor, label_ids: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K] each.

        Args:
            rows: `sparse_rows.RaggedRows` or `PaddedRows`.
            scores, label_ids: [N, at least min(k, L) and S], a head's best.
            k: how many labels.
        """
        margins = self.margins(rows, label_ids[:, : self.num_candidates])
        return rank_again(margins, scores, label_ids, k, self.share)

    def estimates(
        self, rows, scores: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the logits [N, C] by which labels are ranked.

        Args:
            rows: `sparse_rows.RaggedRows` or `PaddedRows`.
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
        share: of the margins; see `Reranker`.
    """
    size = margins.shape[1]
    estimates = _mixed(margins, scores[:, :size], share)
    best, places = tf.math.top_k(estimates, size)
    reranked = tf.gather(label_ids[:, :size], places, axis=1, batch_dims=1)
    if scores.shape[1] != size:
        behind = tf.minimum(
            _logits_of(scores[:, size:]), tf.reduce_min(best, 1, keepdims=True)
        )
        best = tf.concat([best, behind], axis=1)
        reranked = tf.concat([reranked, label_ids[:, size:]], axis=1)
    return tf.nn.sigmoid(best[:, :k]), reranked[:, :k]


def _mixed(margins, scores, share: float) -> tf.Tensor:
    return share * LOGIT_OF_MARGIN * margins + (1 - share) * _logits_of(scores)


def _logits_of(scores: tf.Tensor) -> tf.Tensor:
    """Returns the logits of a head's scores, kept finite."""
    least = tf.sigmoid(-LARGEST_LOGIT)
    scores = tf.clip_by_value(scores, least, 1 - least)
    return tf.math.log(scores) - tf.math.log1p(-scores)
