"""Reads text and labels from records of named columns, of any file format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import columns as columns_lib
from tfxml.data.formats import (
    label_space,
    read_options,
    row_checks,
    surveys,
)

_MAX_FLOAT = float(np.finfo(np.float32).max)
_SAMPLE = 1000  # records from which columns are chosen
_NAMED = 5  # labels that a note names


class Record(NamedTuple):
    """One row: its columns, and where it stands."""

    path: str
    row: int  # from 0
    line: int | None  # from 1; None where the file has no lines
    cells: dict[str, Any]

    def error(self, found: str, needed: str) -> data_errors.RowError:
        if self.line is None:
            found = f"{found} in row {self.row} (from 0)"
        return data_errors.RowError(
            self.path, found, needed, self.line, self.row
        )


# Yields runs of records of a file: path, what to do about rows that are none,
# the rows wanted (None: all) and the columns needed (None: all).
ReadRecords = Callable[..., Iterator[list[Record]]]


class Labels(NamedTuple):
    """The labels of a data set, and how they were found."""

    space: label_space.Ids | label_space.Names
    names: tuple[str, ...] | None  # None: a file beside has them, or nothing
    sizes: dict[str, tuple[int, ...]]  # rows of each piece, where known
    notes: tuple[str, ...] = ()


def read(
    runs: Iterator[list[Record]],
    columns: columns_lib.Columns,
    space: label_space.Ids | label_space.Names,
    bad: bad_rows.BadRows,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of runs of records.

    Raises:
        RowError: for a row without the columns' values, unless it is skipped.
    """
    for records in runs:
        texts, targets, weights = [], [], []
        for record in records:
            try:
                target = _labels(record, columns, space)
                weight = _weight(record, columns.weight)
                text = columns_lib.text_of(record.cells, columns, record.error)
            except data_errors.RowError as error:
                bad.take(error)
                continue
            texts.append(text)
            targets.append(target)
            weights.append(weight)
        splits, ids = row_checks.label_rows(
            instances.splits_from_lengths(list(map(len, targets))),
            np.array(
                [label for target in targets for label in target], np.int64
            ),
            space.num_labels,
            row_checks.Source("", 0),
        )
        yield instances.TextInstances(
            texts,
            splits,
            ids,
            np.array(weights, np.float32) if columns.weight else None,
        )


def survey(
    read_records: ReadRecords,
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
    is_splitting: bool = False,
) -> surveys.Survey:
    """Returns what a table's columns and labels are.

    The labels are those of a file of names beside the data, else those of the
    training split, in sorted order.

    Args:
        read_records: reads a file of the table.
        pieces: the files, one each.
        data_dir: what errors name if no file is to blame.
        options: which columns are read.
        read_names: returns the names beside the data.
        is_splitting: whether strings of labels are split without being told.
    """
    columns = choose_columns(read_records, pieces, options, is_splitting)
    labels = find_labels(read_records, pieces, data_dir, columns, read_names)
    return surveys.Survey(
        None,
        labels.space.num_labels,
        labels.sizes,
        {"columns": columns, "space": labels.space},
        labels.names,
        (columns.describe(), *labels.notes),
    )


def choose_columns(
    read_records: ReadRecords,
    pieces: surveys.Pieces,
    options: read_options.ReadOptions,
    is_splitting: bool = False,
) -> columns_lib.Columns:
    """Returns the columns to read, by the first records of the first file."""
    path, records = sample(read_records, pieces)
    return columns_lib.choose(
        path,
        {key for record in records for key in record.cells},
        lambda column: (record.cells.get(column) for record in records),
        options,
        is_splitting,
    )


def sample(
    read_records: ReadRecords, pieces: surveys.Pieces
) -> tuple[str, list[Record]]:
    """Returns the first file of the training split, and its first records.

    The first file of all where there is no training split.
    """
    ((path,), *_) = pieces.get("train") or next(iter(pieces.values()))
    bad = bad_rows.BadRows("skip")
    for records in read_records(path, bad, range(_SAMPLE)):
        if records:
            return path, records
    raise data_errors.DataError(
        path, next(iter(bad.examples.values()), "no row"), "rows"
    )


def find_labels(
    read_records: ReadRecords,
    pieces: surveys.Pieces,
    data_dir: str,
    columns: columns_lib.Columns,
    read_names: surveys.ReadNames,
) -> Labels:
    """Returns the labels named beside the data, else in the training split."""
    names = read_names()
    if names is not None:
        space = label_space.Names(names, "the file of label names")
        return Labels(space, None, {})
    counted = {
        split: [
            _count_labels(read_records, path, columns) for (path,) in of_split
        ]
        for split, of_split in pieces.items()
    }
    known = {
        name
        for split in (["train"] if "train" in pieces else pieces)
        for _, counts in counted[split]
        for name in counts
    }
    if not known:
        for record in sample(read_records, pieces)[1]:
            _named(record, columns)  # raises if that is why
        raise data_errors.DataError(
            data_dir, f"no label in {columns.label}", "one or more"
        )
    names = label_space.sort_names(known)
    return Labels(
        label_space.Names(names),
        tuple(names),
        {
            split: tuple(rows for rows, _ in of_split)
            for split, of_split in counted.items()
        },
        tuple(
            note
            for split, of_split in counted.items()
            if (note := _note_unseen(split, of_split, known))
        ),
    )


def _count_labels(
    read_records: ReadRecords, path: str, columns: columns_lib.Columns
) -> tuple[int, dict[str, int]]:
    """Returns a file's rows, and how often it names each label."""
    bad = bad_rows.BadRows("skip")  # they are told when rows are wanted
    rows = 0
    counts: dict[str, int] = {}
    for records in read_records(path, bad, None, [columns.label]):
        rows += len(records)
        for record in records:
            try:
                labels = _named(record, columns)
            except data_errors.RowError:
                continue
            for label in labels:
                name = str(label)
                counts[name] = counts.get(name, 0) + 1
    return rows + bad.total, counts


def _named(record: Record, columns: columns_lib.Columns) -> list[str | int]:
    """Returns the labels that a record names.

    Raises:
        RowError: if they are none.
    """
    cell = _cell(record, columns.label, "labels")
    return label_space.values(
        cell, columns.label, columns.separator, record.error
    )


def _note_unseen(split: str, counted: list, known: set[str]) -> str:
    unseen: dict[str, int] = {}
    for _, counts in counted:
        for name in counts.keys() - known:
            unseen[name] = unseen.get(name, 0) + counts[name]
    if not unseen:
        return ""
    named = ", ".join(sorted(unseen)[:_NAMED])
    more = ", ..." if len(unseen) > _NAMED else ""
    return (
        f"{split} names {len(unseen):,} labels that training never had, "
        f"{sum(unseen.values()):,} times; they are left out: {named}{more}"
    )


def _cell(record: Record, column: str, needed: str) -> Any:
    if column not in record.cells:
        keys = columns_lib.listing(record.cells)
        raise record.error(f"no `{column}` among the keys {keys}", needed)
    return record.cells[column]


def _labels(record: Record, columns, space) -> list[int]:
    needed = "labels"
    if isinstance(space, label_space.Ids):
        needed = "a list of integers"
    cell = _cell(record, columns.label, needed)
    return space.ids(cell, columns.label, columns.separator, record.error)


def _weight(record: Record, column: str) -> float:
    if not column:
        return 1.0
    needed = "a finite weight of at least 0"
    cell = _cell(record, column, needed)
    try:
        weight = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not 0 <= weight <= _MAX_FLOAT:
        raise record.error(f"weight {str(cell)[:40]!r} in `{column}`", needed)
    return weight
