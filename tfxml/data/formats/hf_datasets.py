"""Reads the folders that Hugging Face `datasets` saves to disk.

`DatasetDict.save_to_disk` makes a folder for each split, with files
`data-00000-of-00001.arrow`; `Dataset.save_to_disk` makes one such folder,
which is then the training split. They are read with pyarrow alone.
"""

from __future__ import annotations

import contextlib
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

ENDING = r"\.arrow"
FILES = (r"SPLIT/data-PART" + ENDING,)
FILES_OF_ONE_SPLIT = r"data-PART\.arrow"
STATE = "state.json"  # of a split's folder
EXAMPLE = "train/data-00000-of-00001.arrow, as DatasetDict.save_to_disk writes"
OPTIONS = read_options.TABLE

_FILE_MAGIC = b"ARROW1"  # of the file format; `datasets` writes the stream's


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
    """Yields the instances of a file; see `parquet.read`."""
    bad = bad or bad_rows.BadRows()
    runs = read_records(path, bad, wanted, columns.names())
    yield from table.read(runs, columns, space, bad)


def count_rows(path: str) -> int:
    """Returns the number of rows."""
    with arrow_records.errors_named(path), _open(path) as (_, batches):
        return sum(batch.num_rows for batch in batches)


def read_records(
    path: str,
    bad: bad_rows.BadRows,
    wanted: range | None = None,
    columns: list[str] | None = None,
) -> Iterator[list[table.Record]]:
    """Yields runs of records with the columns needed; all if None."""
    with arrow_records.errors_named(path), _open(path) as (schema, batches):
        arrow_records.check_columns(path, schema.names, columns or [])
        chosen = (
            batch if columns is None else batch.select(columns)
            for batch in _checked(batches)
        )
        yield from arrow_records.to_records(path, chosen, wanted)


def _checked(batches: Iterator) -> Iterator:
    for batch in batches:
        # Offsets of a damaged file lead anywhere in memory.
        batch.validate(full=True)
        yield batch


@contextlib.contextmanager
def _open(path: str) -> Iterator[tuple]:
    """Opens a file; gives its schema and an iterator of its batches."""
    arrow = arrow_records.pyarrow(path)
    with open(path, "rb") as file:
        is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    with arrow.memory_map(path) as source:
        if is_file:
            with arrow.ipc.open_file(source) as reader:
                numbers = range(reader.num_record_batches)
                yield reader.schema, map(reader.get_batch, numbers)
        else:
            with arrow.ipc.open_stream(source) as reader:
                yield reader.schema, iter(reader)


def _read_schema(path: str):
    with arrow_records.errors_named(path), _open(path) as (schema, _):
        return schema
