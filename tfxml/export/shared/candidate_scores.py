"""The scores of given labels: of a candidate set, or of a block of labels.

# N instances, L labels, C given labels, R repetitions, B buckets, K top labels

A head's `top_k` scores all labels and hashes their ids with 64-bit integers.
Here the labels are given, and where they are given as an array their buckets
become constants of the graph, which phones and browsers can read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.mach import decode, hashing
from tfxml.models import extreme_classifier, sparse_rows
from tfxml.models.heads import mach_head


class Untracked:
    """Hides a Keras layer from a SavedModel, which needs its weights alone."""

    def __init__(self, value):
        self.value = value


def candidate_top_k(
    model: extreme_classifier.ExtremeClassifier,
    inputs: Mapping[str, tf.RaggedTensor | tf.Tensor],
    candidates: tf.Tensor,
    k: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best of the labels `candidates` [C], in any order.

    With fewer than `k` different candidates, K is their number.
    """
    candidates = tf.sort(tf.unique(candidates)[0])
    logits = model.head.logits(model.encode(inputs))
    ranked_by = estimates(model.head, logits, candidates)
    if model.reranker is not None:
        shape = tf.shape(ranked_by)
        ranked_by = model.reranker.estimates(
            sparse_rows.arrange(
                inputs[inputs_lib.FEATURE_IDS],
                inputs[inputs_lib.FEATURE_VALUES],
                model.num_features,
                "ragged",
            ),
            model.head.scores(logits, ranked_by),
            tf.broadcast_to(candidates, shape),
        )
    best, places = tf.math.top_k(ranked_by, tf.minimum(k, tf.size(candidates)))
    if model.reranker is None:
        best_scores = model.head.scores(logits, best)
    else:
        best_scores = tf.nn.sigmoid(best)
    return best_scores, tf.gather(candidates, places)


def estimates(head, logits, label_ids) -> tf.Tensor:
    """Returns what labels are ranked by, [N, C].

    Args:
        head: a `SigmoidHead` or a `MachHead`.
        logits: what `head.logits` returns.
        label_ids: C ids; those of a block come as an array, ascending.
    """
    if isinstance(head, mach_head.MachHead):
        chosen = [
            tf.gather(one, _buckets(label_hash, label_ids), axis=1)
            for one, label_hash in zip(
                decode.terms(logits, head.estimator), head.hashes, strict=True
            )
        ]
        return decode.combine(chosen, head.estimator)
    if isinstance(label_ids, np.ndarray):
        if is_run(label_ids):
            return logits[:, label_ids[0] : label_ids[-1] + 1]
        label_ids = label_ids.astype(np.int32)
    return tf.gather(logits, label_ids, axis=1)


def is_run(label_ids: np.ndarray) -> bool:
    """Tells whether ascending ids [C] follow one another without a gap."""
    return label_ids[-1] - label_ids[0] == len(label_ids) - 1


def _buckets(label_hash: hashing.UniversalHash, label_ids) -> tf.Tensor:
    """Returns the labels' buckets, [C] int32."""
    if not isinstance(label_ids, np.ndarray):
        return label_hash(label_ids)
    return tf.constant(label_hash.buckets(label_ids), tf.int32)
