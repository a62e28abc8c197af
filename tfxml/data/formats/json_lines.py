"""Reads JSON lines: text and labels under keys.

The LF data sets' lines are `{"uid": str, "title": str, "content": str,
"target_ind": [int]}`; other members are ignored, but text under another key is
an error. Their label names are lines `{"uid": str, "title": str}`; the line
number, from 0, is the label. Lines without `target_ind` are records of a table
whose columns are chosen by their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import columns as columns_lib
from tfxml.data.formats import (
    label_space,
    read_options,
    surveys,
    table,
)

ENDING = r"\.(?:jsonl?|ndjson)(?:\.gz)?"
FILES = (r"(?:.*[_-])?SPLIT(?:\.raw)?(?:PART)?" + ENDING,)
EXAMPLE = (
    "trn.json.gz, tst.json.gz with lbl.json.gz, or train.jsonl, test.jsonl "
    'with lines as {"text": "...", "labels": ["...", "..."]}'
)
OPTIONS = read_options.TABLE


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the number of labels, and which keys are read.

    Where labels are ids and no file names them, every split is read through,
    and the number of labels is the highest id plus one.
    """
    _, records = table.sample(read_records, pieces)
    is_lf = any("target_ind" in record.cells for record in records)
    if not is_lf or options.label_column not in ("", "target_ind"):
        return table.survey(read_records, pieces, data_dir, options, read_names)
    columns = columns_lib.LF
    if options.text_columns or options.weight_column:
        columns = table.choose_columns(read_records, pieces, options)
    elif options.title_weight > 1:
        columns = columns.with_title_weight(options.title_weight)
    names = read_names()
    sizes: dict[str, tuple[int, ...]] = {}
    notes: tuple[str, ...] = ()
    if names is not None:
        num_labels = len(names)
    else:
        num_labels, sizes = _count_labels(pieces, columns)
    if not num_labels:
        raise data_errors.DataError(data_dir, "no label", "one or more")
    if columns is not columns_lib.LF:
        notes = (columns.describe(),)
    arguments = {"columns": columns, "space": label_space.Ids(num_labels)}
    return surveys.Survey(None, num_labels, sizes, arguments, notes=notes)


def read(
    path: str,
    columns: columns_lib.Columns = columns_lib.LF,
    space: label_space.Ids | label_space.Names | None = None,
    chunk_bytes: int = files.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Blank lines may end the file.

    Args:
      path: the file.
      columns: the keys that are read.
      space: what labels there may be; any int32 if None.
      chunk_bytes: about how much of the file makes one run.
      bad: what to do about bad rows; None: raise.
      wanted: a run of rows, some of which may be past the end; all if None.

    Raises:
      DataError: with the line of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    runs = read_records(path, bad, wanted, chunk_bytes=chunk_bytes)
    yield from table.read(runs, columns, space or label_space.Ids(), bad)


def count_rows(path: str) -> int:
    """Returns the number of rows, bad ones included."""
    return files.count_lines(path)


def read_names(path: str) -> list[str]:
    """Returns the labels' titles in order; the uid where a title is empty."""
    names = []
    for records in read_records(path, bad_rows.BadRows()):
        for record in records:
            name = _string(record, "title") or _string(record, "uid")
            if not name:
                raise record.error("a label without name", "`title` or `uid`")
            names.append(name)
    return names


def read_records(
    path: str,
    bad: bad_rows.BadRows,
    wanted: range | None = None,
    columns: list[str] | None = None,
    chunk_bytes: int = files.CHUNK_BYTES,
) -> Iterator[list[table.Record]]:
    """Yields runs of records, all their members whatever `columns` are."""
    for lines in _lines(path, chunk_bytes, bad, wanted):
        records = []
        for number, line in lines:
            try:
                cells = _parse(path, number, line)
            except data_errors.RowError as error:
                bad.take(error)
            else:
                records.append(table.Record(path, number - 1, number, cells))
        yield records


def _count_labels(
    pieces: surveys.Pieces, columns: columns_lib.Columns
) -> tuple[int, dict[str, tuple[int, ...]]]:
    """Returns the highest label id plus one, and the pieces' rows."""
    num_labels, sizes = 0, {}
    for split, of_split in pieces.items():
        counts = []
        for (path,) in of_split:
            bad = bad_rows.BadRows("skip")  # told when rows are wanted
            number = 0
            for run in read(path, columns, bad=bad):
                number += run.num_instances
                highest = int(run.label_ids.max(initial=-1))
                num_labels = max(num_labels, highest + 1)
            counts.append(number + bad.total)
        sizes[split] = tuple(counts)
    return num_labels, sizes


def _lines(
    path: str, chunk_bytes: int, bad: bad_rows.BadRows, wanted: range | None
) -> Iterator[list[tuple[int, bytes]]]:
    """Yields runs of lines with their numbers, without blank ones at the end.

    A blank line makes this look as far as the next one that is not: only then
    is it a bad row.
    """
    if wanted is not None and not wanted:
        return
    blanks: list[int] = []  # the numbers of the blank lines that end here
    first_line = 1 + (wanted.start if wanted else 0)
    for first, chunk in files.line_chunks(
        path, chunk_bytes, first_line, bad.is_skipping
    ):
        lines = []
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            is_past = wanted is not None and number > wanted.stop
            if is_past and not blanks:
                break
            if line.strip():
                for blank in blanks:
                    bad.take(
                        _error(path, "a blank line", "a JSON object", blank)
                    )
                blanks = []
                if not is_past:
                    lines.append((number, line))
            elif not is_past:
                blanks.append(number)
        if lines:
            yield lines
        if is_past and not blanks:
            return


def _parse(path: str, number: int, line: bytes) -> dict:
    try:
        text = files.decode(path, number, line)
    except data_errors.RowError as error:
        error.row = number - 1
        raise
    needed = "a JSON object"
    if number == 1 and text.lstrip()[:1] == "[":
        needed += " on each line rather than one array"
    try:
        cells = json.loads(text)
    except (ValueError, RecursionError) as error:
        found = f"{files.excerpt(text)} ({error})"
        raise _error(path, found, needed, number) from error
    if not isinstance(cells, dict):
        raise _error(path, files.excerpt(text), needed, number)
    return cells


def _error(
    path: str, found: str, needed: str, number: int
) -> data_errors.RowError:
    return data_errors.RowError(path, found, needed, number, number - 1)


def _string(record: table.Record, key: str) -> str:
    """Returns a member that is a string; "" where it is missing or null."""
    value = record.cells.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        found = f"{type(value).__name__} as `{key}`"
        raise record.error(found, "a string or null")
    label_space.check_unicode(value, key, record.error)
    return value
