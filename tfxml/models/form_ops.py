"""Serving forms, read by TensorFlow.

# N instances, L labels, B outputs of a block, C given labels
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.mach import decode, hashing
from tfxml.models import forms


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
    form: forms.BlockRanking,
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
    form: forms.BlockRanking, logits: Sequence[tf.Tensor], best: tf.Tensor
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
