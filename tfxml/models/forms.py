"""Serving forms: what a model computes, described by a few plain classes.

# N instances, D features, H units, L labels, R repetitions, B outputs of a
# block, C given labels, P pages of an index

A head or an encoder may declare its form. The compiled CPU path, LiteRT and
TensorFlow.js read forms, not classes of heads, so each of them is written once.
The key idea: an independent-sigmoid head *is* MACH with one repetition whose
buckets are the labels.

A module without a form is run by TensorFlow alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.mach import decode, hashing
from tfxml.models import calibration


@dataclasses.dataclass(frozen=True)
class DenseStack:
    """ReLU layers over a bag of features.

    Attributes:
        tables: the first kernel [D, H], in runs of rows.
        kernels: the kernels of the other layers, [H, H'].
        biases: one per layer.
        is_residual: whether a layer's input is added where widths agree.
        feature_hash: maps the data's feature ids to those of the tables, or
            None.
    """

    tables: Sequence[keras.Variable]
    kernels: Sequence[keras.Variable]
    biases: Sequence[keras.Variable]
    is_residual: bool
    feature_hash: hashing.UniversalHash | None


@dataclasses.dataclass(frozen=True)
class Block:
    """Outputs of one product: a block of labels, or a repetition's buckets.

    Attributes:
        kernel: [B, H]; of a linear block, which reads rows, [D, B].
        bias: [B].
        is_linear: whether it reads the rows directly.
    """

    kernel: keras.Variable
    bias: keras.Variable
    is_linear: bool


@dataclasses.dataclass(frozen=True)
class BlockRanking:
    """Labels ranked by the logits of blocks.

    Attributes:
        num_labels: L.
        blocks: without hashes, runs of labels; with hashes, R repetitions, of
            which equal runs share an encoder.
        hashes: of each repetition, from label to bucket; None: the outputs of
            the blocks are the labels.
        estimator: how repetitions combine; see `decode.ESTIMATORS`.
        is_unbiased: whether collisions are taken out of a mean estimate.
        link: from estimates to scores; see `calibration`.
        dropped: ids of labels that are never answered, ascending.
        is_exhaustive: whether it is best to score every label; else
            TensorFlow's threshold decode scores few.
    """

    num_labels: int
    blocks: Sequence[Block]
    hashes: Sequence[hashing.UniversalHash] | None = None
    estimator: str = "logit"
    is_unbiased: bool = False
    link: str = calibration.SIGMOID
    dropped: np.ndarray = dataclasses.field(
        default_factory=lambda: np.zeros(0, np.int64)
    )
    is_exhaustive: bool = True


@dataclasses.dataclass(frozen=True)
class InvertedIndex:
    """Labels ranked by products of rows with sparse label vectors.

    Attributes:
        num_labels: L.
        splits: [D + 1], where a feature's pages begin.
        labels: [P, 32], the labels of a page.
        kernel: [P, 32], their weights; 0: an unused slot.
        slope, middle: estimate = slope * (product - middle).
        link: from estimates to scores; see `calibration`.
        dropped: ids of labels that are never answered, ascending.
    """

    num_labels: int
    splits: keras.Variable
    labels: keras.Variable
    kernel: keras.Variable
    slope: float
    middle: float
    link: str
    dropped: np.ndarray


def variables(form: Any) -> list[keras.Variable]:
    """Returns every variable that a form holds."""
    if isinstance(form, keras.Variable):
        return [form]
    if dataclasses.is_dataclass(form):
        form = [getattr(form, field.name) for field in dataclasses.fields(form)]
    if not isinstance(form, (list, tuple)):
        return []
    return [variable for member in form for variable in variables(member)]


def estimates(
    form: BlockRanking,
    logits: Sequence[tf.Tensor],
    label_ids: tf.Tensor | np.ndarray,
) -> tf.Tensor:
    """Returns the estimates that rank given labels, [N, C].

    Args:
        form: of the head.
        logits: of each block, [N, B]; without hashes one tensor of all
            labels, [N, L].
        label_ids: [C]. An array, ascending, becomes constants of the graph,
            which need no hash of 64-bit integers.
    """
    if form.hashes is None:
        (label_logits,) = logits
        if isinstance(label_ids, np.ndarray):
            if is_run(label_ids):
                return label_logits[:, label_ids[0] : label_ids[-1] + 1]
            label_ids = label_ids.astype(np.int32)
        return tf.gather(label_logits, label_ids, axis=1)
    label_terms = [
        tf.gather(terms, _buckets(label_hash, label_ids), axis=1)
        for terms, label_hash in zip(
            decode.terms(logits, form.estimator), form.hashes, strict=True
        )
    ]
    return decode.combine(label_terms, form.estimator)


def finished(
    form: BlockRanking, logits: Sequence[tf.Tensor], best: tf.Tensor
) -> tf.Tensor:
    """Returns estimates without the average effect of collisions, [N, K].

    For all labels of an instance this subtracts the same number and multiplies
    by the same positive factor, so the order stays.
    """
    if not form.is_unbiased or form.hashes is None:
        return best
    masses = [
        tf.reduce_sum(tf.nn.sigmoid(repetition_logits), axis=1, keepdims=True)
        for repetition_logits in logits
    ]
    return decode.unbiased_mean(
        best, tf.add_n(masses) / len(masses), form.hashes[0].num_buckets
    )


def is_run(label_ids: np.ndarray) -> bool:
    """Tells whether ascending ids [C] follow one another without a gap."""
    return label_ids[-1] - label_ids[0] == len(label_ids) - 1


def _buckets(label_hash: hashing.UniversalHash, label_ids) -> tf.Tensor:
    """Returns the labels' buckets, [C] int32."""
    if not isinstance(label_ids, np.ndarray):
        return label_hash(label_ids)
    return tf.constant(label_hash.buckets(label_ids), tf.int32)
