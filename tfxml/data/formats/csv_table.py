"""Reads CSV and TSV files whose first row names the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import columns as columns_lib
from tfxml.data.formats import label_space, read_options, surveys, table

ENDING = r"\.(?:csv|tsv)(?:\.gz)?"
FILES = (r"(?:.*[_-])?SPLIT(?:PART)?" + ENDING,)
EXAMPLE = "train.csv, test.csv (or .tsv) with a row of column names"
OPTIONS = read_options.TABLE

ROWS_PER_RUN = 1024
_DELIMITERS = ",;\t|"


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the labels and the columns to read; see `table.survey`."""
    return table.survey(
        read_records, pieces, data_dir, options, read_names, is_splitting=True
    )


def read(
    path: str,
    columns: columns_lib.Columns,
    space: label_space.Ids | label_space.Names,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Args:
        path: the file; tabs separate the columns of a .tsv, and those of a
            .csv whatever of comma, semicolon, tab and | its first row has
            most of.
        columns: those that are read.
        space: what labels there may be.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the line where a bad row starts.
    """
    bad = bad or bad_rows.BadRows()
    yield from table.read(read_records(path, bad, wanted), columns, space, bad)


def count_rows(path: str) -> int:
    """Returns the number of rows, bad ones included."""
    bad = bad_rows.BadRows("skip")
    return sum(map(len, read_records(path, bad))) + bad.total


def read_records(
    path: str,
    bad: bad_rows.BadRows,
    wanted: range | None = None,
    columns: list[str] | None = None,
) -> Iterator[list[table.Record]]:
    """Yields runs of records, all their cells whatever `columns` are."""
    # A limit of the process; the module's own is below many a text.
    csv.field_size_limit(files.MAX_LINE_BYTES)
    rows = _rows(path)
    header = next(rows, None)
    if header is None:
        raise data_errors.DataError(path, "no line", "a row of column names", 1)
    line, names = header
    if isinstance(names, data_errors.RowError):
        raise names
    _check_header(path, line, names)
    records = []
    for row, (line, cells) in enumerate(rows):
        if wanted is not None and row >= wanted.stop:
            break
        if wanted is not None and row < wanted.start:
            continue
        try:
            records.append(_record(path, row, line, names, cells))
        except data_errors.RowError as error:
            bad.take(error)
        if len(records) == ROWS_PER_RUN:
            yield records
            records = []
    if records:
        yield records


def _rows(
    path: str,
) -> Iterator[tuple[int, list[str] | data_errors.RowError]]:
    """Yields the rows that are not blank, each with its first line.

    Bytes that are not UTF-8 become lone surrogates; what is no CSV is an
    error in place of its cells.
    """
    reader = csv.reader(_lines(path), delimiter=_delimiter(path), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, data_errors.RowError(path, str(error), "CSV", line)
            continue
        if cells:
            yield line, cells


def _lines(path: str) -> Iterator[str]:
    for _, chunk in files.line_chunks(path):
        for line in chunk.split(b"\n")[:-1]:
            yield line.decode("utf-8", "surrogateescape") + "\n"


def _delimiter(path: str) -> str:
    if path.removesuffix(".gz").endswith(".tsv"):
        return "\t"
    header = files.first_line(path).decode("utf-8", "replace")
    return max(_DELIMITERS, key=header.count)


def _check_header(path: str, line: int, names: list[str]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise data_errors.DataError(
            path,
            f"columns of the same name, {', '.join(repeated)}",
            "a name for each column",
            line,
        )


def _record(
    path: str,
    row: int,
    line: int,
    names: list[str],
    cells: list[str] | data_errors.RowError,
) -> table.Record:
    if isinstance(cells, data_errors.RowError):
        cells.row = row
        raise cells
    record = table.Record(
        path, row, line, dict(zip(names, cells, strict=False))
    )
    if len(cells) != len(names):
        raise record.error(
            f"{len(cells)} cells",
            f"{len(names)}, as many as there are column names",
        )
    for cell in cells:
        if not cell.isascii():
            _check_utf8(record, cell)
    return record


def _check_utf8(record: table.Record, cell: str) -> None:
    try:
        cell.encode("utf-8")
    except UnicodeEncodeError as error:
        rest = cell[error.start :].encode("utf-8", "surrogateescape")
        raise record.error(
            f"the bytes {files.excerpt(rest)}", "UTF-8"
        ) from error
