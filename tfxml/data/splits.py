"""From a folder's split to instances in memory, text features included."""

from __future__ import annotations

import numpy as np

from tfxml.data import folder as folder_lib
from tfxml.data import instances as instances_lib
from tfxml.data import text_features as text_features_lib

_BATCH = 256  # texts at a time


def read(
    folder: folder_lib.Folder,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_normalized: bool,
) -> instances_lib.Instances:
    """Returns a split with TF-IDF rows for text, else the features given.

    Args:
        folder: what `folder.detect` returns.
        split: `train`, `dev` or `test`.
        features: fitted on the training split; for text.
        is_normalized: whether rows that are no text are scaled to length 1.
    """
    if folder.num_features is None:
        return _read_text(folder, split, features)
    found = instances_lib.concatenate(folder.read(split))
    return _normalized(found) if is_normalized else found


def fit_text_features(
    folder: folder_lib.Folder, **settings
) -> text_features_lib.TextFeatures:
    """Returns text features fitted on the training split, in one stream."""
    return text_features_lib.fit(_texts(folder, "train"), **settings)


def hold_out(
    train: instances_lib.Instances, share: float, seed: int
) -> tuple[instances_lib.Instances, instances_lib.Instances]:
    """Returns the training split without a random share, and that share."""
    order = np.random.default_rng(seed).permutation(train.num_instances)
    number = max(1, round(train.num_instances * share))
    if number >= train.num_instances:
        raise ValueError(
            "`share` must leave instances to train on. "
            f"Received: share={share} of {train.num_instances}"
        )
    return (
        instances_lib.select(train, np.sort(order[number:])),
        instances_lib.select(train, np.sort(order[:number])),
    )


def _read_text(folder, split, features) -> instances_lib.Instances:
    labels = []

    def texts():
        for run in folder.read(split):
            labels.append((run.label_splits, run.label_ids))
            yield list(run.texts)

    rows = list(features.transform(_batches(texts())))
    feature_lengths = [np.diff(row_splits) for row_splits, _, _ in rows]
    label_lengths = [np.diff(row_splits) for row_splits, _ in labels]
    return instances_lib.Instances(
        instances_lib.splits_from_lengths(_join(feature_lengths, np.int64)),
        _join([ids for _, ids, _ in rows], np.int32),
        _join([values for _, _, values in rows], np.float32),
        instances_lib.splits_from_lengths(_join(label_lengths, np.int64)),
        _join([ids for _, ids in labels], np.int32),
    )


def _join(arrays, dtype) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays])


def _texts(folder, split):
    return _batches(list(run.texts) for run in folder.read(split))


def _batches(runs):
    for run in runs:
        for start in range(0, len(run), _BATCH):
            yield run[start : start + _BATCH]


def _normalized(found: instances_lib.Instances) -> instances_lib.Instances:
    """Returns the rows at length 1; rows without features stay empty."""
    lengths = np.diff(found.feature_splits)
    rows = np.repeat(np.arange(found.num_instances), lengths)
    squares = np.bincount(
        rows,
        weights=found.feature_values.astype(np.float64) ** 2,
        minlength=found.num_instances,
    )
    norms = np.sqrt(np.where(squares > 0, squares, 1.0))
    values = (found.feature_values / norms[rows]).astype(np.float32)
    return instances_lib.Instances(
        found.feature_splits,
        found.feature_ids,
        values,
        found.label_splits,
        found.label_ids,
    )
