"""Handles rows that cannot be read: raises, or skips and counts them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfxml.data import data_errors, instances

# N rows of a run

POLICIES = ("error", "skip")


class BadRows:
    """Raises the first bad row's error, or counts the rows that are skipped.

    Bad rows are counted by kind: the text of what they needed. Damage that is
    not confined to one row always stops reading.
    """

    def __init__(self, policy: str = "error"):
        if policy not in POLICIES:
            raise ValueError(
                f"`bad_rows` must be one of {POLICIES}. "
                f"Received: bad_rows={policy!r}"
            )
        self.is_skipping = policy == "skip"
        self.counts: dict[str, int] = {}  # of each kind
        self.examples: dict[str, str] = {}  # the first of each kind

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def take(self, error: data_errors.RowError) -> None:
        """Counts a bad row; raises its error where none may be skipped."""
        if not self.is_skipping:
            raise error
        self.add(error.needed, 1, str(error))

    def add(self, kind: str, count: int, example: str) -> None:
        """Counts rows that another process or reader skipped."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        self.examples.setdefault(kind, example)

    def report(self) -> str:
        """Returns lines for a person; none where no row was skipped."""
        if not self.counts:
            return ""
        lines = [f"skipped   {self.total:,} bad rows"]
        lines += [
            f"  {self.counts[kind]:,} without {kind}; "
            f"the first: {self.examples[kind]}"
            for kind in sorted(self.counts)
        ]
        return "\n".join(lines) + "\n"


def keep_good(
    check: Callable[[int, int], instances.Run],
    is_bad: np.ndarray,
    bad: BadRows,
    join: Callable[[list[instances.Run]], instances.Run],
) -> instances.Run:
    """Returns the rows of a run that can be read.

    Args:
        check: returns rows first .. last - 1 of the run, or raises RowError.
        is_bad: rows that are known to be bad and already counted, [N] bool.
        bad: handles those that `check` refuses.
        join: joins several runs, or none, into one.
    """
    if not is_bad.any():
        try:
            return check(0, len(is_bad))
        except data_errors.RowError:
            if not bad.is_skipping:
                raise
    good_rows = []
    for row in np.flatnonzero(~is_bad).tolist():
        try:
            good_rows.append(check(row, row + 1))
        except data_errors.RowError as error:
            bad.take(error)
    return join(good_rows)
