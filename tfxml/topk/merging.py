"""Merges the best labels of several blocks.

# N instances, K best
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def merge_top_k(
    scores: Sequence[tf.Tensor], ids: Sequence[tf.Tensor], k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best scores and their ids, [N, K] each, best first.

    Of equal scores those of earlier blocks come first.

    Args:
        scores, ids: of each block, [N, at most K], best first.
        k: how many labels.
    """
    if len(scores) == 1:
        return scores[0], ids[0]
    all_scores = tf.concat(scores, axis=1)
    best, places = tf.math.top_k(all_scores, min(k, all_scores.shape[1]))
    return best, at_places(tf.concat(ids, axis=1), places)


def at_places(rows: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Returns what stands at given places of each row, [N, K].

    Gathers from one long row: TensorFlow.js in WebAssembly answers the second
    and later rows of a gather with `batch_dims` with places of other rows.

    Args:
        rows: [N, M].
        places: [N, K] int32, below M.
    """
    num_rows, width = tf.unstack(tf.shape(rows))
    starts = tf.range(num_rows)[:, None] * width
    return tf.gather(tf.reshape(rows, [-1]), places + starts)
