"""Reads the rows of one matrix, sparse or dense, from a file of NumPy's.

CSR and dense archives are read from front to back, so that they are never held
whole, and a plain npy file is mapped into memory. CSC and COO are held whole,
sorted by row.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator

import numpy as np

from tfxml.data.formats import numpy_arrays, pair_runs, row_checks

# N rows, E entries

ROWS_PER_RUN = 1024
_DENSE_CELLS = 1 << 20  # of a run of dense rows, at most

# Splits, [n + 1] int64, ids and values of n rows.
Rows = tuple[np.ndarray, np.ndarray, np.ndarray]


def read_shape(path: str) -> tuple[int, int]:
    """Returns the numbers of rows and columns."""
    with _open(path, is_header=True) as matrix:
        return matrix.num_rows, matrix.num_columns


def read(
    path: str, wanted: range, rows_per_run: int = ROWS_PER_RUN
) -> Iterator[pair_runs.PairRun]:
    """Yields a run of rows; a file that is wanted to its end is checked there.

    Raises:
        DataError: for a file that is not what its headers say. Rows
            themselves are not checked.
    """
    with _open(path) as matrix:
        rows_per_run = min(rows_per_run, matrix.most_rows)
        matrix.skip_rows(wanted.start)
        for first in range(wanted.start, wanted.stop, rows_per_run):
            size = min(rows_per_run, wanted.stop - first)
            yield pair_runs.PairRun(
                row_checks.Source(path, first),
                *matrix.take_rows(size),
                np.zeros(size, bool),
            )
        if wanted.stop == matrix.num_rows:
            matrix.check_end()


@contextlib.contextmanager
def _open(path: str, is_header: bool = False) -> Iterator[_Matrix]:
    """Opens a matrix; one whose header alone is wanted may have no rows."""
    if path.endswith(".npy"):
        yield _Mapped(numpy_arrays.MappedArray(path, "biuf"))
        return
    with numpy_arrays.open_archive(path) as archive:
        if "format.npy" not in archive.namelist():
            yield _Dense(numpy_arrays.only_array(archive, path, "biuf"))
            return
        layout = _layout(archive, path)
        shape = _sparse_shape(archive, path, layout)
        if layout == "csr":
            yield _Rows(archive, path, *shape)
        elif is_header:
            yield _Matrix(*shape)
        elif layout == "csc":
            yield _Sorted(*shape, *_column_entries(archive, path, *shape))
        else:
            yield _Sorted(*shape, *_coordinate_entries(archive, path, *shape))


def _layout(archive: zipfile.ZipFile, path: str) -> str:
    array = numpy_arrays.Array(archive, path, "format", "SU")
    layout = bytes(array.take(1)).replace(b"\0", b"").decode("latin-1")
    if layout not in ("csr", "csc", "coo"):
        raise array.error(
            repr(layout), "csr, csc or coo; matrix.tocsr() makes one"
        )
    return layout


def _sparse_shape(
    archive: zipfile.ZipFile, path: str, layout: str
) -> tuple[int, int]:
    shape = numpy_arrays.Array(archive, path, "shape", "iu")
    num_rows, num_columns = map(int, shape.take(2))
    if num_rows < 0 or not 1 <= num_columns <= row_checks.MAX_COLUMNS:
        raise shape.error(
            f"{num_rows} x {num_columns}",
            f"rows, and 1 to {row_checks.MAX_COLUMNS} columns",
        )
    # The entries do not bound how many rows without any there are.
    if layout != "csr" and num_rows > row_checks.MAX_COLUMNS:
        raise shape.error(
            f"{num_rows} rows", f"{row_checks.MAX_COLUMNS} or fewer in {layout}"
        )
    return num_rows, num_columns


class _Matrix:
    """A matrix whose shape is known."""

    most_rows = ROWS_PER_RUN  # that are taken at once

    def __init__(self, num_rows: int, num_columns: int):
        self.num_rows = num_rows
        self.num_columns = num_columns

    def skip_rows(self, number: int) -> None:
        for first in range(0, number, self.most_rows):
            self.take_rows(min(self.most_rows, number - first))

    def take_rows(self, size: int) -> Rows:
        """Returns the next rows."""
        raise NotImplementedError

    def check_end(self) -> None:
        """Raises DataError unless the file ends after the last row."""


class _Rows(_Matrix):
    """A matrix in CSR, read from its first row to its last."""

    def __init__(
        self,
        archive: zipfile.ZipFile,
        path: str,
        num_rows: int,
        num_columns: int,
    ):
        super().__init__(num_rows, num_columns)
        self._indptr = _open_splits(archive, path, num_rows)
        self._indices, self._data = _open_entries(archive, path, "indices")
        self._edge = int(self._indptr.take(1)[0])
        if self._edge:
            raise self._indptr.error(f"first element {self._edge}", "0")

    def take_rows(self, size: int) -> Rows:
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


class _Sorted(_Matrix):
    """A matrix whose entries are held, sorted by row."""

    def __init__(
        self,
        num_rows: int,
        num_columns: int,
        rows: np.ndarray,
        ids: np.ndarray,
        values: np.ndarray,
    ):
        super().__init__(num_rows, num_columns)
        order = np.argsort(rows, kind="stable")
        self._rows, self._ids = rows[order], ids[order]
        self._values = values[order]
        self._next = 0

    def skip_rows(self, number: int) -> None:
        self._next += number

    def take_rows(self, size: int) -> Rows:
        edges = np.arange(self._next, self._next + size + 1)
        splits = np.searchsorted(self._rows, edges)
        self._next += size
        entries = slice(splits[0], splits[-1])
        return splits - splits[0], self._ids[entries], self._values[entries]


class _Dense(_Matrix):
    """A dense matrix, read from its first row to its last."""

    def __init__(self, array: numpy_arrays.Array):
        super().__init__(*_dense_shape(array))
        self._array = array
        if array.is_fortran and min(array.shape) > 1:
            raise array.error(
                "columns that follow each other",
                "rows that do: numpy.ascontiguousarray(matrix)",
            )
        self.most_rows = max(1, _DENSE_CELLS // self.num_columns)

    def take_rows(self, size: int) -> Rows:
        cells = self._array.take(size * self.num_columns)
        return _nonzero(cells.reshape(size, self.num_columns))

    def check_end(self) -> None:
        self._array.check_end()


class _Mapped(_Matrix):
    """A dense matrix that is mapped into memory."""

    def __init__(self, mapped: numpy_arrays.MappedArray):
        super().__init__(*_dense_shape(mapped))
        self._cells = mapped.cells
        self.most_rows = max(1, _DENSE_CELLS // self.num_columns)
        self._next = 0

    def skip_rows(self, number: int) -> None:
        self._next += number

    def take_rows(self, size: int) -> Rows:
        self._next += size
        return _nonzero(self._cells[self._next - size : self._next])


def _dense_shape(array) -> tuple[int, int]:
    if len(array.shape) != 2 or not (
        1 <= array.shape[1] <= row_checks.MAX_COLUMNS
    ):
        raise array.error(
            f"shape {array.shape}",
            f"[rows, columns] of 1 to {row_checks.MAX_COLUMNS} columns",
        )
    return array.shape


def _nonzero(cells: np.ndarray) -> Rows:
    rows, columns = np.nonzero(cells)
    splits = np.searchsorted(rows, np.arange(len(cells) + 1))
    return splits, columns, np.asarray(cells[rows, columns])


def _open_splits(
    archive: zipfile.ZipFile, path: str, number: int
) -> numpy_arrays.Array:
    indptr = numpy_arrays.Array(archive, path, "indptr", "iu")
    if indptr.remaining != number + 1:
        raise indptr.error(f"{indptr.remaining} elements", f"{number + 1}")
    return indptr


def _open_entries(
    archive: zipfile.ZipFile, path: str, name: str
) -> tuple[numpy_arrays.Array, numpy_arrays.Array]:
    ids = numpy_arrays.Array(archive, path, name, "iu")
    values = numpy_arrays.Array(archive, path, "data", "biuf")
    if values.remaining != ids.remaining:
        raise values.error(
            f"{values.remaining} elements", f"{ids.remaining}, as in `{name}`"
        )
    return ids, values


def _column_entries(
    archive: zipfile.ZipFile, path: str, num_rows: int, num_columns: int
) -> Rows:
    """Returns rows, columns and values of a matrix in CSC."""
    indptr = _open_splits(archive, path, num_columns)
    indices, data = _open_entries(archive, path, "indices")
    edges = indptr.take_all().astype(np.int64)
    if edges[0]:
        raise indptr.error(f"first element {edges[0]}", "0")
    if (edges < 0).any() or (np.diff(edges) < 0).any():
        raise indptr.error("elements that fall", "none less")
    if edges[-1] != indices.remaining:
        raise indices.error(f"{indices.remaining} elements", f"{edges[-1]}")
    rows = _take_rows_of(indices, num_rows)
    columns = np.repeat(np.arange(num_columns, dtype=np.int32), np.diff(edges))
    return rows, columns, data.take_all()


def _coordinate_entries(
    archive: zipfile.ZipFile, path: str, num_rows: int, num_columns: int
) -> Rows:
    """Returns rows, columns and values of a matrix in COO."""
    rows, data = _open_entries(archive, path, "row")
    columns = numpy_arrays.Array(archive, path, "col", "iu")
    if columns.remaining != rows.remaining:
        raise columns.error(
            f"{columns.remaining} elements", f"{rows.remaining}, as in `row`"
        )
    return _take_rows_of(rows, num_rows), columns.take_all(), data.take_all()


def _take_rows_of(array: numpy_arrays.Array, num_rows: int) -> np.ndarray:
    """Returns the rows of all entries, [E]."""
    rows = array.take_all()
    if len(rows) and (rows.min() < 0 or rows.max() >= num_rows):
        bad = rows[(rows < 0) | (rows >= num_rows)][0]
        raise array.error(f"row {bad}", f"rows in [0, {num_rows})")
    return rows
