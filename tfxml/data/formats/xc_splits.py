"""Reads one data file and the index files that cut it into train and test.

The Extreme Classification Repository's older archives (Bibtex, Delicious,
Mediamill) hold all instances in one file of its text format, and in
`*_trSplit.txt` and `*_tstSplit.txt` a line an instance: its number from 1, in
a column for each of several random splits. The first column is taken, in the
order of the data file
(http://manikvarma.org/downloads/XC/XMLRepository.html).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import row_checks, row_grammar, sparse_text, xc_text

# N instances of the data file, n of a split

_NUMBER = re.compile(rb"[0-9]{1,18}")


def read_header(data_path: str, split_path: str) -> tuple[int, int, int]:
    """Returns a split's instances, and the features and labels."""
    number, num_features, num_labels = xc_text.read_header(data_path)
    return len(read_split(split_path, number)), num_features, num_labels


def read_split(path: str, num_instances: int) -> np.ndarray:
    """Returns which rows of the data file a split has, ascending, [n] int64.

    Blank lines are ignored.

    Raises:
        DataError: naming the line that is no number of an instance, has
            other columns than the first, or repeats an instance.
    """
    seen, num_columns = {}, None
    for first, chunk in files.line_chunks(path):
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            words = line.split()
            if not words:
                continue
            num_columns = num_columns or len(words)
            instance = _instance(path, number, words, num_columns)
            if not 1 <= instance <= num_instances:
                raise data_errors.DataError(
                    path,
                    f"instance {instance}",
                    f"instances from 1 to {num_instances}",
                    number,
                )
            before = seen.setdefault(instance, number)
            if before != number:
                raise data_errors.DataError(
                    path,
                    f"instance {instance} again, after line {before}",
                    "each instance once",
                    number,
                )
    return np.sort(np.fromiter(seen, np.int64, len(seen))) - 1


def read(
    data_path: str,
    split_path: str,
    chunk_bytes: int = sparse_text.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.Instances]:
    """Yields the instances of a split; see `xc_text.read`.

    Rows of the data file that are not the split's may be bad.
    """
    number, num_features, num_labels = xc_text.read_header(data_path)
    chosen = read_split(split_path, number)
    if wanted is not None:
        chosen = chosen[wanted.start : wanted.stop]
    bad = bad or bad_rows.BadRows()
    of_split = _OfSplit(bad, set((chosen + 2).tolist()))  # lines, from 1
    # All the file, so that one that is cut is found.
    for source, run, is_bad in sparse_text.read(
        data_path, number, chunk_bytes, of_split, None
    ):
        edges = source.first_row, source.first_row + run.num_rows
        here = chosen[slice(*np.searchsorted(chosen, edges))] - edges[0]
        if not len(here):
            continue
        found = instances.select(run, here)
        places = _Places(source.path, 0, 1, here + edges[0])

        def check(first, last, found=found, places=places):
            return xc_text.to_instances(
                row_grammar.cut(found, first, last),
                num_features,
                num_labels,
                places.after(first),
            )

        yield bad_rows.keep_good(check, is_bad[here], bad)


def _instance(path: str, line: int, words: list, num_columns: int) -> int:
    if len(words) != num_columns or not all(map(_NUMBER.fullmatch, words)):
        raise data_errors.DataError(
            path,
            files.excerpt(b" ".join(words)),
            f"{num_columns} numbers, one a split, as in the lines before",
            line,
        )
    return int(words[0])


@dataclasses.dataclass(frozen=True)
class _Places(row_checks.Source):
    """Where rows that were chosen stand in their file."""

    chosen: np.ndarray = None  # [n] int64

    def error(self, row: int, found: str, needed: str) -> data_errors.RowError:
        return super().error(int(self.chosen[row]), found, needed)

    def after(self, num_rows: int) -> row_checks.Source:
        return dataclasses.replace(self, chosen=self.chosen[num_rows:])


class _OfSplit:
    """Passes on the bad rows of a split, and no others."""

    def __init__(self, bad: bad_rows.BadRows, lines: set[int]):
        self._bad = bad
        self._lines = lines
        self.is_skipping = True  # as far as a line's length is concerned

    def take(self, error: data_errors.RowError) -> None:
        if error.line in self._lines:
            self._bad.take(error)
