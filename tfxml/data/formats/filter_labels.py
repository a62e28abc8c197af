"""Reads pairs of an instance and a label that evaluation leaves out.

One `row label` a line, both from 0. In the LF data sets they are reciprocal
pairs: the instance is itself the label
(http://manikvarma.org/downloads/XC/XMLRepository.html).
"""

from __future__ import annotations

import re

import numpy as np

from tfxml.data import data_errors, files

_PAIR = re.compile(rb"[ \t]*([0-9]{1,18})[ \t]+([0-9]{1,18})[ \t]*")


def read(path: str, limits: tuple[int, int] | None = None) -> np.ndarray:
    """Returns the pairs in the file's order, [P, 2] int64.

    Blank lines are ignored and an empty file has no pairs.

    Args:
        path: the file.
        limits: how many rows and labels there are; None: any number.

    Raises:
        DataError: with the line that is no pair, or a row or label that is
            not there.
    """
    runs = [np.zeros((0, 2), np.int64)]
    for first, chunk in files.line_chunks(path):
        pairs = []
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            if match := _PAIR.fullmatch(line):
                pairs.append((int(match[1]), int(match[2])))
            elif line.strip():
                raise data_errors.DataError(
                    path, files.excerpt(line), "a pair `row label`", number
                )
        runs.append(np.array(pairs, np.int64).reshape(-1, 2))
    all_pairs = np.concatenate(runs)
    for noun, column, limit in zip(
        ("row", "label"), all_pairs.T, limits or (), strict=False
    ):
        highest = column.max(initial=-1)
        if highest >= limit:
            raise data_errors.DataError(
                path, f"{noun} {highest}", f"{noun}s in [0, {limit})"
            )
    return all_pairs
