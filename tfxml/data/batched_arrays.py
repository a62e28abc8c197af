"""Reads a `tf.data.Dataset` of batches into arrays in memory.

# N instances, D features
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse
import tensorflow as tf

from tfxml.data import inputs as inputs_lib


class Arrays(NamedTuple):
    """The instances of all batches."""

    X: scipy.sparse.csr_matrix | np.ndarray | list[str]
    Y: list[list] | None  # ids or names; None: batches without labels
    weights: np.ndarray | None  # [N]


def of(dataset: tf.data.Dataset, num_features: int | None = None) -> Arrays:
    """Returns the instances of batches.

    Args:
        dataset: batches of inputs, (inputs, labels) or (inputs, labels,
            weights). Inputs are strings [n], dense rows [n, D], or
            {"feature_ids", "feature_values"}, ragged or padded. Labels are ids
            or strings, ragged, or padded with -1.
        num_features: D of sparse inputs; None: the largest id and one more.

    Raises:
        ValueError: for elements of another kind, or no element.
    """
    features, labels, weights = [], [], []
    for element in dataset:
        inputs, *labels_and_weights = (
            element if isinstance(element, tuple) else (element,)
        )
        features.append(_features(inputs))
        if labels_and_weights:
            labels += _sets(labels_and_weights[0])
        if len(labels_and_weights) > 1:
            weights.append(labels_and_weights[1].numpy())
    if not features:
        raise ValueError("`X` must hold a batch. Received: an empty data set")
    has_labels = isinstance(dataset.element_spec, tuple)
    return Arrays(
        _joined(features, num_features),
        labels if has_labels else None,
        np.concatenate(weights) if weights else None,
    )


def _features(inputs) -> tuple | np.ndarray:
    """Returns a batch's lengths, ids and values; or its dense rows or texts."""
    if not isinstance(inputs, dict):
        if inputs.shape.rank != (1 if inputs.dtype == tf.string else 2):
            raise ValueError(
                "`X` must hold batches: texts [n], or rows [n, D]. Received: "
                f"a tensor of shape {inputs.shape}; call .batch"
            )
        return inputs.numpy()
    missing = {inputs_lib.FEATURE_IDS, inputs_lib.FEATURE_VALUES} - set(inputs)
    if missing:
        raise ValueError(
            f"`X` must hold {sorted(missing)}. Received: {sorted(inputs)}"
        )
    ids = inputs[inputs_lib.FEATURE_IDS]
    values = inputs[inputs_lib.FEATURE_VALUES]
    if isinstance(ids, tf.RaggedTensor):
        return (
            ids.row_lengths().numpy(),
            ids.flat_values.numpy(),
            values.flat_values.numpy(),
        )
    is_used = values.numpy() != 0
    return (
        is_used.sum(axis=1),
        ids.numpy()[is_used],
        values.numpy()[is_used],
    )


def _joined(features: list, num_features: int | None):
    if isinstance(features[0], np.ndarray):
        rows = np.concatenate(features)
        if rows.dtype.kind in "OS":
            return [text.decode() for text in rows]
        return rows
    lengths, ids, values = map(np.concatenate, zip(*features, strict=True))
    max_id = int(ids.max(initial=-1))
    if num_features is not None and max_id >= num_features:
        raise ValueError(
            f"`X` must hold feature ids below {num_features}. "
            f"Received: {max_id}"
        )
    shape = len(lengths), max_id + 1 if num_features is None else num_features
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return scipy.sparse.csr_matrix((values, ids, splits), shape)


def _sets(labels: tf.RaggedTensor | tf.Tensor) -> list[list]:
    """Returns the label sets of a batch, ids or names."""
    rows = labels.to_list() if hasattr(labels, "to_list") else labels.numpy()
    if labels.dtype == tf.string:
        return [[name.decode() for name in row if name] for row in rows]
    return [[int(label) for label in row if label >= 0] for row in rows]
