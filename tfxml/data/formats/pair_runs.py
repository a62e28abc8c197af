"""Joins rows of features and rows of labels that stand in two files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from tfxml.data import bad_rows, instances
from tfxml.data.formats import row_checks

# n rows of a run, E entries


class Run(Protocol):
    """Rows of a file, n of them."""

    is_bad: np.ndarray  # [n] bool: not readable, and counted

    def cut(self, first: int, last: int) -> Run:
        """Returns rows first .. last - 1."""


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

        yield bad_rows.keep_good(check, x_run.is_bad | y_run.is_bad, bad)


def align(
    left: Iterator[Run], right: Iterator[Run]
) -> Iterator[tuple[Run, Run]]:
    """Yields the runs of two streams of as many rows, cut at the same rows."""
    runs = [None, None]
    while True:
        for side, stream in enumerate((left, right)):
            if runs[side] is None:
                runs[side] = next(stream, None)
        # Both streams are read to their ends, where their sizes are checked.
        if None in runs:
            return
        size = min(len(run.is_bad) for run in runs)
        yield tuple(run.cut(0, size) for run in runs)
        runs = [
            run.cut(size, len(run.is_bad)) if len(run.is_bad) > size else None
            for run in runs
        ]
