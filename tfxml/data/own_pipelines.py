"""Batches from data in memory, for heads, `Trainer` and Keras' `fit`.

# N instances, n instances of a batch, D features, E dense features, L labels

A batch is `(inputs, labels)` or `(inputs, labels, weights)`:

- `inputs`: {"feature_ids": int32, "feature_values": float32}, ragged [n, (D)],
  or, with `padded=True`, [n, K] with value 0 in unused places; and dense
  features beside them by their names, float32 [n, E].
- `labels`: int32, ragged [n, (L)], or padded with -1.
- `weights`: float32 [n].

The order is a function of `seed` alone, a new one each epoch, and any number of
workers shares the same global batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from tfxml.data import (
    array_features,
    array_labels,
    arrays,
    inputs,
    instances,
    own_batches,
    priors,
)
from tfxml.data.feeding import in_memory
from tfxml.data.text import text_features as text_features_lib
from tfxml.data.text import text_fitting, text_rows

_TEXTS_AT_ONCE = 4096


def from_csr(
    X: Any,
    Y: Any,
    batch_size: int = 128,
    *,
    label_names: Sequence | None = None,
    weights: npt.ArrayLike | None = None,
    beside: Mapping[str, np.ndarray] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    padded: bool = False,
    normalize: bool = True,
) -> tf.data.Dataset:
    """Returns batches of sparse rows; see the module for what they hold.

    Args:
        X: a SciPy sparse matrix or an array, [N, D].
        Y: label sets: a sparse matrix, an indicator array, or lists of ids or
            of names.
        batch_size: of the global batch.
        label_names: the labels in the order of their ids; None: those in Y,
            sorted. Give it for validation data.
        weights: [N], of the instances; None: batches without weights.
        beside: dense features by name, [N, E] each; they stay where they are,
            so a memory-mapped array is read row by row.
        shuffle: whether each epoch has an order of its own.
        seed: of the order.
        padded: whether rows are padded to the longest of all, as a TPU and
            Keras' functional models want them.
        normalize: whether rows are scaled to length 1.

    Raises:
        ValueError: if X or Y is nothing that is known, or X holds texts.
    """
    features = array_features.features_of(X)
    if features.texts is not None or features.num_features is None:
        raise ValueError(
            "`X` must hold numbers. Received: texts; use from_text"
        )
    splits, ids, values = features.rows()
    if normalize:
        values = instances.normalized(values, splits)
    rows = splits, ids, values
    source = _source(rows, features.num_features, Y, label_names, weights)
    return own_batches.of(
        source, batch_size, beside, seed if shuffle else None, padded
    )


def from_text(
    texts: Sequence[str],
    Y: Any,
    features: text_features_lib.TextFeatures,
    batch_size: int = 128,
    *,
    label_names: Sequence | None = None,
    weights: npt.ArrayLike | None = None,
    beside: Mapping[str, np.ndarray] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    padded: bool = False,
) -> tf.data.Dataset:
    """Returns batches of TF-IDF rows of texts.

    Args:
        texts: N of them: a list, an array or a pandas column.
        Y: label sets; see `from_csr`.
        features: what `fit_text_features` returned for the training texts.
        batch_size: of the global batch.
        label_names: the labels in the order of their ids; None: those in Y,
            sorted. Give it for validation data.
        weights: [N], of the instances; None: batches without weights.
        beside: dense features by name; see `from_csr`.
        shuffle: whether each epoch has an order of its own.
        seed: of the order.
        padded: whether rows are padded to the longest of all.
    """
    runs = list(text_rows.stream(features, _runs(texts), False, None))
    lengths = [np.diff(splits) for splits, *_ in runs]
    rows = (
        instances.splits_from_lengths(np.concatenate([[], *lengths])),
        np.concatenate([np.zeros(0, np.int32), *(run[1] for run in runs)]),
        np.concatenate([np.zeros(0, np.float32), *(run[2] for run in runs)]),
    )
    source = _source(rows, features.num_features, Y, label_names, weights)
    return own_batches.of(
        source, batch_size, beside, seed if shuffle else None, padded
    )


def fit_text_features(
    texts: Sequence[str], **settings: Any
) -> text_features_lib.TextFeatures:
    """Returns TF-IDF features fitted on training texts.

    `settings` are those of `text_fitting.fit`: `ngrams`, `min_df`, ...
    """
    return text_fitting.fit(_runs(texts), **settings)


def label_priors(Y: Any, label_names: Sequence | None = None) -> np.ndarray:
    """Returns the share of the instances that carry each label, [L].

    For a head's `label_priors`: training starts from them, which saves the
    steps that would find them.

    Args:
        Y: the label sets of the training split; see `from_csr`.
        label_names: as given to `from_csr`.
    """
    labels = array_labels.labels_of(Y, label_names)
    counts = np.bincount(labels.ids, minlength=labels.num_labels)
    return priors.label_priors(counts, labels.num_instances)


def from_generator(
    make: Callable[[], Iterable[tuple]],
    batch_size: int = 128,
    *,
    padded: bool = False,
) -> tf.data.Dataset:
    """Returns batches of what a generator yields, in its order.

    Args:
        make: returns an iterable of (feature_ids, feature_values, label_ids)
            or (feature_ids, feature_values, label_ids, weight), one tuple an
            instance; called for each epoch, and once more to see which of the
            two it is.
        batch_size: of the global batch.
        padded: whether the rows of a batch are padded to its longest.
    """
    signature = (
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.float32),
    )
    width = len(next(iter(make()), signature[:3]))
    if width not in (3, 4):
        raise ValueError(
            "`make` must yield (feature_ids, feature_values, label_ids) or "
            "(feature_ids, feature_values, label_ids, weight). "
            f"Received: {width} parts"
        )
    rows = tf.data.Dataset.from_generator(
        make, output_signature=signature[:width]
    )
    if padded:
        padding = (0, 0.0, -1, 0.0)[:width]
        batches = rows.padded_batch(batch_size, padding_values=padding)
    else:
        batches = rows.ragged_batch(batch_size)
    return batches.map(
        lambda ids, values, *rest: (inputs.features(ids, values), *rest)
    ).prefetch(tf.data.AUTOTUNE)


def from_dataset(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set of one's own, checked to hold batches.

    Labels may also be a `tf.SparseTensor` [n, L], nonzero at the labels.

    Raises:
        ValueError: if its elements are no batches (inputs, labels[, weights]).
    """
    spec = dataset.element_spec
    wrong = None
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        wrong = "elements (inputs, labels) or (inputs, labels, weights)"
    elif not isinstance(spec[1], tf.SparseTensorSpec) and (
        getattr(spec[1], "dtype", None) not in (tf.int32, tf.int64)
    ):
        wrong = "labels that are integer ids, ragged or padded with -1"
    elif spec[1].shape.rank != 2:
        wrong = "batches: labels [n, most labels]; call .batch or .ragged_batch"
    elif len(spec) == 3 and spec[2].shape.rank != 1:
        wrong = "weights [n]"
    if wrong:
        raise ValueError(
            f"`dataset` must have {wrong}. Received: element_spec={spec}"
        )
    return dataset


def _runs(texts) -> list[Sequence[str]]:
    """Returns texts some at a time: memory grows with the longest run."""
    found = array_features.features_of(texts).texts
    if found is None:
        raise ValueError("`texts` must hold texts. Received: numbers")
    return [
        found[first : first + _TEXTS_AT_ONCE]
        for first in range(0, len(found), _TEXTS_AT_ONCE)
    ]


def _source(
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
    num_features: int,
    Y: Any,
    label_names: Sequence | None,
    weights: npt.ArrayLike | None,
) -> in_memory.InMemorySource:
    """Returns the source of rows (splits, ids, values) and label sets."""
    labels = array_labels.labels_of(Y, label_names)
    number = len(rows[0]) - 1
    if labels.num_instances != number:
        raise ValueError(
            "`X` and `Y` must have as many rows. Received: "
            f"{number} and {labels.num_instances}"
        )
    if weights is not None:
        weights = arrays.checked_weights(weights, number)
    run = instances.Instances(*rows, labels.splits, labels.ids, weights)
    return in_memory.InMemorySource(run, num_features, labels.num_labels)
