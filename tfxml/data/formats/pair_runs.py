"""Joins rows of features and rows of labels that stand in two files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from tfxml.data import bad_rows, instances
from tfxml.data.formats import row_checks

# n rows of a run, E entries


class Run(Protocol):
    """Rows of a file, n of them."""

    @property
    def is_bad(self) -> np.ndarray:
        """Which rows could not be read, and were counted, [n] bool."""

    def cut(self: Cut, first: int, last: int) -> Cut:
        """Returns rows first .. last - 1."""


Cut = TypeVar("Cut", bound=Run)
Left = TypeVar("Left", bound=Run)
Right = TypeVar("Right", bound=Run)


class PairRun(NamedTuple):
    """Rows of pairs of an id and a value."""

    source: row_checks.Source
    splits: np.ndarray  # [n + 1] int64
    ids: np.ndarray  # [E] of any integer dtype
    values: np.ndarray  # [E] of any real dtype
    is_bad: np.ndarray  # [n] bool

    def cut(self, first: int, last: int) -> PairRun:
        entries = slice(*self.splits[[first, last]])
        return PairRun(
            self.source.after(first),
            self.splits[first : last + 1] - entries.start,
            self.ids[entries],
            self.values[entries],
            self.is_bad[first:last],
        )


def read(
    features: Iterator[PairRun],
    labels: Iterator[PairRun],
    limits: tuple[int, int],
    bad: bad_rows.BadRows,
    first_ids: row_checks.FirstIds = row_checks.FROM_ZERO,
) -> Iterator[instances.Instances]:
    """Yields the instances of two streams of as many rows.

    A label is present where its value is not 0; features that a row repeats
    are summed. A row that is bad in one stream is left out of both.

    Args:
        features, labels: the streams.
        limits: the numbers of features and of labels.
        bad: what to do about bad rows.
        first_ids: the lowest ids.
    """
    num_features, num_labels = limits
    for x_run, y_run in align(features, labels):

        def check(first, last, x_run=x_run, y_run=y_run):
            x, y = x_run.cut(first, last), y_run.cut(first, last)
            return instances.Instances(
                *row_checks.feature_rows(
                    *(x.splits, x.ids, x.values),
                    num_features,
                    x.source,
                    first_ids.features,
                ),
                *row_checks.nonzero_label_rows(
                    *(y.splits, y.ids, y.values),
                    num_labels,
                    y.source,
                    first_ids.labels,
                ),
            )

        is_bad = x_run.is_bad | y_run.is_bad
        yield bad_rows.keep_good(check, is_bad, bad, instances.concatenate)


def align(
    left: Iterator[Left], right: Iterator[Right]
) -> Iterator[tuple[Left, Right]]:
    """Yields the runs of two streams of as many rows, cut at the same rows."""
    left_run: Left | None = None
    right_run: Right | None = None
    while True:
        left_run = next(left, None) if left_run is None else left_run
        right_run = next(right, None) if right_run is None else right_run
        # Both streams are read to their ends, where their sizes are checked.
        if left_run is None or right_run is None:
            return
        size = min(len(left_run.is_bad), len(right_run.is_bad))
        yield left_run.cut(0, size), right_run.cut(0, size)
        left_run, right_run = _rest(left_run, size), _rest(right_run, size)


def _rest(run: Cut, size: int) -> Cut | None:
    """Returns the rows after the first `size`; None where there are none."""
    return run.cut(size, len(run.is_bad)) if len(run.is_bad) > size else None
