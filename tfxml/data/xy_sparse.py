"""Reads the pair of text files X and Y of pyxclib: features and labels.

Each is a header `rows columns`, then one row a line, `id:value id:value`
(https://github.com/kunaldahiya/pyxclib).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfxml.data import errors, instances, rows, sparse_text

# The splits of a run of rows, then the columns that it cuts.
_Run = tuple[np.ndarray, ...]


def read_header(features_path: str, labels_path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    num_instances, num_features = sparse_text.read_header(
        features_path, ("num_instances", "num_features")
    )
    num_rows, num_labels = sparse_text.read_header(
        labels_path, ("num_instances", "num_labels")
    )
    if num_rows != num_instances:
        raise errors.DataError(
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
) -> Iterator[instances.Instances]:
    """Yields the instances of a pair of files, gzip by their names.

    A label is present where its value is not 0; a feature that a row repeats
    is summed. Raises DataError with the line of what is wrong.
    """
    num_instances, num_features, num_labels = read_header(
        features_path, labels_path
    )
    features = (
        rows.feature_rows(*columns, num_features, source)
        for source, columns in _read_pairs(
            features_path, num_instances, chunk_bytes
        )
    )
    labels = (
        rows.nonzero_label_rows(*columns, num_labels, source)
        for source, columns in _read_pairs(
            labels_path, num_instances, chunk_bytes
        )
    )
    for feature_run, label_run in _align(features, labels):
        yield instances.Instances(*feature_run, *label_run)


def _read_pairs(
    path: str, num_rows: int, chunk_bytes: int
) -> Iterator[tuple[rows.Source, _Run]]:
    """Yields splits, ids and values of rows that are pairs only."""
    for source, run in sparse_text.read(path, num_rows, chunk_bytes):
        if len(run.label_ids):
            row = int(np.flatnonzero(np.diff(run.label_splits))[0])
            raise source.error(
                row, f"{run.label_ids[0]} without a value", "pairs `id:value`"
            )
        yield (
            source,
            (run.feature_splits, run.feature_ids, run.feature_values),
        )


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
        size = min(len(run[0]) - 1 for run in runs)
        yield tuple(_cut(run, 0, size) for run in runs)
        runs = [
            _cut(run, size, len(run[0]) - 1) if len(run[0]) - 1 > size else None
            for run in runs
        ]


def _cut(run: _Run, start: int, stop: int) -> _Run:
    splits, *columns = run
    edges = slice(int(splits[start]), int(splits[stop]))
    return (
        splits[start : stop + 1] - splits[start],
        *(column[edges] for column in columns),
    )
