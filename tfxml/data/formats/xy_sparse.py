"""Reads the pair of text files X and Y of pyxclib: features and labels.

Each is a header `rows columns`, then one row a line, `id:value id:value`
(https://github.com/kunaldahiya/pyxclib).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import row_checks, row_grammar, sparse_text


def read_header(features_path: str, labels_path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    num_instances, num_features = sparse_text.read_header(
        features_path, ("num_instances", "num_features")
    )
    num_rows, num_labels = sparse_text.read_header(
        labels_path, ("num_instances", "num_labels")
    )
    if num_rows != num_instances:
        raise data_errors.DataError(
            labels_path,
            f"{num_rows} rows in the header",
            f"{num_instances}, as in {features_path}",
            1,
        )
    return num_instances, num_features, num_labels


def read(
    features_path: str,
    labels_path: str,
    chunk_bytes: int = sparse_text.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
    first_ids: row_checks.FirstIds = row_checks.FirstIds(),
) -> Iterator[instances.Instances]:
    """Yields the instances of a pair of files, gzip by their names.

    A label is present where its value is not 0; a feature that a row repeats
    is summed. A row that is bad in one file is left out of both.

    Args:
        features_path, labels_path: the files.
        chunk_bytes: about how much of each file makes one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.
        first_ids: the lowest ids of the files.

    Raises:
        DataError: with the line of what is wrong.
    """
    num_instances, num_features, num_labels = read_header(
        features_path, labels_path
    )
    bad = bad or bad_rows.BadRows()
    sides = [
        _read_pairs(path, num_instances, chunk_bytes, bad, wanted)
        for path in (features_path, labels_path)
    ]
    for features, labels in _align(*sides):

        def check(first, last, features=features, labels=labels):
            x, y = features.cut(first, last), labels.cut(first, last)
            return instances.Instances(
                *row_checks.feature_rows(
                    *x.columns(), num_features, x.source, first_ids.features
                ),
                *row_checks.nonzero_label_rows(
                    *y.columns(), num_labels, y.source, first_ids.labels
                ),
            )

        yield bad_rows.keep_good(check, features.is_bad | labels.is_bad, bad)


class _Run(NamedTuple):
    """Rows of one of the two files."""

    source: row_checks.Source
    rows: row_grammar.Rows
    is_bad: np.ndarray  # [n] bool

    def cut(self, first: int, last: int) -> _Run:
        """Returns rows first .. last - 1."""
        return _Run(
            self.source.after(first),
            row_grammar.cut(self.rows, first, last),
            self.is_bad[first:last],
        )

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            self.rows.feature_splits,
            self.rows.feature_ids,
            self.rows.feature_values,
        )


def _read_pairs(
    path: str,
    num_rows: int,
    chunk_bytes: int,
    bad: bad_rows.BadRows,
    wanted: range | None,
) -> Iterator[_Run]:
    """Yields rows that are pairs only."""
    for source, run, is_bad in sparse_text.read(
        path, num_rows, chunk_bytes, bad, wanted
    ):
        for row in np.flatnonzero(np.diff(run.label_splits)).tolist():
            label = run.label_ids[run.label_splits[row]]
            bad.take(
                source.error(
                    row, f"{label} without a value", "pairs `id:value`"
                )
            )
            is_bad[row] = True
        yield _Run(source, run, is_bad)


def _align(
    left: Iterator[_Run], right: Iterator[_Run]
) -> Iterator[tuple[_Run, _Run]]:
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
