"""Dense features of the rows beside them, in NumPy files of their own.

# n instances of a run, D features of the rows, E dense features

`dense.trn.npy` [N, E] holds a row for each of the split. Its columns become the
features D to D + E - 1. The files are mapped into memory, and read by rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import folder_files, numpy_arrays

FILE = r"(?:.*[_-])?dense[._]SPLIT\.npy"


def find(
    data_dir: str, files: list[str], splits: tuple[str, ...]
) -> tuple[dict[str, str], int]:
    """Returns the file of each split and E; ({}, 0) without any.

    Raises:
        DataError: if a split has none, or has other features than the others.
    """
    paths = {
        split: path
        for split in splits
        if (
            path := folder_files.only_match(
                data_dir, files, folder_files.of_split(FILE, split)
            )
        )
    }
    if not paths:
        return {}, 0
    missing = set(splits) - set(paths)
    if missing:
        raise data_errors.DataError(
            data_dir,
            f"dense features of {' and '.join(sorted(paths))} alone",
            f"a file for {' and '.join(sorted(missing))}, too",
        )
    path = paths.get("train", next(iter(paths.values())))
    width = _mapped(path).shape[1]
    for other in paths.values():
        if (found := _mapped(other).shape[1]) != width:
            raise data_errors.DataError(
                other, f"{found} columns", f"{width}, as in {path}"
            )
    return paths, width


def append(
    runs: Iterator[instances.AnyInstances],
    path: str,
    rows: np.ndarray,
    num_features: int,
    bad: bad_rows.BadRows,
) -> Iterator[instances.AnyInstances]:
    """Yields runs with the dense features behind their own.

    Args:
        runs: of instances with features.
        path: of the dense ones.
        rows: which rows of the file those of the runs are.
        num_features: D.
        bad: what is done about bad rows of the runs.

    Raises:
        DataError: if the file has no such rows, or cells that are not finite,
            or if bad rows were skipped, for rows go together by number.
    """
    so_far = bad.total
    array = _mapped(path)
    if len(rows) and rows.max() >= array.shape[0]:
        raise data_errors.DataError(
            path, f"{array.shape[0]} rows", f"{rows.max() + 1} or more"
        )
    first = 0
    for run in runs:
        if not isinstance(run, instances.Instances):
            raise ValueError("`runs` must hold features. Received: texts")
        if bad.total > so_far:
            raise data_errors.DataError(
                path,
                f"rows beside, of which {bad.total - so_far} are bad",
                "good rows alone, for they go together by number",
            )
        last = first + run.num_instances
        cells = np.asarray(array.cells[rows[first:last]], np.float32)
        if not np.isfinite(cells).all():
            row = first + int(np.argmin(np.isfinite(cells).all(axis=1)))
            raise data_errors.DataError(
                path, f"NaN or infinity in row {rows[row]}", "finite numbers"
            )
        yield _joined(run, cells, num_features)
        first = last


def _joined(
    run: instances.Instances, cells: np.ndarray, num_features: int
) -> instances.Instances:
    """Returns a run with the nonzero cells [n, E] behind its features."""
    dense_rows, columns = np.nonzero(cells)
    lengths = np.diff(run.feature_splits)
    owners = np.concatenate(
        [np.repeat(np.arange(run.num_instances), lengths), dense_rows]
    )
    order = np.argsort(owners, kind="stable")
    ids = np.concatenate([run.feature_ids, columns + num_features])
    values = np.concatenate([run.feature_values, cells[dense_rows, columns]])
    lengths = lengths + np.bincount(dense_rows, minlength=run.num_instances)
    return instances.Instances(
        instances.splits_from_lengths(lengths),
        ids[order].astype(np.int32),
        values[order],
        run.label_splits,
        run.label_ids,
        run.weights,
    )


def _mapped(path: str) -> numpy_arrays.MappedArray:
    array = numpy_arrays.MappedArray(path, "biuf")
    if len(array.shape) != 2 or not array.shape[1]:
        raise data_errors.DataError(
            path, f"shape {array.shape}", "[rows, dense features]"
        )
    return array
