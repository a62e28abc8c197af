"""Reads text rows `label,label id:value id:value` under a header line."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, files
from tfxml.data.formats import row_checks, row_grammar

# The fastest: the arrays made of larger chunks leave the processor's cache.
CHUNK_BYTES = 1 << 17

_COUNT = re.compile(rb"[0-9]{1,18}")


def read_header(path: str, names: tuple[str, ...]) -> tuple[int, ...]:
    """Returns the header's counts: rows first, then columns.

    `names` says what they count. Columns must be in [1, 2**31).
    """
    line = files.first_line(path)
    words = line.split()
    needed = f"a header of {len(names)} counts, `{' '.join(names)}`"
    if len(words) != len(names) or not all(map(_COUNT.fullmatch, words)):
        raise data_errors.DataError(path, files.excerpt(line), needed, 1)
    counts = tuple(map(int, words))
    for name, count in zip(names[1:], counts[1:], strict=True):
        if not 1 <= count <= row_checks.MAX_COLUMNS:
            raise data_errors.DataError(
                path,
                f"`{name}` = {count} in the header",
                f"1 to {row_checks.MAX_COLUMNS}",
                1,
            )
    return counts


def read(
    path: str,
    num_rows: int,
    chunk_bytes: int,
    bad: bad_rows.BadRows,
    wanted: range | None,
) -> Iterator[tuple[row_checks.Source, row_grammar.Rows, np.ndarray]]:
    """Yields runs of rows, where each came from, and which are bad, [n] bool.

    A line of blanks is a row without labels and features, but past the last
    row it is nothing.

    Args:
        path: the file.
        num_rows: how many rows follow the header.
        chunk_bytes: about how much of the file makes one run.
        bad: what to do about lines that are no rows.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: for a line that is no row, unless it is skipped, and
            where the file does not hold `num_rows` rows after its header;
            rows that are not wanted are only counted.
    """
    wanted = range(num_rows) if wanted is None else wanted
    if not wanted and num_rows:
        return
    seen = wanted.start
    chunks = files.line_chunks(
        path, chunk_bytes, seen + 2 if seen else 1, bad.is_skipping
    )
    for line, chunk in chunks:
        if line == 1:
            chunk = chunk.partition(b"\n")[2]
        if wanted.stop < num_rows:
            chunk = files.first_lines(chunk, wanted.stop - seen)
        if not chunk:
            continue
        source = row_checks.Source(path, seen, lines_before_rows=1)
        run, is_bad = parse(source, chunk, bad)
        if seen + run.num_rows > num_rows:
            run = _without_end(run, num_rows - seen, num_rows, source)
        if run.num_rows:
            yield source, run, is_bad[: run.num_rows]
        seen += run.num_rows
        if seen == wanted.stop < num_rows:
            return
    if seen != num_rows:
        raise data_errors.DataError(
            path,
            f"{seen} rows after the header",
            f"{num_rows}, the header's first number",
            seen + 1,
        )


def parse(
    source: row_checks.Source, chunk: bytes, bad: bad_rows.BadRows
) -> tuple[row_grammar.Rows, np.ndarray]:
    """Returns the rows of whole lines, and which of them are bad, [n] bool."""
    run = row_grammar.parse(chunk)
    if run is None:
        return row_grammar.parse_lines(source, chunk, bad)
    return run, np.zeros(run.num_rows, bool)


def _without_end(
    run: row_grammar.Rows, size: int, num_rows: int, source: row_checks.Source
) -> row_grammar.Rows:
    """Drops the rows after the first `size`, which must be blank."""
    surplus = row_grammar.cut(run, size, run.num_rows)
    if len(surplus.label_ids) or len(surplus.feature_ids):
        raise data_errors.DataError(
            source.path,
            "one row more",
            f"{num_rows}, the header's first number",
            source.error(size, "", "").line,
        )
    return row_grammar.cut(run, 0, size)
