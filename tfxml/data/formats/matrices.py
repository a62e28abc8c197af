"""Reads the pair X and Y of npz files that scipy.sparse.save_npz writes.

A zip archive of five arrays in npy format: `format` ("csr"), `shape`,
`indptr`, `indices` and `data`. They are read side by
side, so neither file is ever held whole.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import npz_stream, row_checks

ROWS_PER_RUN = 1024


def read_header(features_path: str, labels_path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    with _open(features_path) as features, _open(labels_path) as labels:
        return _common_shape(features, labels)


def read(
    features_path: str,
    labels_path: str,
    rows_per_run: int = ROWS_PER_RUN,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.Instances]:
    """Yields the instances of a pair of files in runs of rows.

    A label is present where its value is not 0; features that a row repeats
    are summed. A row that is bad in one file is left out of both.

    Args:
        features_path, labels_path: the files.
        rows_per_run: how many rows make one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the row of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    with _open(features_path) as features, _open(labels_path) as labels:
        num_instances, _, _ = _common_shape(features, labels)
        wanted = range(num_instances) if wanted is None else wanted
        for first in range(0, wanted.start, rows_per_run):
            size = min(rows_per_run, wanted.start - first)
            features.take_rows(size)
            labels.take_rows(size)
        for first in range(wanted.start, wanted.stop, rows_per_run):
            size = min(rows_per_run, wanted.stop - first)
            yield _good_instances(features, labels, first, size, bad)
        if wanted.stop == num_instances:
            features.check_end()
            labels.check_end()


def _good_instances(features, labels, start, size, bad) -> instances.Instances:
    """Returns the next `size` rows of both, `start` being the first."""
    x, y = features.take_rows(size), labels.take_rows(size)

    def check(first, last):
        return instances.Instances(
            *row_checks.feature_rows(
                *_cut(x, first, last),
                features.num_columns,
                row_checks.Source(features.path, start + first),
            ),
            *row_checks.nonzero_label_rows(
                *_cut(y, first, last),
                labels.num_columns,
                row_checks.Source(labels.path, start + first),
            ),
        )

    return bad_rows.keep_good(check, np.zeros(size, bool), bad)


def _cut(run, first: int, last: int) -> tuple[np.ndarray, ...]:
    """Returns splits, ids and values of rows first .. last - 1."""
    splits, ids, values = run
    entries = slice(*splits[[first, last]])
    return (
        splits[first : last + 1] - entries.start,
        ids[entries],
        values[entries],
    )


class _Matrix:
    """A sparse matrix, read from its first row to its last."""

    def __init__(self, archive: zipfile.ZipFile, path: str):
        self.path = path
        layout = npz_stream.Array(archive, path, "format", "SU")
        if bytes(layout.take(1)).replace(b"\0", b"") != b"csr":
            raise layout.error("another layout", "csr")
        shape = npz_stream.Array(archive, path, "shape", "iu")
        self.num_rows, self.num_columns = map(int, shape.take(2))
        self._indptr = npz_stream.Array(archive, path, "indptr", "iu")
        self._indices = npz_stream.Array(archive, path, "indices", "iu")
        self._data = npz_stream.Array(archive, path, "data", "biuf")
        self._check_sizes(shape)
        self._edge = int(self._indptr.take(1)[0])
        if self._edge:
            raise self._indptr.error(f"first element {self._edge}", "0")

    def take_rows(self, size: int) -> tuple[np.ndarray, ...]:
        """Returns splits, [size + 1], ids and values of the next rows."""
        edges = self._indptr.take(size).astype(np.int64)
        splits = np.append(self._edge, edges) - self._edge
        if (splits < 0).any() or (np.diff(splits) < 0).any():
            raise self._indptr.error("elements that fall", "none less")
        self._edge = int(edges[-1])
        num_entries = int(splits[-1])
        ids = self._indices.take(num_entries)
        return splits, ids, self._data.take(num_entries)

    def check_end(self) -> None:
        for array in (self._indptr, self._indices, self._data):
            array.check_end()

    def _check_sizes(self, shape: npz_stream.Array) -> None:
        if (
            self.num_rows < 0
            or not 1 <= self.num_columns <= row_checks.MAX_COLUMNS
        ):
            raise shape.error(
                f"{self.num_rows} x {self.num_columns}",
                f"rows, and 1 to {row_checks.MAX_COLUMNS} columns",
            )
        if self._indptr.remaining != self.num_rows + 1:
            raise self._indptr.error(
                f"{self._indptr.remaining} elements", f"{self.num_rows + 1}"
            )
        if self._data.remaining != self._indices.remaining:
            raise self._data.error(
                f"{self._data.remaining} elements",
                f"{self._indices.remaining}, as in `indices`",
            )


@contextlib.contextmanager
def _open(path: str) -> Iterator[_Matrix]:
    with npz_stream.open_archive(path) as archive:
        yield _Matrix(archive, path)


def _common_shape(features: _Matrix, labels: _Matrix) -> tuple[int, int, int]:
    if features.num_rows != labels.num_rows:
        raise data_errors.DataError(
            labels.path,
            f"{labels.num_rows} rows",
            f"{features.num_rows}, as in {features.path}",
        )
    return features.num_rows, features.num_columns, labels.num_columns
