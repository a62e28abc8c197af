"""Reads Parquet files: text and labels in columns."""

from __future__ import annotations

from collections.abc import Iterator

from tfxml.data import bad_rows, instances
from tfxml.data.formats import (
    arrow_records,
    label_space,
    read_options,
    surveys,
    table,
)
from tfxml.data.formats import columns as columns_lib

ENDING = r"\.parquet"
FILES = (r"(?:data/)?(?:.*[_-])?SPLIT(?:PART)?" + ENDING,)
EXAMPLE = "train.parquet, test.parquet (or data/train-00000-of-00002.parquet)"
OPTIONS = read_options.TABLE


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the columns and the labels; see `arrow_records.survey`."""
    return arrow_records.survey(
        read_records, _read_schema, pieces, data_dir, options, read_names
    )


def read(
    path: str,
    columns: columns_lib.Columns,
    space: label_space.Ids | label_space.Names,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a file.

    Args:
        path: the file.
        columns: those that are read.
        space: what labels there may be.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the row of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    runs = read_records(path, bad, wanted, columns.names())
    yield from table.read(runs, columns, space, bad)


def count_rows(path: str) -> int:
    """Returns the number of rows, as the file says it."""
    with arrow_records.errors_named(path), _open(path) as file:
        return file.metadata.num_rows


def read_records(
    path: str,
    bad: bad_rows.BadRows,
    wanted: range | None = None,
    columns: list[str] | None = None,
) -> Iterator[list[table.Record]]:
    """Yields runs of records with the columns needed; all if None."""
    with arrow_records.errors_named(path), _open(path) as file:
        names = file.schema_arrow.names
        arrow_records.check_columns(path, names, columns or [])
        first_row, groups = _groups(file.metadata, wanted)
        batches = file.iter_batches(
            arrow_records.ROWS_PER_RUN, groups, columns, use_threads=False
        )
        yield from arrow_records.to_records(path, batches, wanted, first_row)


def _groups(metadata, wanted: range | None) -> tuple[int, list[int]]:
    """Returns the first row and the numbers of the row groups to read."""
    first_row = row = 0
    groups: list[int] = []
    for number in range(metadata.num_row_groups):
        size = metadata.row_group(number).num_rows
        if wanted is None or (row < wanted.stop and row + size > wanted.start):
            first_row = first_row if groups else row
            groups.append(number)
        row += size
    return first_row, groups


def _open(path: str):
    arrow_records.pyarrow(path)
    from pyarrow import parquet

    return parquet.ParquetFile(path, memory_map=True)


def _read_schema(path: str):
    with arrow_records.errors_named(path), _open(path) as file:
        return file.schema_arrow
