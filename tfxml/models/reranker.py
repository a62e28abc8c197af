"""The re-ranker: a sparse linear classifier per label ranks candidates again.

# N instances, D features, L labels, S candidates of an instance, F weights a
# label, C given labels, K top labels

The encoder squeezes an instance through H units, where the rare words that
decide rare labels get lost. Here each label has a linear classifier straight
from the features. Only a head's S best labels are ranked again, so the cost
does not grow with L. (Astec, Dahiya et al., WSDM 2021, re-ranks candidates too,
but from the encoder's output and with another part of the network.)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from tfxml.data import shared_memory
from tfxml.models import (
    forms,
    place_hashes,
    reranker_options,
    row_chunks,
    row_forms,
    sparse_rows,
    weight_table,
)
from tfxml.topk import merging

Rows: TypeAlias = row_forms.RaggedRows | sparse_rows.PaddedRows


@keras.saving.register_keras_serializable(package="tfxml")
class Reranker(keras.layers.Layer):
    """Ranks a head's candidates again, by a sparse linear classifier per label.

    No gradient trains its weights: `training.solvers.label_classifiers` solves
    for them and `assign` sets them. Until then the head's order stays.

    Args:
        num_labels: L.
        num_features: D.
        mean_features: F, how many weights a label can have on average.
        num_candidates: S.
        weight: of the margins in the final ranking; the head's logits get the
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
        num_slots = weight_table.capacity(num_labels, mean_features)
        num_groups = place_hashes.groups_before(num_slots, num_labels)

        def add_weight(name: str, size: int, dtype: str, value: float = 0):
            return self.add_weight(
                name=name,
                shape=(size,),
                dtype=dtype,
                initializer=keras.initializers.Constant(value),
                trainable=False,
            )

        self.splits = add_weight("splits", num_labels + 1, "int32")
        self.shifts = add_weight("shifts", num_groups, "int32")
        self.features = add_weight("features", num_slots, "int32", num_features)
        self.kernel = add_weight("kernel", num_slots, "float32")
        self.bias = add_weight("bias", num_labels, "float32")
        self.built = True

    def clear(self) -> None:
        """Takes all weights away, so that the head's order stays."""
        self._assign(
            shared_memory.zeros(weight.shape[0], weight.dtype)
            for weight in self._all_weights()
        )

    def assign(self, table: weight_table.Table) -> None:
        """Sets all weights; they may keep the table's memory."""
        self._assign(table)

    def _all_weights(self) -> list[keras.Variable]:
        """Returns the weights in the order of a table's members."""
        return [
            self.splits,
            self.shifts,
            self.features,
            self.kernel,
            self.bias,
        ]

    def _assign(self, arrays: Iterable[np.ndarray]) -> None:
        for weight, array in zip(self._all_weights(), arrays, strict=True):
            weight.assign(shared_memory.tensor(array))

    def form(self) -> forms.SparseReranker:
        """Returns its serving form."""
        return forms.SparseReranker(
            self.num_features,
            self.num_candidates,
            self.weight,
            self.splits,
            self.features,
            self.kernel,
            self.bias,
            self.shifts,
        )

    def get_config(self) -> dict:
        """Returns the arguments that build the layer again."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "num_features": self.num_features,
            "mean_features": self.mean_features,
            "num_candidates": self.num_candidates,
            "weight": self.weight,
        }

    def margins(self, rows: Rows, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the margins of given labels, [N, C].

        Args:
            rows: of the instances.
            label_ids: [N, C].
        """
        label_ids = tf.cast(label_ids, tf.int32)
        runs = weight_table.runs_of(self.splits.value, label_ids)
        bias = tf.gather(self.bias.value, label_ids)
        if isinstance(rows, sparse_rows.PaddedRows):
            runs = weight_table.Runs(*(member[:, None] for member in runs))
            weights = self._weights(rows.feature_ids, runs)
            return bias + tf.einsum("nk,nkc->nc", rows.values, weights)

        def products(chunk: row_chunks.Chunk) -> tuple[tf.Tensor]:
            # Pair each entry with the candidates of its row.
            entry_runs = weight_table.Runs(
                *(tf.gather(chunk.of(member), chunk.owners) for member in runs)
            )
            weights = self._weights(chunk.feature_ids, entry_runs)
            weights *= chunk.values[:, None]
            return (
                tf.math.unsorted_segment_sum(
                    weights, chunk.owners, chunk.num_rows
                ),
            )

        (sums,) = row_chunks.map_chunks(
            products, rows, (tf.TensorSpec([None, label_ids.shape[1]]),)
        )
        return bias + tf.reshape(sums, tf.shape(label_ids))

    def _weights(
        self, feature_ids: tf.Tensor, runs: weight_table.Runs
    ) -> tf.Tensor:
        """Returns the weights [..., C] of features [...] for labels."""
        hashes = [
            tf.cast(hashed, tf.int32)
            for hashed in weight_table.hashes_of(tf.cast(feature_ids, tf.int64))
        ]
        return weight_table.look_up(
            tf.cast(feature_ids, tf.int32),
            hashes,
            runs,
            self.shifts.value,
            self.features.value,
            self.kernel.value,
        )

    def rerank(
        self, rows: Rows, logits: tf.Tensor, label_ids: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' logits and ids, [N, K] each, best first.

        Args:
            rows: of the instances.
            logits, label_ids: [N, at least min(k, L) and S], a head's best.
            k: how many labels.
        """
        margins = self.margins(rows, label_ids[:, : self.num_candidates])
        return rank_again(margins, logits, label_ids, k, self.weight)

    def estimates(
        self, rows: Rows, logits: tf.Tensor, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns the logits [N, C] by which given labels are ranked.

        Args:
            rows: of the instances.
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
    """Returns the best labels' logits and ids, [N, K] each, best first.

    The first S are ranked again. The rest keep their order and stay below
    them, so a larger `k` only adds labels.

    Args:
        margins: [N, S], of the first labels.
        logits, label_ids: [N, at least k and S], a head's best; see
            `calibration.logits`.
        k: how many labels.
        weight: of the margins; see `Reranker`.
    """
    num_candidates = margins.shape[1]
    mixed = _mixed(margins, logits[:, :num_candidates], weight)
    best, positions = tf.math.top_k(mixed, num_candidates)
    ranked = merging.at_places(label_ids[:, :num_candidates], positions)
    if logits.shape[1] != num_candidates:
        rest = tf.minimum(
            logits[:, num_candidates:], tf.reduce_min(best, 1, keepdims=True)
        )
        best = tf.concat([best, rest], axis=1)
        ranked = tf.concat([ranked, label_ids[:, num_candidates:]], axis=1)
    return best[:, :k], ranked[:, :k]


def _mixed(margins, logits, weight: float):
    """Returns the weighted sum of margins and logits, tensors or arrays."""
    return (
        weight * reranker_options.LOGIT_OF_MARGIN * margins
        + (1 - weight) * logits
    )
