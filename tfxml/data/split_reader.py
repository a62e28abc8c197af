"""Reads a split's instances; turns texts into rows.

# N instances of a split
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from tfxml.data import bad_rows, data_set
from tfxml.data import instances as instances_lib
from tfxml.data import own_labels as own_labels_lib
from tfxml.data.text import text_features as text_features_lib
from tfxml.data.text import text_fitting, text_rows

_BATCH = 256  # texts at a time


def read(
    folder: data_set.DataSet,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_normalized: bool,
    bad: bad_rows.BadRows | None = None,
    with_tokens: bool = False,
    max_tokens: int | None = None,
    own_labels: own_labels_lib.OwnLabels | None = None,
) -> instances_lib.Instances:
    """Returns all instances of a split; see `stream`."""
    return instances_lib.concatenate(
        stream(
            folder,
            split,
            features,
            is_normalized,
            bad,
            with_tokens=with_tokens,
            max_tokens=max_tokens,
            own_labels=own_labels,
        )
    )


def stream(
    folder: data_set.DataSet,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_normalized: bool,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
    *,
    with_tokens: bool = False,
    max_tokens: int | None = None,
    own_labels: own_labels_lib.OwnLabels | None = None,
) -> Iterator[instances_lib.Instances]:
    """Yields the runs of a split: TF-IDF rows for text, else its features.

    Args:
        folder: the data set.
        split: `train`, `dev` or `test`.
        features: fitted on the training split; for text.
        is_normalized: whether rows that are not text are scaled to length 1.
        bad: handles bad rows; None: raise.
        wanted: which rows to read; None: all.
        with_tokens: whether instances have their texts' tokens too.
        max_tokens: the most tokens of an instance; see `TextFeatures.tokens`.
        own_labels: finds the labels that texts are named after; None: they are
            not looked for.

    Raises:
        ValueError: for tokens without text, or text without `features`.
    """
    is_text = folder.num_features is None
    if with_tokens and not is_text:
        raise ValueError(
            "`with_tokens` must be False for data without text. Received: "
            f"with_tokens=True, of {folder.path}, a folder of {folder.format}"
        )
    runs = folder.read(split, bad, wanted)
    if is_text:
        if features is None:
            raise ValueError(
                "`features` must be given for text. Received: None, of "
                f"{folder.path}"
            )
        yield from rows_of_texts(
            runs, features, with_tokens, max_tokens, own_labels
        )
        return
    for run in runs:
        if isinstance(run, instances_lib.TextInstances):
            raise ValueError(
                f"`folder` must hold features. Received: {folder.path}, which "
                "holds texts"
            )
        yield _normalized(run) if is_normalized else run


def fit_text_features(
    folder: data_set.DataSet,
    bad: bad_rows.BadRows | None = None,
    **settings: Any,
) -> text_features_lib.TextFeatures:
    """Returns text features fitted on the training split, in one stream.

    `settings` are the arguments of `text_fitting.fit`.
    """
    runs = folder.read("train", bad)
    return text_fitting.fit(
        (batch.texts for batch in _batches(runs)), **settings
    )


def hold_out(
    num_instances: int, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Splits rows at random; returns those to train on and those held out."""
    order = np.random.default_rng(seed).permutation(num_instances)
    num_held_out = max(1, round(num_instances * fraction))
    if num_held_out >= num_instances:
        raise ValueError(
            "`fraction` must leave instances to train on. "
            f"Received: fraction={fraction} of {num_instances}"
        )
    return np.sort(order[num_held_out:]), np.sort(order[:num_held_out])


def rows_of_texts(
    runs: Iterable[instances_lib.AnyInstances],
    features: text_features_lib.TextFeatures,
    with_tokens: bool,
    max_tokens: int | None,
    own_labels: own_labels_lib.OwnLabels | None = None,
) -> Iterator[instances_lib.Instances]:
    """Yields TF-IDF rows of runs of texts; see `stream`."""
    pending: collections.deque[instances_lib.TextInstances]
    pending = collections.deque()  # batches whose rows are being made

    def texts() -> Iterator[Sequence[str]]:
        for batch in _batches(runs):
            pending.append(batch)
            yield batch.texts

    rows = text_rows.stream(features, texts(), with_tokens, max_tokens)
    for splits, ids, values, *tokens in rows:
        batch = pending.popleft()
        token_splits, token_ids = tokens or (None, None)
        yield instances_lib.Instances(
            splits,
            ids,
            values,
            batch.label_splits,
            batch.label_ids,
            batch.weights,
            token_splits,
            token_ids,
            own_labels.of(batch.texts) if own_labels else None,
        )


def _batches(
    runs: Iterable[instances_lib.AnyInstances],
) -> Iterator[instances_lib.TextInstances]:
    """Yields runs of texts cut to `_BATCH` texts."""
    for run in runs:
        if not isinstance(run, instances_lib.TextInstances):
            raise ValueError(
                "`folder` must hold texts. Received: a folder of features"
            )
        for first in range(0, run.num_instances, _BATCH):
            last = min(first + _BATCH, run.num_instances)
            yield instances_lib.select(run, np.arange(first, last))


def _normalized(run: instances_lib.Instances) -> instances_lib.Instances:
    """Returns the rows scaled to length 1; empty rows stay empty."""
    values = instances_lib.normalized(run.feature_values, run.feature_splits)
    return dataclasses.replace(run, feature_values=values)
