"""Reads text rows `label,label id:value id:value` under a header line."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tfxml.data import errors, files, row_grammar, rows

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
        raise errors.DataError(path, files.excerpt(line), needed, 1)
    counts = tuple(map(int, words))
    for name, count in zip(names[1:], counts[1:], strict=True):
        if not 1 <= count <= rows.MAX_COLUMNS:
            raise errors.DataError(
                path,
                f"`{name}` = {count} in the header",
                f"1 to {rows.MAX_COLUMNS}",
                1,
            )
    return counts


def read(
    path: str, num_rows: int, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[rows.Source, row_grammar.Rows]]:
    """Yields runs of rows and where each came from.

    Raises DataError for a line that is no row, and where the file does not
    hold `num_rows` rows after its header. A line of blanks is a row without
    labels and features, but past the last row it is nothing.
    """
    seen = 0
    for line, chunk in files.line_chunks(path, chunk_bytes):
        if line == 1:
            chunk = chunk.partition(b"\n")[2]
            line = 2
        if not chunk:
            continue
        run = row_grammar.parse(chunk)
        if run is None:
            run = row_grammar.parse_lines(path, line, chunk)
        source = rows.Source(path, seen, lines_before_rows=1)
        if seen + run.num_rows > num_rows:
            run = _without_end(run, num_rows - seen, num_rows, source)
        seen += run.num_rows
        if run.num_rows:
            yield source, run
    if seen != num_rows:
        raise errors.DataError(
            path,
            f"{seen} rows after the header",
            f"{num_rows}, the header's first number",
            seen + 1,
        )


def _without_end(
    run: row_grammar.Rows, size: int, num_rows: int, source: rows.Source
) -> row_grammar.Rows:
    """Drops the rows after the first `size`, which must be blank."""
    label_splits = run.label_splits[: size + 1]
    feature_splits = run.feature_splits[: size + 1]
    surplus = len(run.label_ids) - label_splits[-1]
    surplus += len(run.feature_ids) - feature_splits[-1]
    if surplus:
        raise source.error(
            size, "one row more", f"{num_rows}, the header's first number"
        )
    return run._replace(
        label_splits=label_splits, feature_splits=feature_splits
    )
