"""From a folder's split to instances, text features included."""

from __future__ import annotations

import collections
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows
from tfxml.data import instances as instances_lib
from tfxml.data.formats import folder as folder_lib
from tfxml.data.text import text_features as text_features_lib

_BATCH = 256  # texts at a time


def read(
    folder: folder_lib.Folder,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_normalized: bool,
    bad: bad_rows.BadRows | None = None,
) -> instances_lib.Instances:
    """Returns all instances of a split; see `stream`."""
    return instances_lib.concatenate(
        stream(folder, split, features, is_normalized, bad)
    )


def stream(
    folder: folder_lib.Folder,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_normalized: bool,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances_lib.Instances]:
    """Yields a split with TF-IDF rows for text, else the features given.

    Args:
        folder: what `folder.detect` returns.
        split: `train`, `dev` or `test`.
        features: fitted on the training split; for text.
        is_normalized: whether rows that are no text are scaled to length 1.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.
    """
    runs = folder.read(split, bad, wanted)
    if folder.num_features is None:
        yield from _text_rows(runs, features)
        return
    for run in runs:
        yield _normalized(run) if is_normalized else run


def fit_text_features(
    folder: folder_lib.Folder,
    bad: bad_rows.BadRows | None = None,
    **settings,
) -> text_features_lib.TextFeatures:
    """Returns text features fitted on the training split, in one stream."""
    runs = folder.read("train", bad)
    return text_features_lib.fit(
        (texts for texts, _ in _batches(runs)), **settings
    )


def hold_out(
    num_instances: int, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows of a split without a random share, and that share."""
    order = np.random.default_rng(seed).permutation(num_instances)
    number = max(1, round(num_instances * share))
    if number >= num_instances:
        raise ValueError(
            "`share` must leave instances to train on. "
            f"Received: share={share} of {num_instances}"
        )
    return np.sort(order[number:]), np.sort(order[:number])


def _text_rows(runs, features) -> Iterator[instances_lib.Instances]:
    labels = collections.deque()  # of the batches that are under way

    def texts():
        for batch, batch_labels in _batches(runs):
            labels.append(batch_labels)
            yield batch

    for splits, ids, values in features.transform(texts()):
        yield instances_lib.Instances(splits, ids, values, *labels.popleft())


def _batches(runs):
    """Yields texts, and their labels' splits and ids."""
    for run in runs:
        for first in range(0, run.num_instances, _BATCH):
            splits = run.label_splits[first : first + _BATCH + 1]
            labels = run.label_ids[splits[0] : splits[-1]]
            texts = list(run.texts[first : first + _BATCH])
            yield texts, (splits - splits[0], labels)


def _normalized(found: instances_lib.Instances) -> instances_lib.Instances:
    """Returns the rows at length 1; rows without features stay empty."""
    values = instances_lib.normalized(
        found.feature_values, found.feature_splits
    )
    return instances_lib.Instances(
        found.feature_splits,
        found.feature_ids,
        values,
        found.label_splits,
        found.label_ids,
    )
