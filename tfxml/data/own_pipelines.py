"""Batches from data in memory, for heads, `Trainer` and Keras' `fit`.

# N instances, n instances of a batch, D features, L labels

A batch is `(inputs, labels)` or `(inputs, labels, weights)`:

- `inputs`: {"feature_ids": int32, "feature_values": float32}, ragged [n, (D)],
  or, with `padded=True`, [n, K] with 0 in unused places. Of dense features a
  float32 tensor [n, D].
- `labels`: int32, ragged [n, (L)], or padded with -1.
- `weights`: float32 [n].

The order is a function of `seed` alone, a new one each epoch, and any number of
workers shares the same global batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from tfxml.data import arrays, inputs, instances
from tfxml.data.feeding import in_memory
from tfxml.data.text import text_features as text_features_lib
from tfxml.data.text import text_rows


def from_csr(
    X,
    Y,
    batch_size: int = 128,
    *,
    weights=None,
    shuffle: bool = True,
    seed: int = 0,
    padded: bool = False,
    normalize: bool = True,
) -> tf.data.Dataset:
    """Returns batches of sparse rows; see the module for what they hold.

    Args:
        X: a SciPy sparse matrix or an array, [N, D].
        Y: label sets; see `arrays.of`.
        batch_size: of the global batch.
        weights: [N], of the instances; None: batches without weights.
        shuffle: whether each epoch has an order of its own.
        seed: of the order.
        padded: whether rows are padded to the longest of all, as a TPU and
            Keras' functional models want them.
        normalize: whether rows are scaled to length 1.

    Raises:
        ValueError: if X or Y is nothing that is known, or X holds texts.
    """
    data = arrays.of(X, Y, weights=weights)
    if data.is_text:
        raise ValueError(
            "`X` must hold numbers. Received: texts; use from_text"
        )
    run = data.train
    if normalize:
        values = instances.normalized(run.feature_values, run.feature_splits)
        run = instances.Instances(
            run.feature_splits,
            run.feature_ids,
            values,
            run.label_splits,
            run.label_ids,
        )
    source = in_memory.InMemorySource(run, data.num_features, data.num_labels)
    return _batches(
        source, batch_size, data.train.weights, shuffle, seed, padded
    )


def from_text(
    texts: Sequence[str],
    Y,
    features: text_features_lib.TextFeatures,
    batch_size: int = 128,
    *,
    weights=None,
    shuffle: bool = True,
    seed: int = 0,
    padded: bool = False,
) -> tf.data.Dataset:
    """Returns batches of TF-IDF rows of texts.

    Args:
        texts: N of them.
        Y: label sets; see `arrays.of`.
        features: what `fit_text_features` returned for the training texts.
        batch_size: of the global batch.
        weights: [N], of the instances; None: batches without weights.
        shuffle: whether each epoch has an order of its own.
        seed: of the order.
        padded: whether rows are padded to the longest of all.
    """
    data = arrays.of(list(texts), Y, weights=weights)
    rows = text_rows.stream(features, [list(data.train.texts)], False, None)
    splits, ids, values = next(iter(rows))[:3]
    run = instances.Instances(
        splits, ids, values, data.train.label_splits, data.train.label_ids
    )
    source = in_memory.InMemorySource(
        run, features.num_features, data.num_labels
    )
    return _batches(
        source, batch_size, data.train.weights, shuffle, seed, padded
    )


def fit_text_features(
    texts: Sequence[str], **settings
) -> text_features_lib.TextFeatures:
    """Returns TF-IDF features fitted on training texts.

    `settings` are those of `text_features.fit`: `ngrams`, `min_df`, ...
    """
    return text_features_lib.fit([list(texts)], **settings)


def from_generator(
    make: Callable[[], Iterable[tuple]],
    batch_size: int = 128,
    *,
    padded: bool = False,
) -> tf.data.Dataset:
    """Returns batches of what a generator yields, in its order.

    Args:
        make: returns an iterable of (feature_ids, feature_values, label_ids),
            one tuple an instance; called for each epoch.
        batch_size: of the global batch.
        padded: whether the rows of a batch are padded to its longest.
    """
    signature = (
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.int32),
    )
    rows = tf.data.Dataset.from_generator(make, output_signature=signature)
    if padded:
        batches = rows.padded_batch(batch_size, padding_values=(0, 0.0, -1))
    else:
        batches = rows.ragged_batch(batch_size)
    return batches.map(
        lambda ids, values, labels: (inputs.features(ids, values), labels)
    ).prefetch(tf.data.AUTOTUNE)


def from_dataset(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns a data set of one's own, checked to hold batches.

    Raises:
        ValueError: if its elements are no batches (inputs, labels[, weights]).
    """
    spec = dataset.element_spec
    wrong = None
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        wrong = "elements (inputs, labels) or (inputs, labels, weights)"
    elif spec[1].dtype not in (tf.int32, tf.int64):
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


def _batches(
    source: in_memory.InMemorySource,
    batch_size: int,
    weights: np.ndarray | None,
    shuffle: bool,
    seed: int,
    padded: bool,
) -> tf.data.Dataset:
    num_features, num_labels = source.max_lengths()[:2]
    order = tf.data.Dataset.range(source.num_instances)
    if shuffle:
        order = order.shuffle(
            source.num_instances, seed=seed, reshuffle_each_iteration=True
        )

    def batch(indices):
        named, labels = source.rows(indices)
        if padded:
            named = {
                name: tf.ensure_shape(
                    rows.to_tensor(
                        inputs.PADDING[name],
                        shape=[None, max(num_features, 1)],
                    ),
                    [None, max(num_features, 1)],
                )
                for name, rows in named.items()
            }
            labels = labels.to_tensor(-1, shape=[None, max(num_labels, 1)])
        if weights is None:
            return named, labels
        return named, labels, tf.gather(weights, indices)

    return (
        order.batch(batch_size)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )
