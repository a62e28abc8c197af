"""Reads one data file and the index files that cut it into train and test.

The Extreme Classification Repository's older archives (Bibtex, Delicious,
Mediamill) hold all instances in one file of its text format, and in
`*_trSplit.txt` and `*_tstSplit.txt` a line an instance: its number from 1, in
a column for each of several random splits. The first column is taken, in the
order of the data file
(http://manikvarma.org/downloads/XC/XMLRepository.html).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import (
    chosen_rows,
    read_options,
    row_checks,
    sparse_text,
    surveys,
    xc_text,
)

FILES = (
    r"(?:.*[_-])?data\.txt(?:\.gz)?",
    r"(?:.*[_-])?INDEX_NAMESplit\.txt(?:\.gz)?",
)
EXAMPLE = "Bibtex_data.txt with bibtex_trSplit.txt, bibtex_tstSplit.txt"
OPTIONS = ("one_based",)

# N instances of the data file, n of a split

_NUMBER = re.compile(rb"[0-9]{1,18}")


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the sizes, as the headers say them."""
    first_ids = row_checks.under_header(options.one_based)
    return surveys.of_headers(
        read_header, pieces, data_dir, first_ids=first_ids
    )


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
    seen: dict[int, int] = {}  # the line of each instance
    num_columns = None
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
    first_ids: row_checks.FirstIds = row_checks.FROM_ZERO,
) -> Iterator[instances.Instances]:
    """Yields the instances of a split; see `xc_text.read`.

    Rows of the data file that are not the split's may be bad.
    """
    number, _, _ = xc_text.read_header(data_path)
    chosen = read_split(split_path, number)
    if wanted is not None:
        chosen = chosen[wanted.start : wanted.stop]

    def read_file(bad):
        return xc_text.read(data_path, chunk_bytes, bad, first_ids=first_ids)

    yield from chosen_rows.read(read_file, chosen, bad or bad_rows.BadRows())


def _instance(path: str, line: int, words: list, num_columns: int) -> int:
    if len(words) != num_columns or not all(map(_NUMBER.fullmatch, words)):
        raise data_errors.DataError(
            path,
            files.excerpt(b" ".join(words)),
            f"{num_columns} numbers, one a split, as in the lines before",
            line,
        )
    return int(words[0])
