"""The re-ranker: a sparse linear classifier a label, over a head's candidates.

# N instances, D features, L labels, S candidates of an instance, F weights a
# label, T places of weights, G groups of them, C given labels, K top labels

The encoder squeezes an instance through H units, and rare words that decide
rare labels get lost there. Here each label has a linear classifier straight
from the features. It is asked about a head's S best labels only, so its cost
does not grow with L. (Astec, Dahiya et al., WSDM 2021, re-ranks its candidates
too, with the encoder's output; there another part of the network does it.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.models import sparse_rows

# A margin of 1, which a support vector has, counts as much as this logit.
LOGIT_OF_MARGIN = 5.0
# A label's weights lie in places found by hashes of the feature, no two in one.
# A first hash tells a weight's group, and each group has a shift of its own, by
# which all of its weights find free places (Belazzougui, Botelho,
# Dietzfelbinger, "Hash, displace, and compress", ESA 2009): so one look is
# enough. The place is the fraction of (third + second shift) / 2^20; no number
# is as large as 2^24, so that float32 is exact everywhere.
WEIGHTS_OF_FIVE = 4  # places in use
PLACES_OF_GROUP = 4
BITS = 20  # of the first and the third hash
LEAST_SECOND = 1 << 10  # its first bit, so that each shift moves each weight
MULTIPLIERS = 2654435761, 2246822519, 3266489917  # 32 bits, without a pattern


@dataclasses.dataclass(frozen=True)
class RerankerOptions:
    """Options of the re-ranker, and of how it is learnt."""

    reranker_passes: int = options_lib.option(
        0,
        "Passes over the data in which the re-ranker, a sparse linear SVM per "
        "label, is learnt after the last epoch. 0: no re-ranker.",
        minimum=0,
    )
    num_hard_negatives: int = options_lib.option(
        50, "Hard negatives mined per training instance.", minimum=1
    )
    reranker_cost: float = options_lib.option(
        1.0,
        "C of the re-ranker's SVMs. Smaller regularises more.",
        minimum=0,
    )
    reranker_features: int = options_lib.option(
        512,
        "Weights the re-ranker keeps per label on average; the largest of all "
        "labels are kept.",
        minimum=1,
    )
    reranker_centroid: float = options_lib.option(
        0.0,
        "How much of the centroid of a label's positives is added to its "
        "re-ranker weights. Helps rare labels.",
        minimum=0,
    )
    num_candidates: int = options_lib.option(
        50, "Labels of the head that the re-ranker ranks again.", minimum=1
    )
    reranker_weight: float = options_lib.option(
        0.7,
        "Weight of the re-ranker's margin in the final ranking; the head's "
        "logit has the rest.",
        minimum=0,
    )

    def check_reranker(self) -> None:
        """Raises ValueError for values out of range."""
        require = options_lib.require
        require(self.reranker_weight <= 1, "reranker_weight", "in [0, 1]", self)
        require(self.reranker_cost > 0, "reranker_cost", "above 0", self)


class Runs(NamedTuple):
    """Where the places and groups of labels [...] lie."""

    starts: tf.Tensor  # [...] int32, the first place
    sizes: tf.Tensor  # [...] float32, how many places
    groups: tf.Tensor  # [...] int32, the first group
    num_groups: tf.Tensor  # [...] float32


class Table(NamedTuple):
    """The weights of all labels, to be looked up by label and feature."""

    splits: np.ndarray  # [L + 1] int32: where a label's places begin
    shifts: np.ndarray  # [G] int32; see `groups_before`
    features: np.ndarray  # [T] int32; D: a place without a weight
    kernel: np.ndarray  # [T]
    bias: np.ndarray  # [L]


def capacity(num_labels: int, mean_features: int) -> int:
    """Returns T, how many places are allocated."""
    weights = num_labels * mean_features
    return -(-weights * 5 // WEIGHTS_OF_FIVE) + num_labels


def groups_before(places, labels):
    """Returns how many groups are before so many labels and their places."""
    return places // PLACES_OF_GROUP + labels


def hashes_of(feature_ids):
    """Returns three hashes of an array or a tensor of int64.

    The first and the third have 20 bits, the second 11.
    """
    sizes = 1 << BITS, LEAST_SECOND, 1 << BITS
    first, second, third = (
        feature_ids * multiplier % 2**32 // (2**32 // size)
        for multiplier, size in zip(MULTIPLIERS, sizes, strict=True)
    )
    return [first, second + LEAST_SECOND, third]


def runs_of(splits: tf.Tensor, label_ids: tf.Tensor) -> Runs:
    """Returns where the places and groups of labels [...] lie."""
    starts = tf.gather(splits, label_ids)
    ends = tf.gather(splits, label_ids + 1)
    groups = groups_before(starts, label_ids)
    num_groups = groups_before(ends, label_ids + 1) - groups
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
    unit = 2.0**-BITS
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

    Its weights are not trained by gradients:
    `training.solvers.label_classifiers` learns them, and `assign` puts them
    here. Before that the head's order stays.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, how many weights a label can have on average.
        num_candidates: S.
        weight: of this layer's logit in the final ranking; the head's has the
            rest.
    """

    def __init__(
        self,
        num_labels: int,
        num_features: int,
        mean_features: int,
        num_candidates: int,
        weight: float = 0.7,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.num_features = num_features
        self.mean_features = mean_features
        self.num_candidates = min(num_candidates, num_labels)
        self.weight = weight
        num_places = capacity(num_labels, mean_features)
        num_groups = groups_before(num_places, num_labels)

        def table(name: str, size: int, dtype: str, first: float = 0):
            return self.add_weight(
                name=name,
                shape=(size,),
                dtype=dtype,
                initializer=keras.initializers.Constant(first),
                trainable=False,
            )

        self.splits = table("splits", num_labels + 1, "int32")
        self.shifts = table("shifts", num_groups, "int32")
        self.features = table("features", num_places, "int32", num_features)
        self.kernel = table("kernel", num_places, "float32")
        self.bias = table("bias", num_labels, "float32")
        self.built = True

    def assign(self, table: Table) -> None:
        """Takes the weights from now on."""
        self.splits.assign(table.splits)
        self.shifts.assign(table.shifts)
        self.features.assign(table.features)
        self.kernel.assign(table.kernel)
        self.bias.assign(table.bias)

    def get_config(self) -> dict:
        """Returns what makes the layer again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "num_features": self.num_features,
            "mean_features": self.mean_features,
            "num_candidates": self.num_candidates,
            "weight": self.weight,
        }

    def margins(self, rows, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the margins of given labels, [N, C].

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
        self, rows, logits: tf.Tensor, label_ids: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' logits and ids, [N, K] each.

        Args:
            rows: `sparse_rows.RaggedRows` or `PaddedRows`.
            logits, label_ids: [N, at least min(k, L) and S], a head's best.
            k: how many labels.
        """
        margins = self.margins(rows, label_ids[:, : self.num_candidates])
        return rank_again(margins, logits, label_ids, k, self.weight)

    def estimates(
        self, rows, logits: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the logits [N, C] by which given labels are ranked.

        Args:
            rows: `sparse_rows.RaggedRows` or `PaddedRows`.
            logits: [N, C], the head's.
            label_ids: [N, C].
        """
        return _mixed(self.margins(rows, label_ids), logits, self.weight)


def rank_again(
    margins: tf.Tensor,
    logits: tf.Tensor,
    label_ids: tf.Tensor,
    k: int,
    weight: float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best labels' logits and ids, [N, K] each.

    The first S are ranked again. Those behind keep their order and stay
    behind, so that a larger `k` only adds labels.

    Args:
        margins: [N, S], of the first labels.
        logits, label_ids: [N, at least k and S], a head's best; see
            `calibration.logits`.
        k: how many labels.
        weight: of the margins; see `Reranker`.
    """
    size = margins.shape[1]
    mixed = _mixed(margins, logits[:, :size], weight)
    best, places = tf.math.top_k(mixed, size)
    ranked = tf.gather(label_ids[:, :size], places, axis=1, batch_dims=1)
    if logits.shape[1] != size:
        behind = tf.minimum(
            logits[:, size:], tf.reduce_min(best, 1, keepdims=True)
        )
        best = tf.concat([best, behind], axis=1)
        ranked = tf.concat([ranked, label_ids[:, size:]], axis=1)
    return best[:, :k], ranked[:, :k]


def _mixed(margins, logits, weight: float):
    """Returns the weighted sum of margins and logits; of arrays too."""
    return weight * LOGIT_OF_MARGIN * margins + (1 - weight) * logits
