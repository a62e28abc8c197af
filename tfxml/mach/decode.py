"""Decodes bucket scores into the labels on which the repetitions agree.

# N instances, L labels, R repetitions, B buckets, K top labels

A label's score is an estimate from the scores of its R buckets (Medini et al.,
NeurIPS 2019, section 3; the authors' code sums logits for label sets).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tfxml.mach import mach_choices
from tfxml.topk import dropping, merging, selection

LABEL_BLOCK_SIZE = 65536  # labels scored at a time


def top_k(
    bucket_logits: Sequence[tf.Tensor],
    hashes: Sequence[Callable[[tf.Tensor], tf.Tensor]],
    num_labels: int,
    k: int,
    estimator: str,
    label_block_size: int = LABEL_BLOCK_SIZE,
    dropped: Sequence[int] | np.ndarray = (),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the best labels' scores [N, K] and ids [N, K], best first.

    Scores every label, a block of labels at a time. Equal scores come in the
    order of their label ids. With fewer than `k` labels, K is their number.

    Args:
        bucket_logits: R tensors [N, B].
        hashes: R functions from label ids to bucket ids.
        num_labels: L.
        k: how many labels.
        estimator: `mean`, `logit`, `min` or `median`.
        label_block_size: how many labels are scored at a time.
        dropped: labels that are never answered, ascending; see `dropping`.

    Raises:
        tf.errors.InvalidArgumentError: if a logit is not a number (not on a
            TPU, which has no assertions).
    """
    check_estimator(estimator)
    return top_k_of_terms(
        terms(checked(bucket_logits), estimator),
        hashes,
        num_labels,
        k,
        estimator,
        label_block_size,
        dropped,
    )


def top_k_of_terms(
    repetition_terms: Sequence[tf.Tensor],
    hashes: Sequence[Callable[[tf.Tensor], tf.Tensor]],
    num_labels: int,
    k: int,
    estimator: str,
    label_block_size: int = LABEL_BLOCK_SIZE,
    dropped: Sequence[int] | np.ndarray = (),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what `top_k` does, from what `terms` returns."""
    repetition_terms = [
        tf.transpose(bucket_terms) for bucket_terms in repetition_terms
    ]  # [B, N]

    def best_of(label_ids):
        block = combine(
            [
                tf.gather(bucket_terms, bucket_ids(label_ids))
                for bucket_terms, bucket_ids in zip(
                    repetition_terms, hashes, strict=True
                )
            ],
            estimator,
        )  # [block, N]
        if len(dropped):
            is_dropped = dropping.is_among(label_ids, dropped)
            block = tf.where(is_dropped[:, None], -float("inf"), block)
        best, rows = selection.top_k_of_columns(
            block, min(k, label_ids.shape[0])
        )
        return best, rows + label_ids[0]

    k = min(k, num_labels - len(dropped))
    # All blocks have one size but the first, which holds the remainder and at
    # least k labels.
    first = num_labels - (num_labels - k) // label_block_size * label_block_size
    return _best_of_blocks(best_of, first, num_labels, k, label_block_size)


def _best_of_blocks(
    best_of: Callable, first: int, num_labels: int, k: int, block_size: int
):
    """Returns the best labels of a block of `first` and of equal blocks."""

    def is_left(start, scores, ids):
        return start < num_labels

    def step(start, scores, ids):
        # XLA takes a range of constants alone, so the start is added.
        block_scores, block_ids = best_of(start + tf.range(block_size))
        # Of equal scores those of earlier blocks come first.
        return start + block_size, *merging.merge_top_k(
            [scores, block_scores], [ids, block_ids], k
        )

    scores, ids = best_of(tf.range(first))
    if first == num_labels:
        return scores, ids
    return tf.while_loop(is_left, step, (tf.constant(first), scores, ids))[1:]


def checked(bucket_logits: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Returns the logits, which must be numbers."""
    checks = [
        tf.debugging.Assert(
            ~tf.reduce_any(tf.math.is_nan(logits)),
            [
                "`bucket_logits` must be numbers. Received: NaN in "
                f"repetition {r}"
            ],
        )
        for r, logits in enumerate(bucket_logits)
    ]
    with tf.control_dependencies(
        [check for check in checks if check is not None]
    ):
        return [tf.identity(logits) for logits in bucket_logits]


def check_estimator(estimator: str) -> None:
    """Raises ValueError unless there is such an estimator."""
    if estimator not in mach_choices.ESTIMATORS:
        raise ValueError(
            f"`estimator` must be one of {mach_choices.ESTIMATORS}. "
            f"Received: {estimator=}"
        )


def bucket_scores(bucket_logits: tf.Tensor, estimator: str) -> tf.Tensor:
    """Returns what the estimator combines: logits, or probabilities."""
    if estimator == "logit":
        return bucket_logits
    return tf.nn.sigmoid(bucket_logits)


def unbiased_mean(
    mean_scores: tf.Tensor, label_mass: tf.Tensor, num_buckets: int
) -> tf.Tensor:
    """Returns the mean estimate less what collisions add on average.

    A label's bucket holds its own probability and 1/B of the others':
    E[mean] = p + (V - p) / B, V the sum of all label probabilities. With
    V = 1 (one label an instance) this is the paper's B/(B-1) (mean - 1/B).

    Args:
        mean_scores: [N, K], a label's mean bucket probability.
        label_mass: [N, 1], V: the mean over repetitions of the sum over
            buckets.
        num_buckets: B.
    """
    return (num_buckets * mean_scores - label_mass) / (num_buckets - 1)


def terms(
    bucket_logits: Sequence[tf.Tensor], estimator: str
) -> list[tf.Tensor]:
    """Returns what `combine` takes of each repetition, R tensors [N, B]."""
    scores = [bucket_scores(logits, estimator) for logits in bucket_logits]
    return [
        score * sign
        for score, sign in zip(
            scores, signs(len(scores), estimator), strict=True
        )
    ]


def signs(num_repetitions: int, estimator: str) -> list[float]:
    """Returns each repetition's sign in `combine`.

    Sums are written as differences of negated terms. TensorFlow rewrites a
    chain of additions to one op that adds in the order of the buffers'
    addresses, so the last bit of a label's score would depend on where it is
    computed. Subtractions stay in order.
    """
    if estimator not in ("mean", "logit"):
        return [1.0] * num_repetitions
    return [1.0] + [-1.0] * (num_repetitions - 1)


def combine(repetition_terms: Sequence[tf.Tensor], estimator: str) -> tf.Tensor:
    """Returns one estimate of R terms of the same shape."""
    if estimator in ("mean", "logit"):
        total = repetition_terms[0]
        for term in repetition_terms[1:]:
            total = total - term
        # A product: TensorFlow rewrites quotients by constants to products.
        return total * (1 / len(repetition_terms))
    if estimator == "min":
        return tf.reduce_min(tf.stack(repetition_terms), axis=0)
    ordered = tf.sort(tf.stack(repetition_terms, axis=-1), axis=-1)
    middle = len(repetition_terms) // 2
    if len(repetition_terms) % 2:
        return ordered[..., middle]
    return (ordered[..., middle - 1] + ordered[..., middle]) / 2
