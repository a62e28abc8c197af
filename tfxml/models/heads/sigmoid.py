"""The independent-sigmoid head: P(label | x) for each label on its own.

# N instances, L labels, M labels of a batch, K top labels
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfxml.mach import decode
from tfxml.models import blocks
from tfxml.models.losses import sigmoid_cross_entropy
from tfxml.topk import dropping, selection


@keras.saving.register_keras_serializable(package="tfxml")
class SigmoidHead(keras.layers.Layer):
    """One sigmoid a label, in label blocks, so that [N, L] need not exist.

    Args:
        num_labels: L.
        input_dim: the encoder's width, or the number of features where
            `is_linear`.
        label_priors: [L], the share of the instances that carry each label.
        block_size: how many labels are computed at once.
        is_linear: whether there is no encoder (linear one-vs-rest).
        seed: of the initial weights.
        dropped: ids of labels that are never answered.
    """

    def __init__(
        self,
        num_labels: int,
        input_dim: int,
        label_priors: np.ndarray | None = None,
        block_size: int = 16384,
        is_linear: bool = False,
        seed: int = 0,
        dropped: Sequence[int] = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.block_size = block_size
        self.is_linear = is_linear
        self.seed = seed
        self.dropped = dropping.checked(dropped, num_labels)
        self.starts = range(0, num_labels, block_size)
        self.blocks = []
        for number, start in enumerate(self.starts):
            stop = min(start + block_size, num_labels)
            self.blocks.append(
                blocks.OutputBlock(
                    stop - start,
                    input_dim,
                    None if label_priors is None else label_priors[start:stop],
                    is_linear,
                    seed=seed * 1009 + number,
                )
            )
        self.built = True

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "input_dim": self.input_dim,
            "block_size": self.block_size,
            "is_linear": self.is_linear,
            "seed": self.seed,
            "dropped": self.dropped.tolist(),
        }

    def logits(self, encoded: Sequence) -> tf.Tensor:
        """Returns [N, L]."""
        return tf.concat(
            [block.logits(encoded[0]) for block in self.blocks], axis=1
        )

    def loss(
        self,
        encoded: Sequence,
        labels: sigmoid_cross_entropy.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns sum_i w_i sum_l cross-entropy, a scalar.

        Args:
            encoded: one tensor, what the only encoder returns.
            labels: the label ids of the batch, as positives.
            weights: [N].
        """
        return tf.add_n(
            [
                block.loss(
                    encoded[0],
                    _inside(labels, start, block.num_outputs),
                    weights,
                )
                for start, block in zip(self.starts, self.blocks, strict=True)
            ]
        )

    def top_k(self, encoded: Sequence, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' probabilities and ids, [N, K] each."""
        k = min(k, self.num_labels - len(self.dropped))
        best_logits, best_ids = [], []
        for start, block in zip(self.starts, self.blocks, strict=True):
            logits = block.logits(encoded[0])
            is_dropped = np.isin(
                np.arange(start, start + block.num_outputs), self.dropped
            )
            if is_dropped.any():
                logits = tf.where(is_dropped, -float("inf"), logits)
            logits, places = selection.top_k(logits, min(k, block.num_outputs))
            best_logits.append(logits)
            best_ids.append(places + start)
        logits, label_ids = decode.merge_top_k(best_logits, best_ids, k)
        return self.scores(logits, logits), label_ids

    def scores(self, logits: tf.Tensor, estimates: tf.Tensor) -> tf.Tensor:
        """Returns what labels of these estimates, logits, are shown with."""
        return tf.nn.sigmoid(estimates)


def _inside(labels: sigmoid_cross_entropy.Positives, start: int, size: int):
    """Returns the labels in [start, start + size); others get weight 0."""
    columns = labels.columns - start
    is_inside = (columns >= 0) & (columns < size)
    return sigmoid_cross_entropy.Positives(
        labels.rows,
        tf.where(is_inside, columns, 0),
        tf.where(is_inside, labels.weights, 0.0),
    )
