"""Reads records from Parquet files and from Arrow's, with pyarrow.

`pip install "tfxml[parquet]"` brings it; as a core requirement it would weigh
on those who never use it.
"""

from __future__ import annotations

import contextlib
import json
import types
from collections.abc import Callable, Iterable, Iterator

from tfxml.data import data_errors
from tfxml.data.formats import columns as columns_lib
from tfxml.data.formats import label_space, read_options, surveys, table

ROWS_PER_RUN = 1024


def survey(
    read_records: table.ReadRecords,
    read_schema: Callable,
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the columns, and the labels: those of the schema if it has any.

    Args:
        read_records: reads a file.
        read_schema: returns the Arrow schema of a file.
        pieces, data_dir, options, read_names: see `table.survey`.
    """
    columns = table.choose_columns(read_records, pieces, options)
    ((path,), *_) = next(iter(pieces.values()))
    names = _class_names(read_schema(path), columns.label)
    if names is None:
        labels = table.find_labels(
            read_records, pieces, data_dir, columns, read_names
        )
    else:
        space = label_space.Ids(len(names), takes_one=True)
        labels = table.Labels(space, tuple(names), {})
    return surveys.Survey(
        None,
        labels.space.num_labels,
        labels.sizes,
        {"columns": columns, "space": labels.space},
        labels.names,
        (columns.describe(), *labels.notes),
    )


def to_records(
    path: str,
    batches: Iterable,
    wanted: range | None,
    first_row: int = 0,
) -> Iterator[list[table.Record]]:
    """Yields runs of records of Arrow's record batches.

    Args:
        path: the file.
        batches: its record batches.
        wanted: a run of the file's rows; all of them if None.
        first_row: the first batch's first row.
    """
    row = first_row
    for batch in batches:
        first, last = 0, batch.num_rows
        if wanted is not None:
            first = min(max(wanted.start - row, 0), last)
            last = min(max(wanted.stop - row, 0), last)
        for start in range(first, last, ROWS_PER_RUN):
            size = min(ROWS_PER_RUN, last - start)
            yield [
                table.Record(path, number, None, cells)
                for number, cells in enumerate(
                    batch.slice(start, size).to_pylist(), row + start
                )
            ]
        row += batch.num_rows
        if wanted is not None and row >= wanted.stop:
            return


def check_columns(path: str, names: list[str], columns: list[str]) -> None:
    """Raises DataError where a file lacks a column."""
    missing = [column for column in columns if column not in names]
    if missing:
        raise data_errors.DataError(
            path,
            f"the columns {columns_lib.listing(names)}",
            f"{', '.join(missing)} too, as in the other files",
        )


@contextlib.contextmanager
def errors_named(path: str) -> Iterator[None]:
    """Turns what pyarrow raises over a damaged file into DataError."""
    try:
        yield
    except (data_errors.DataError, FileNotFoundError, PermissionError):
        raise
    except _arrow_errors(path) as error:
        raise data_errors.DataError(
            path, f"a damaged file ({str(error)[:200]})", "a whole one"
        ) from error


def pyarrow(path: str) -> types.ModuleType:
    """Returns the module; raises DataError where it is not installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise data_errors.DataError(
            path,
            "a file that pyarrow reads, which is not installed",
            'pip install "tfxml[parquet]"',
        ) from error
    return pyarrow


def _arrow_errors(path: str) -> tuple[type[Exception], ...]:
    arrow = pyarrow(path)
    return arrow.ArrowException, ValueError, OSError, OverflowError


def _class_names(schema, column: str) -> list[str] | None:
    """Returns the names that `datasets` gives the classes of a column."""
    try:
        metadata = json.loads((schema.metadata or {})[b"huggingface"])
        feature = metadata["info"]["features"][column]
    except (KeyError, ValueError, TypeError):
        return None
    while isinstance(feature, (dict, list)):
        if isinstance(feature, list):  # how lists were once written
            feature = feature[0] if feature else None
        elif feature.get("_type") == "ClassLabel":
            names = feature.get("names")
            return names if _are_names(names) else None
        else:
            feature = feature.get("feature")
    return None


def _are_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(n, str) for n in names)
