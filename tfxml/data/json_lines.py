"""Reads the LF data sets' JSON lines: raw text and labels.

A line is `{"uid": str, "title": str, "content": str, "target_ind": [int]}`;
other members are ignored. Label names are lines `{"uid": str, "title": str}`,
the line number, from 0, is the label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from tfxml.data import errors, files, instances, rows


def read(
    path: str,
    num_labels: int | None = None,
    chunk_bytes: int = files.CHUNK_BYTES,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    The text is title and content, joined by a space where neither is missing,
    null or empty; it is "" where both are. Blank lines may end the file.

    Args:
      path: the file.
      num_labels: labels must be in [0, num_labels); any int32 if None.
      chunk_bytes: about how much of the file makes one run.

    Raises:
      DataError: with the line of what is wrong.
    """
    limit = rows.MAX_COLUMNS if num_labels is None else num_labels
    row = 0
    for records in _records(path, chunk_bytes):
        source = rows.Source(path, row, lines_before_rows=0)
        targets = [
            _target(path, line, record, limit) for line, record in records
        ]
        splits, ids = rows.label_rows(
            instances.splits_from_lengths(list(map(len, targets))),
            np.array(
                [label for target in targets for label in target], np.int64
            ),
            limit,
            source,
        )
        texts = [_text(path, line, record) for line, record in records]
        yield instances.TextInstances(texts, splits, ids)
        row += len(records)


def read_names(path: str) -> list[str]:
    """Returns the labels' titles in order; the uid where a title is empty."""
    names = []
    for records in _records(path, files.CHUNK_BYTES):
        for line, record in records:
            name = _string(path, line, record, "title")
            name = name or _string(path, line, record, "uid")
            if not name:
                raise errors.DataError(
                    path, "a label without name", "`title` or `uid`", line
                )
            names.append(name)
    return names


def _records(path: str, chunk_bytes: int) -> Iterator[list[tuple[int, dict]]]:
    """Yields runs of line numbers and objects."""
    blank = None  # the number of the first blank line of those that end here
    for first, lines in files.text_line_chunks(path, chunk_bytes):
        records = []
        for number, line in enumerate(lines, first):
            if not line.strip():
                blank = blank or number
                continue
            if blank:
                raise errors.DataError(
                    path, "a blank line", "a JSON object", blank
                )
            records.append((number, _parse(path, number, line)))
        if records:
            yield records


def _parse(path: str, number: int, line: str) -> dict:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise errors.DataError(
            path, f"{files.excerpt(line)} ({error})", "valid JSON", number
        ) from error
    if not isinstance(record, dict):
        raise errors.DataError(
            path, files.excerpt(line), "a JSON object", number
        )
    return record


def _text(path: str, line: int, record: dict) -> str:
    parts = (
        _string(path, line, record, "title"),
        _string(path, line, record, "content"),
    )
    return " ".join(part for part in parts if part)


def _string(path: str, line: int, record: dict, key: str) -> str:
    """Returns a member that is a string; "" where it is missing or null."""
    value = record.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        found = f"{type(value).__name__} as `{key}`"
        raise errors.DataError(path, found, "a string or null", line)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair in `{key}`"
        raise errors.DataError(path, found, "valid Unicode", line) from error
    return value


def _target(path: str, line: int, record: dict, limit: int) -> list[int]:
    """Returns the labels as they stand in a record: any order, any repeats."""
    labels = record.get("target_ind")
    if not isinstance(labels, list):
        found = f"{type(labels).__name__} as `target_ind`"
        raise errors.DataError(path, found, "a list of integers", line)
    for label in labels:
        # bool is a subclass of int, and true is no label
        if type(label) is not int:
            found = f"{type(label).__name__} in `target_ind`"
            raise errors.DataError(path, found, "integers", line)
        if not 0 <= label < limit:
            found = f"label id {label} in `target_ind`"
            raise errors.DataError(path, found, f"[0, {limit})", line)
    return labels
