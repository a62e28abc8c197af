"""The model in plain ops over padded rows, for phones and browsers.

# N instances, M entries of a padded row, K top labels
"""

from __future__ import annotations

import pathlib

import tensorflow as tf

from tfxml.export.shared import plain_model
from tfxml.run import restore

SIGNATURE = "serving_default"


def save(
    run: restore.TrainedRun, folder: str | pathlib.Path, max_k: int
) -> None:
    """Writes a SavedModel for a converter, with the signature `SIGNATURE`.

    Inputs: `feature_ids` int32 [N, M] and `feature_values` float32 [N, M],
    each feature of an instance once, unused entries with value 0; `k` int32,
    from 1 to `max_k`. Outputs: `label_ids` int32, `scores` float32 and
    `is_answered` bool, [N, K] each.

    Args:
        run: what `checked_run.read` returns.
        folder: where to write it.
        max_k: the largest `k` of a request.
    """
    if max_k < 1:
        raise ValueError(f"`max_k` must be at least 1. Received: {max_k=}")
    max_labels = min(max_k, run.facts.num_labels)

    model = plain_model.PlainModel(run.model)

    def best(feature_ids, feature_values, k):
        if run.config.normalize_rows:
            feature_values = _normalized(feature_values)
        scores, label_ids = model.top_k(feature_ids, feature_values, max_labels)
        scores, label_ids = scores[:, :k], label_ids[:, :k]
        return {
            "scores": scores,
            "label_ids": label_ids,
            "is_answered": model.is_answered(scores, label_ids),
        }

    model.best = tf.function(
        best,
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, "feature_ids"),
            tf.TensorSpec([None, None], tf.float32, "feature_values"),
            tf.TensorSpec([], tf.int32, "k"),
        ],
        autograph=False,
    )
    tf.saved_model.save(
        model,
        str(folder),
        signatures={SIGNATURE: model.best},
        options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
    )


def _normalized(values: tf.Tensor) -> tf.Tensor:
    """Returns L2-normalised rows; empty rows stay empty."""
    squares = tf.reduce_sum(values * values, axis=1, keepdims=True)
    return values / tf.sqrt(tf.where(squares > 0, squares, 1.0))
