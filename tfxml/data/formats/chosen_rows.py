"""Reads some of the rows of a file, of whatever format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, instances

# N rows of the file, n chosen


def read(
    read_file: Callable[[bad_rows.BadRows], Iterator[instances.Run]],
    chosen: np.ndarray,
    bad: bad_rows.BadRows,
) -> Iterator[instances.Run]:
    """Yields the instances at the rows `chosen`, ascending, of a file.

    The file is read to its end, so that one that is cut is told. Its other
    rows may be bad.

    Args:
        read_file: yields all instances of the file; takes what is to be done
            about bad rows.
        chosen: the rows, from 0, [n].
        bad: what to do about those of them that are bad.
    """
    of_chosen = _OfChosen(bad, chosen)
    row = 0  # of the file: the next one that is not accounted for
    for run in read_file(of_chosen):
        rows, row = of_chosen.good_rows(row, run.num_instances)
        here = np.flatnonzero(_are_in(rows, chosen))
        if len(here):
            yield instances.select(run, here)


def hold_out(
    path: str, num_rows: int, share: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows without a random share of them, and that share."""
    number = max(1, round(num_rows * share))
    if number >= num_rows:
        raise data_errors.DataError(
            path,
            f"{num_rows} rows, of which test_fraction={share} takes {number}",
            "rows left to train on",
        )
    order = np.random.default_rng(seed).permutation(num_rows)
    return np.sort(order[number:]), np.sort(order[:number])


class _OfChosen(bad_rows.BadRows):
    """Passes on the bad rows that are chosen, and remembers all of them."""

    def __init__(self, bad: bad_rows.BadRows, chosen: np.ndarray):
        super().__init__("skip")  # reading resumes after rows not chosen
        self._bad = bad
        self._chosen = chosen
        self._bad_rows: list[int] = []

    def take(self, error: data_errors.RowError) -> None:
        if error.row is None:  # nothing says whether it is chosen
            raise error
        self._bad_rows.append(error.row)
        if _are_in(np.array([error.row]), self._chosen)[0]:
            self._bad.take(error)

    def good_rows(self, first: int, number: int) -> tuple[np.ndarray, int]:
        """Returns the next rows that are not bad, and the row after them.

        A reader tells of a bad row before it yields the rows that follow it.
        """
        bad = np.array(sorted(self._bad_rows), np.int64)
        rows: np.ndarray = np.arange(first, first + number + len(bad))
        rows = rows[~np.isin(rows, bad)][:number]
        end = int(rows[-1]) + 1 if number else first
        self._bad_rows = bad[bad >= end].tolist()
        return rows, end


def _are_in(rows: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns which rows are among the chosen, both ascending, [n] bool."""
    places = np.searchsorted(chosen, rows)
    places = np.minimum(places, max(len(chosen) - 1, 0))
    return chosen[places] == rows if len(chosen) else np.zeros(len(rows), bool)
