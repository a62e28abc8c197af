"""Runs of instances, as readers yield them, in compressed sparse row layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TypeVar, final

import numpy as np
import numpy.typing as npt

# N instances, E stored features, M stored labels, T stored tokens


@final
@dataclasses.dataclass(frozen=True)
class Instances:
    """A run of N instances with sparse features and a set of labels each.

    The labels of one instance are distinct and ascending; so are its
    features. Nothing dense of shape [N, D] or [N, L] is ever made.

    Instances that come from text can carry its words too, as a sequence of
    tokens: in the text's order, repeats included.
    """

    feature_splits: np.ndarray  # [N + 1] int64
    feature_ids: np.ndarray  # [E] int32
    feature_values: np.ndarray  # [E] float32
    label_splits: np.ndarray  # [N + 1] int64
    label_ids: np.ndarray  # [M] int32
    weights: np.ndarray | None = None  # [N] float32; None: 1 each
    token_splits: np.ndarray | None = None  # [N + 1] int64
    token_ids: np.ndarray | None = None  # [T] int32, from 1 on: 0 is padding
    own_labels: np.ndarray | None = None  # [N] int32 as `OwnLabels` finds them

    @property
    def num_instances(self) -> int:
        return len(self.feature_splits) - 1

    @property
    def has_tokens(self) -> bool:
        return self.token_splits is not None

    def tokens(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the row splits and the ids of the tokens.

        Raises:
            ValueError: if the instances carry none.
        """
        if self.token_splits is None or self.token_ids is None:
            raise ValueError("`instances` must carry tokens. Received: none")
        return self.token_splits, self.token_ids

    def label_counts(self, num_labels: int) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        return np.bincount(self.label_ids, minlength=num_labels)


@final
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


AnyInstances = Instances | TextInstances
_Tokens = tuple[np.ndarray | None, np.ndarray | None]  # splits and ids
Run = TypeVar("Run", Instances, TextInstances, AnyInstances)


def concatenate(runs: Iterable[Instances]) -> Instances:
    """Joins runs of instances into one.

    Raises:
        ValueError: if some of them have tokens and others have none.
    """
    runs = list(runs)
    return Instances(
        _join_splits([run.feature_splits for run in runs]),
        _join([run.feature_ids for run in runs], np.int32),
        _join([run.feature_values for run in runs], np.float32),
        _join_splits([run.label_splits for run in runs]),
        _join([run.label_ids for run in runs], np.int32),
        _join_weights(runs),
        *_join_tokens(runs),
        _join_own_labels(runs),
    )


def select(instances: Run, rows: np.ndarray) -> Run:
    """Returns the instances at `rows`, in that order."""
    labels = _select(instances.label_splits, instances.label_ids, rows)
    weights = None if instances.weights is None else instances.weights[rows]
    if isinstance(instances, TextInstances):
        texts = [instances.texts[row] for row in rows.tolist()]
        return TextInstances(texts, *labels, weights)
    features = _row_positions(instances.feature_splits, rows)
    tokens: _Tokens = (None, None)
    if instances.has_tokens:
        tokens = _select(*instances.tokens(), rows)
    own = instances.own_labels
    return Instances(
        splits_from_lengths(np.diff(instances.feature_splits)[rows]),
        instances.feature_ids[features],
        instances.feature_values[features],
        *labels,
        weights,
        *tokens,
        None if own is None else own[rows],
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


def splits_from_lengths(lengths: npt.ArrayLike) -> np.ndarray:
    """Returns row splits, [N + 1] int64, of rows of the given lengths, [N]."""
    lengths = np.asarray(lengths)
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


def _join_tokens(runs: Sequence[Instances]) -> _Tokens:
    num_with_tokens = sum(run.has_tokens for run in runs)
    if not num_with_tokens:
        return None, None
    if num_with_tokens < len(runs):
        raise ValueError(
            "`runs` must all have tokens, or none of them. Received: "
            f"{num_with_tokens} of {len(runs)} runs with tokens"
        )
    splits, ids = zip(*(run.tokens() for run in runs), strict=True)
    return _join_splits(splits), _join(ids, np.int32)


def _join_own_labels(runs: Sequence[Instances]) -> np.ndarray | None:
    """Returns those of all runs; None unless every run has them."""
    found = [run.own_labels for run in runs]
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    return _join(known, np.int32)


def _select(
    splits: np.ndarray, ids: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the splits and the ids of `rows`."""
    lengths = np.diff(splits)[rows]
    return splits_from_lengths(lengths), ids[_row_positions(splits, rows)]


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
    offsets = np.arange(len(starts)) - np.repeat(
        splits_from_lengths(lengths)[:-1], lengths
    )
    return starts + offsets
