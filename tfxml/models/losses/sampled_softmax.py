"""Sampled softmax: a softmax whose normaliser is estimated from a few labels.

# N instances, B outputs, P positives, S sampled outputs

The normaliser of an instance is the sum of exp(z) over its labels, and over the
others an estimate: the mean of exp(z) over S of them, drawn uniformly for the
batch, times how many others there are. The estimate is unbiased, so the logits
are those of the whole softmax (Bengio and Senécal, AISTATS 2003; Jean et al.,
ACL 2015). A step reads and moves the weights of the sampled outputs and the
batch's labels alone.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfxml.models import contract, sites, sparse_labels
from tfxml.models.losses import sampled_softmax_options, softmax_cross_entropy


class SampledSoftmax(softmax_cross_entropy.SoftmaxCrossEntropy):
    """Softmax cross-entropy that a head may compute from sampled outputs.

    A head that cannot sample takes all outputs.

    Args:
        num_sampled: S.
    """

    Options = sampled_softmax_options.SampledSoftmaxOptions

    def __init__(self, num_sampled: int = 1024):
        self.num_sampled = num_sampled

    @classmethod
    def from_options(cls, options: Any, site: sites.Site) -> SampledSoftmax:
        """Returns the loss that the options describe."""
        del site
        return cls(options.sampled_labels)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"num_sampled": self.num_sampled}

    def sampled_value(
        self,
        hits: tf.Tensor,
        others: tf.Tensor,
        sampled: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
        num_outputs: int,
    ) -> tf.Tensor:
        """Returns an estimate of `value`.

        Args:
            hits: [P], the logits of the positives.
            others: [N, S], the logits of sampled outputs.
            sampled: [S], which those are.
            positives: where the targets are 1, [P].
            weights: [N].
            num_outputs: B.
        """
        num_rows = tf.shape(others)[0]
        shares, totals = sparse_labels.shares(positives, num_rows, weights)
        is_label = tf.cast(positives.weights > 0, others.dtype)
        counts = tf.math.unsorted_segment_sum(
            is_label, positives.rows, num_rows
        )
        # A sampled output that is a label of the row does not count again.
        is_same = is_label[:, None] * tf.cast(
            positives.columns[:, None] == sampled, others.dtype
        )
        is_taken = tf.math.unsorted_segment_sum(
            is_same, positives.rows, num_rows
        )
        others -= 1e9 * is_taken
        left = tf.maximum(self.num_sampled - tf.reduce_sum(is_taken, 1), 1.0)
        scale = tf.math.log(tf.maximum(num_outputs - counts, 1e-6) / left)
        of_labels = _logsumexp_by_row(
            hits + 1e9 * (is_label - 1), positives.rows, num_rows
        )
        of_others = scale + tf.reduce_logsumexp(others, axis=1)
        normalizers = tf.reduce_logsumexp(
            tf.stack([of_labels, of_others]), axis=0
        )
        return tf.reduce_sum(totals * normalizers) - tf.reduce_sum(
            shares * hits
        )


def _logsumexp_by_row(
    values: tf.Tensor, rows: tf.Tensor, num_rows: tf.Tensor
) -> tf.Tensor:
    """Returns the logarithm of each row's sum of exponentials, [N]."""
    largest = tf.stop_gradient(
        tf.math.unsorted_segment_max(values, rows, num_rows)
    )
    largest = tf.maximum(largest, -1e9)  # of a row without any
    sums = tf.math.unsorted_segment_sum(
        tf.exp(values - tf.gather(largest, rows)), rows, num_rows
    )
    return largest + tf.math.log(tf.maximum(sums, 1e-30))
