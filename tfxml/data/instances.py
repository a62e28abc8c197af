"""What a reader yields: runs of instances in compressed sparse row layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

# N instances, E stored features, M stored labels


@dataclasses.dataclass(frozen=True)
class Instances:
    """A run of N instances with sparse features and a set of labels each.

    The labels of one instance are distinct and ascending; so are its
    features. Nothing dense of shape [N, D] or [N, L] is ever made.
    """

    feature_splits: np.ndarray  # [N + 1] int64
    feature_ids: np.ndarray  # [E] int32
    feature_values: np.ndarray  # [E] float32
    label_splits: np.ndarray  # [N + 1] int64
    label_ids: np.ndarray  # [M] int32
    weights: np.ndarray | None = None  # [N] float32; None: 1 each

    @property
    def num_instances(self) -> int:
        return len(self.feature_splits) - 1

    def label_counts(self, num_labels: int) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        return np.bincount(self.label_ids, minlength=num_labels)


@dataclasses.dataclass(frozen=True)
class TextInstances:
    """A run of N instances with raw text and a set of labels each."""

    texts: Sequence[str]  # N strings
    label_splits: np.ndarray  # [N + 1] int64
    label_ids: np.ndarray  # [M] int32
    weights: np.ndarray | None = None  # [N] float32; None: 1 each

    @property
    def num_instances(self) -> int:
        return len(self.texts)


def concatenate(runs: Iterable[Instances]) -> Instances:
    """Joins runs of instances into one."""
    runs = list(runs)
    return Instances(
        _join_splits([run.feature_splits for run in runs]),
        _join([run.feature_ids for run in runs], np.int32),
        _join([run.feature_values for run in runs], np.float32),
        _join_splits([run.label_splits for run in runs]),
        _join([run.label_ids for run in runs], np.int32),
        _join_weights(runs),
    )


def select(
    instances: Instances | TextInstances, rows: np.ndarray
) -> Instances | TextInstances:
    """Returns the instances at `rows`, in that order."""
    labels = _row_positions(instances.label_splits, rows)
    label_splits = splits_from_lengths(np.diff(instances.label_splits)[rows])
    label_ids = instances.label_ids[labels]
    weights = None if instances.weights is None else instances.weights[rows]
    if isinstance(instances, TextInstances):
        texts = [instances.texts[row] for row in rows.tolist()]
        return TextInstances(texts, label_splits, label_ids, weights)
    features = _row_positions(instances.feature_splits, rows)
    return Instances(
        splits_from_lengths(np.diff(instances.feature_splits)[rows]),
        instances.feature_ids[features],
        instances.feature_values[features],
        label_splits,
        label_ids,
        weights,
    )


def normalized(values: np.ndarray, splits: np.ndarray) -> np.ndarray:
    """Returns the values [E] of rows scaled to length 1.

    Rows without features stay empty. `splits` are the rows', [N + 1].
    """
    lengths = np.diff(splits)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    squares = np.bincount(
        rows,
        weights=values.astype(np.float64) ** 2,
        minlength=len(lengths),
    )
    norms = np.sqrt(np.where(squares > 0, squares, 1.0))
    return (values / norms[rows]).astype(np.float32)


def splits_from_lengths(lengths: np.ndarray) -> np.ndarray:
    """Returns row splits, [N + 1] int64, of rows of the given lengths, [N]."""
    splits = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=splits[1:])
    return splits


def _join_weights(runs: Sequence[Instances]) -> np.ndarray | None:
    if all(run.weights is None for run in runs):
        return None
    return _join(
        [
            np.ones(run.num_instances) if run.weights is None else run.weights
            for run in runs
        ],
        np.float32,
    )


def _join(arrays, dtype) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *arrays]).astype(
        dtype, copy=False
    )


def _join_splits(splits) -> np.ndarray:
    lengths = _join([np.diff(s) for s in splits], np.int64)
    return splits_from_lengths(lengths)


def _row_positions(splits: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Returns the flat positions of the entries of `rows`."""
    lengths = np.diff(splits)[rows]
    starts = np.repeat(splits[rows], lengths)
    within = np.arange(len(starts)) - np.repeat(
        splits_from_lengths(lengths)[:-1], lengths
    )
    return starts + within
