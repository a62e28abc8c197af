"""Sparse weights of labels in one table, looked up by label and feature.

# L labels, D features, F weights a label on average, T places of weights,
# G groups of them, C given labels

Each label has a run of places, and a weight's place follows from hashes of its
feature, no two weights in one place. The first hash says which group of its
label a weight is in. Each group has a shift, chosen so that all of its weights
find free places (Belazzougui, Botelho, Dietzfelbinger, "Hash, displace, and
compress", ESA 2009), so that one read finds a weight. The place is the fraction
(third hash + second hash * shift) / 2^20 of the run, without its whole part. No
number reaches 2^24, so float32 is exact in every runtime.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfxml.models import place_hashes

WEIGHTS_PER_GAP = 9  # of ten places one is empty


class Runs(NamedTuple):
    """The places and groups of labels [...]."""

    starts: tf.Tensor  # [...] int32, the first place
    sizes: tf.Tensor  # [...] float32, how many places
    groups: tf.Tensor  # [...] int32, the first group
    num_groups: tf.Tensor  # [...] float32


class Table(NamedTuple):
    """The weights of all labels and their biases."""

    splits: np.ndarray  # [L + 1] int32: where a label's places begin
    shifts: np.ndarray  # [G] int32; see `place_hashes.groups_before`
    features: np.ndarray  # [T] int32; D: a place without a weight
    kernel: np.ndarray  # [T]
    bias: np.ndarray  # [L]


def capacity(num_labels: int, mean_features: int) -> int:
    """Returns T, how many places are allocated."""
    weights = num_labels * mean_features
    return weights + -(-weights // WEIGHTS_PER_GAP) + num_labels


def hashes_of(feature_ids: Any) -> list:
    """Returns three hashes of an array or a tensor of int64.

    The first and the third have 20 bits, the second 11.
    """
    bits, least = place_hashes.BITS, place_hashes.LEAST_SECOND
    sizes = 1 << bits, least, 1 << bits
    first, second, third = (
        feature_ids * multiplier % 2**32 // (2**32 // size)
        for multiplier, size in zip(
            place_hashes.MULTIPLIERS, sizes, strict=True
        )
    )
    return [first, second + least, third]


def runs_of(splits: tf.Tensor, label_ids: tf.Tensor) -> Runs:
    """Returns the places and groups of labels [...]."""
    starts = tf.gather(splits, label_ids)
    ends = tf.gather(splits, label_ids + 1)
    groups = place_hashes.groups_before(starts, label_ids)
    num_groups = place_hashes.groups_before(ends, label_ids + 1) - groups
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

    Uses only ops and types that TensorFlow Lite and TensorFlow.js have.

    Args:
        feature_ids: [...] int32.
        hashes: the features', as `hashes_of` returns them, int32.
        runs: the labels', [..., C].
        shifts, features, kernel: of the `Table`.
    """
    unit = 2.0**-place_hashes.BITS
    first, second, third = (tf.expand_dims(hashed, -1) for hashed in hashes)
    fraction = tf.cast(first, tf.float32) * unit
    groups = runs.groups + tf.cast(fraction * runs.num_groups, tf.int32)
    shifted = third + second * tf.gather(shifts, groups)
    fraction = tf.cast(shifted, tf.float32) * unit
    fraction -= tf.floor(fraction)
    places = runs.starts + tf.cast(fraction * runs.sizes, tf.int32)
    has_weight = tf.equal(
        tf.gather(features, places), tf.expand_dims(feature_ids, -1)
    )
    return tf.where(has_weight, tf.gather(kernel, places), 0.0)
