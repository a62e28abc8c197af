"""Serving forms: what a model computes, described by a few plain classes.

# N instances, D features, H units, L labels, R repetitions, B outputs of a
# block, C given labels, P pages of an index

A head or an encoder may declare its form. The compiled CPU path, LiteRT and
TensorFlow.js read forms, not classes of heads, so each of them is written once.
The key idea: an independent-sigmoid head *is* MACH with one repetition whose
buckets are the labels.

A module without a form is run by TensorFlow alone. What TensorFlow computes
from forms is in `form_ops`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from tfxml.mach import hashing
from tfxml.models import calibration

if TYPE_CHECKING:
    import keras

# A weight of a model that is trained, or of one that only predicts.
Weight: TypeAlias = Union["keras.Variable", np.ndarray]


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

    tables: Sequence[Weight]
    kernels: Sequence[Weight]
    biases: Sequence[Weight]
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

    kernel: Weight
    bias: Weight
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
        estimator: how repetitions combine; see `mach_choices.ESTIMATORS`.
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
    splits: Weight
    labels: Weight
    kernel: Weight
    slope: float
    middle: float
    link: str
    dropped: np.ndarray


@dataclasses.dataclass(frozen=True)
class SparseReranker:
    """The re-ranker's table; see `weight_table`.

    Attributes:
        num_features: D.
        num_candidates: S.
        weight: of the margins in the final ranking.
        splits, features, kernel, bias: as in `weight_table.Table`.
        shifts: as there; None: of a run of an earlier version, without them.
    """

    num_features: int
    num_candidates: int
    weight: float
    splits: Weight
    features: Weight
    kernel: Weight
    bias: Weight
    shifts: Weight | None = None


@dataclasses.dataclass(frozen=True)
class ServingModel:
    """The forms of a whole model.

    Attributes:
        num_features: D.
        encoders: of each repetition's encoder; none: the head reads rows.
        head: of the head.
        head_link: from the head's estimates to scores; see `calibration`.
        link: from the model's.
        reranker: None: there is none.
        calibration: of the scores; None: there is none.
    """

    num_features: int
    encoders: Sequence[DenseStack]
    head: BlockRanking | InvertedIndex
    head_link: str
    link: str
    reranker: SparseReranker | None
    calibration: calibration.Calibration | None = None
