"""Reads baskets: sets of items without values, as shops log them.

A header `num_instances num_features num_labels`, then one instance per line,
`label,label;item item`, both counted from 0. An item that is in a basket
twice has the value 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows as bad_rows_lib
from tfxml.data import data_errors, files, instances
from tfxml.data.formats import (
    read_options,
    row_checks,
    sparse_text,
    surveys,
)

FILES = (r"SPLIT\.baskets(?:\.gz)?",)  # of a split: train.baskets and so on
ENDING = r"\.baskets(?:\.gz)?"  # of one file that is a whole data set
EXAMPLE = "train.baskets, test.baskets"
OPTIONS = ()  # it uses none of ReadOptions

# At most nine digits, so that any id fits; the range is checked later.
_ID = "[0-9]{1,9}"
_ROW = re.compile(f"((?:{_ID}(?:,{_ID})*)?);((?:{_ID}(?: {_ID})*)?)")


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names,
) -> surveys.Survey:
    """Returns the sizes from the headers."""
    return surveys.of_headers(read_header, pieces, data_dir)


def read_header(path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    num_instances, num_features, num_labels = sparse_text.read_header(
        path, ("num_instances", "num_features", "num_labels")
    )
    return num_instances, num_features, num_labels


def read(
    path: str,
    bad: bad_rows_lib.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.Instances]:
    """Yields the instances of a file in runs, gzip if its name ends in .gz.

    Args:
        path: the file.
        bad: handles bad rows; None: raise.
        wanted: which rows to read; None: all.

    Raises:
        DataError: naming the line that is wrong.
    """
    num_rows, num_features, num_labels = read_header(path)
    bad = bad or bad_rows_lib.BadRows()
    wanted = range(num_rows) if wanted is None else wanted
    row = -1  # of the run's first line; the header is before row 0
    for _, lines in files.text_line_chunks(path):
        first, last = max(wanted.start, row, 0), row + len(lines)
        rows = lines[first - row : max(min(wanted.stop, last), first) - row]
        source = row_checks.Source(path, first, lines_before_rows=1)

        def check(first, last, rows=rows, source=source):
            return _instances(
                rows[first:last], num_features, num_labels, source.after(first)
            )

        is_bad = np.zeros(len(rows), bool)  # that are known to be bad
        yield bad_rows_lib.keep_good(check, is_bad, bad, instances.concatenate)
        row = last
    if row != num_rows:
        raise data_errors.DataError(
            path,
            f"{row} rows after the header",
            f"{num_rows}, the header's first number",
        )


def _instances(
    rows: list[str],
    num_features: int,
    num_labels: int,
    source: row_checks.Source,
) -> instances.Instances:
    """Returns rows as instances; raises RowError for the first bad one."""
    labels, items = [], []
    for number, row in enumerate(rows):
        match = _ROW.fullmatch(row)
        if not match:
            bad_row = files.excerpt(row)
            raise source.error(number, bad_row, "`label,label;item item`")
        labels.append([int(word) for word in match[1].split(",") if word])
        items.append([int(word) for word in match[2].split()])
    item_ids = _joined(items)
    return instances.Instances(
        *row_checks.feature_rows(
            _splits(items),
            item_ids,
            np.ones(len(item_ids)),
            num_features,
            source,
        ),
        *row_checks.label_rows(
            _splits(labels), _joined(labels), num_labels, source
        ),
    )


def _joined(ids: list[list[int]]) -> np.ndarray:
    return np.array([number for row in ids for number in row], np.int64)


def _splits(ids: list[list[int]]) -> np.ndarray:
    lengths = [len(row) for row in ids]
    return instances.splits_from_lengths(np.array(lengths, np.int64))
