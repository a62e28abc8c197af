"""Reads fastText's lines: words, and labels that start with `__label__`.

As `__label__fish __label__law The text ...`; a label may stand anywhere
(https://fasttext.cc/docs/en/supervised-tutorial.html).
"""

from __future__ import annotations

from collections.abc import Iterator

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import columns as columns_lib
from tfxml.data.formats import (
    label_space,
    read_options,
    surveys,
    table,
    text_kinds,
)

ENDING = r"\.(?:txt|ft|fasttext)(?:\.gz)?"
FILES = (r"(?:(?:.*[_-])?SPLIT(?:PART)?" + ENDING + r"|.*\.SPLIT(?:\.gz)?)",)
EXAMPLE = "train.txt, test.txt (or cooking.train) with __label__ before labels"
OPTIONS = ()

_PREFIX = text_kinds.FASTTEXT_PREFIX.decode()
_COLUMNS = columns_lib.Columns(("text",), "labels")


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the labels, those of the training split in sorted order."""
    labels = table.find_labels(
        read_records, pieces, data_dir, _COLUMNS, read_names
    )
    return surveys.Survey(
        None,
        labels.space.num_labels,
        labels.sizes,
        {"space": labels.space},
        labels.names,
        labels.notes,
    )


def read(
    path: str,
    space: label_space.Names,
    chunk_bytes: int = files.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Blank lines are no rows.

    Args:
        path: the file.
        space: what labels there may be.
        chunk_bytes: about how much of the file makes one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the line of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    runs = read_records(path, bad, wanted, chunk_bytes=chunk_bytes)
    yield from table.read(runs, _COLUMNS, space, bad)


def count_rows(path: str) -> int:
    """Returns the number of rows, bad ones included."""
    bad = bad_rows.BadRows("skip")
    return sum(map(len, read_records(path, bad))) + bad.total


def read_records(
    path: str,
    bad: bad_rows.BadRows,
    wanted: range | None = None,
    columns: list[str] | None = None,
    chunk_bytes: int = files.CHUNK_BYTES,
) -> Iterator[list[table.Record]]:
    """Yields runs of records of `text` and `labels`."""
    row = 0
    for first, chunk in files.line_chunks(
        path, chunk_bytes, is_marking=bad.is_skipping
    ):
        records = []
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            if not line.strip():
                continue
            if wanted is None or row in wanted:
                try:
                    records.append(_record(path, row, number, line))
                except data_errors.RowError as error:
                    bad.take(error)
            row += 1
        if records:
            yield records
        if wanted is not None and row >= wanted.stop:
            return


def _record(path: str, row: int, number: int, line: bytes) -> table.Record:
    try:
        words = files.decode(path, number, line).split()
    except data_errors.RowError as error:
        error.row = row
        raise
    labels = [word[len(_PREFIX) :] for word in words if _is_label(word)]
    text = " ".join(word for word in words if not _is_label(word))
    return table.Record(path, row, number, {"text": text, "labels": labels})


def _is_label(word: str) -> bool:
    return word.startswith(_PREFIX)
