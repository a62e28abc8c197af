"""Reads the LF data sets' JSON lines: raw text and labels.

A line is `{"uid": str, "title": str, "content": str, "target_ind": [int]}`;
other members are ignored. Label names are lines `{"uid": str, "title": str}`,
the line number, from 0, is the label.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import row_checks


def read(
    path: str,
    num_labels: int | None = None,
    chunk_bytes: int = files.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    The text is title and content, joined by a space where neither is missing,
    null or empty; it is "" where both are. Blank lines may end the file.

    Args:
      path: the file.
      num_labels: labels must be in [0, num_labels); any int32 if None.
      chunk_bytes: about how much of the file makes one run.
      bad: what to do about bad rows; None: raise.
      wanted: a run of rows, some of which may be past the end; all if None.

    Raises:
      DataError: with the line of what is wrong.
    """
    limit = row_checks.MAX_COLUMNS if num_labels is None else num_labels
    bad = bad or bad_rows.BadRows()
    for lines in _lines(path, chunk_bytes, bad.is_skipping, wanted):
        targets, texts = [], []
        for number, line in lines:
            try:
                record = _parse(path, number, line)
                target = _target(path, number, record, limit)
                texts.append(_text(path, number, record))
                targets.append(target)
            except data_errors.RowError as error:
                bad.take(error)
        splits, ids = row_checks.label_rows(
            instances.splits_from_lengths(list(map(len, targets))),
            np.array(
                [label for target in targets for label in target], np.int64
            ),
            limit,
            row_checks.Source(path, 0),
        )
        yield instances.TextInstances(texts, splits, ids)


def count_rows(path: str) -> int:
    """Returns how many lines there are; blank ones at the end count too."""
    return files.count_lines(path)


def read_names(path: str) -> list[str]:
    """Returns the labels' titles in order; the uid where a title is empty."""
    names = []
    for lines in _lines(path, files.CHUNK_BYTES, False, None):
        for line, text in lines:
            record = _parse(path, line, text)
            name = _string(path, line, record, "title")
            name = name or _string(path, line, record, "uid")
            if not name:
                raise data_errors.DataError(
                    path, "a label without name", "`title` or `uid`", line
                )
            names.append(name)
    return names


def _lines(
    path: str, chunk_bytes: int, is_marking: bool, wanted: range | None
) -> Iterator[list[tuple[int, bytes]]]:
    """Yields runs of lines with their numbers, without blank ones at the end.

    A blank line makes this look as far as the next one that is not.
    """
    if wanted is not None and not wanted:
        return
    blank = None  # the number of the first blank line of those that end here
    first_line = 1 + (wanted.start if wanted else 0)
    for first, chunk in files.line_chunks(
        path, chunk_bytes, first_line, is_marking
    ):
        lines = []
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            is_past = wanted is not None and number > wanted.stop
            if is_past and blank is None:
                break
            if not line.strip():
                blank = blank or number
                continue
            if blank:
                raise data_errors.DataError(
                    path, "a blank line", "a JSON object", blank
                )
            lines.append((number, line))
        if lines:
            yield lines
        if is_past and blank is None:
            return


def _parse(path: str, number: int, line: bytes) -> dict:
    text = files.decode(path, number, line)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise data_errors.RowError(
            path, f"{files.excerpt(text)} ({error})", "valid JSON", number
        ) from error
    if not isinstance(record, dict):
        raise data_errors.RowError(
            path, files.excerpt(text), "a JSON object", number
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
        raise data_errors.RowError(path, found, "a string or null", line)
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        found = f"half a surrogate pair in `{key}`"
        raise data_errors.RowError(
            path, found, "valid Unicode", line
        ) from error
    return value


def _target(path: str, line: int, record: dict, limit: int) -> list[int]:
    """Returns the labels as they stand in a record: any order, any repeats."""
    labels = record.get("target_ind")
    if not isinstance(labels, list):
        found = f"{type(labels).__name__} as `target_ind`"
        raise data_errors.RowError(path, found, "a list of integers", line)
    for label in labels:
        # bool is a subclass of int, and true is no label
        if type(label) is not int:
            found = f"{type(label).__name__} in `target_ind`"
            raise data_errors.RowError(path, found, "integers", line)
        if not 0 <= label < limit:
            found = f"label id {label} in `target_ind`"
            raise data_errors.RowError(path, found, f"[0, {limit})", line)
    return labels
