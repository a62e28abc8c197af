"""Checks rows of ids and brings them into the order that Instances promise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfxml.data import data_errors, instances

# N rows, E entries

MAX_COLUMNS = 2**31 - 1  # ids are int32, and so is their number


class FirstIds(NamedTuple):
    """The lowest ids of a file, 0 or 1; those of Instances start at 0."""

    features: int
    labels: int


FROM_ZERO = FirstIds(0, 0)


def under_header(one_based: str) -> FirstIds:
    """Returns the first ids of files with a header; see ReadOptions."""
    return FirstIds(
        int(one_based in ("yes", "features")),
        int(one_based in ("yes", "labels")),
    )


@dataclasses.dataclass(frozen=True)
class Source:
    """Where a run of rows was read, so that an error can name the place."""

    path: str
    first_row: int
    lines_before_rows: int | None = None  # None where the file has no lines

    def error(self, row: int, found: str, needed: str) -> data_errors.RowError:
        """Returns the error of a row, which counts from the run's first."""
        line = self.line(row)
        row += self.first_row
        if line is None:
            found = f"{found} in row {row} (from 0)"
        return data_errors.RowError(self.path, found, needed, line, row)

    def line(self, row: int) -> int | None:
        """Returns the line of a row, which counts from the run's first."""
        if self.lines_before_rows is None:
            return None
        return self.first_row + row + self.lines_before_rows + 1

    def after(self, num_rows: int) -> Source:
        """Returns the source of a run that starts so many rows later."""
        return dataclasses.replace(self, first_row=self.first_row + num_rows)


@dataclasses.dataclass(frozen=True)
class LinesSource(Source):
    """Where rows were read that do not stand on one line each."""

    lines: Sequence[int] | np.ndarray = ()  # of each row, from 1

    def line(self, row: int) -> int:
        return int(self.lines[row])

    def after(self, num_rows: int) -> Source:
        return dataclasses.replace(
            self,
            first_row=self.first_row + num_rows,
            lines=self.lines[num_rows:],
        )


def label_rows(
    splits: np.ndarray,
    ids: np.ndarray,
    num_labels: int,
    source: Source,
    first_id: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns splits and ids of the same rows, each a set in ascending order.

    Args:
      splits: row splits, [N + 1] int64.
      ids: label ids of any integer dtype, [E].
      num_labels: how many ids there are.
      source: what a DataError names.
      first_id: the lowest id; it is 0 in what is returned.
    """
    ids = _in_range("label", splits, ids, num_labels, source, first_id)
    if _is_ascending(splits, ids):
        return splits, ids
    order, is_first, splits = _group(splits, ids)
    return splits, ids[order][is_first]


def feature_rows(
    splits: np.ndarray,
    ids: np.ndarray,
    values: np.ndarray,
    num_features: int,
    source: Source,
    first_id: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns splits, ids and values in ascending order of ids in each row.

    The values of a feature that a row names more than once are summed, in
    float64. Values must be finite as float32.

    Args:
      splits: row splits, [N + 1] int64.
      ids: feature ids of any integer dtype, [E].
      values: of any real dtype, [E].
      num_features: how many ids there are.
      source: what a DataError names.
      first_id: the lowest id; it is 0 in what is returned.
    """
    ids = _in_range("feature", splits, ids, num_features, source, first_id)
    with np.errstate(over="ignore", invalid="ignore"):
        if not _is_ascending(splits, ids):
            order, is_first, splits = _group(splits, ids)
            ids = ids[order][is_first]
            values = np.add.reduceat(
                values[order].astype(np.float64), np.flatnonzero(is_first)
            )
        floats = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(floats))
    if len(bad):
        raise source.error(
            _row_of(splits, bad[0]),
            f"value {values[bad[0]]} of feature {ids[bad[0]] + first_id}",
            "a finite value of float32",
        )
    return splits, ids, floats


def nonzero_label_rows(
    splits: np.ndarray,
    ids: np.ndarray,
    values: np.ndarray,
    num_labels: int,
    source: Source,
    first_id: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what label_rows does, of the entries whose value is not 0."""
    ids = _in_range("label", splits, ids, num_labels, source, first_id)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise source.error(
            _row_of(splits, bad[0]),
            f"value {values[bad[0]]} of label {ids[bad[0]] + first_id}",
            "a finite value",
        )
    is_present = values != 0
    splits = _splits_of_kept(splits, is_present)
    return label_rows(splits, ids[is_present], num_labels, source)


def _splits_of_kept(splits: np.ndarray, is_kept: np.ndarray) -> np.ndarray:
    """Returns the row splits after only the entries of a mask, [E], stay."""
    return instances.splits_from_lengths(is_kept)[splits]


def _in_range(noun, splits, ids, number, source, first_id) -> np.ndarray:
    """Returns the ids, from 0, int32; raises RowError for one outside."""
    end = first_id + number
    if len(ids) and (ids.min() < first_id or ids.max() >= end):
        bad = np.flatnonzero((ids < first_id) | (ids >= end))
        row = _row_of(splits, bad[0])
        found = f"{noun} id {ids[bad[0]]}"
        if not first_id and ids.min() > 0 and ids.max() == number:
            if source.line(row) is not None:
                found += f" (ids run from 1 to {number}: --one_based?)"
        raise source.error(row, found, f"{noun} ids in [{first_id}, {end})")
    return (ids - first_id).astype(np.int32)


def _row_of(splits: np.ndarray, entry: int) -> int:
    return int(np.searchsorted(splits, entry, side="right")) - 1


def _is_ascending(splits: np.ndarray, ids: np.ndarray) -> bool:
    rises = ids[1:] > ids[:-1]
    starts = splits[(splits > 0) & (splits < len(ids))]
    rises[starts - 1] = True  # a row may start lower than the last one ended
    return bool(rises.all())


def _group(
    splits: np.ndarray, ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns how to sort entries, which are first of their id, new splits."""
    row = np.repeat(np.arange(len(splits) - 1), np.diff(splits))
    order = np.lexsort((ids, row))
    sorted_ids = ids[order]
    is_first = np.ones(len(ids), bool)
    is_first[1:] = (sorted_ids[1:] != sorted_ids[:-1]) | (row[1:] != row[:-1])
    return order, is_first, _splits_of_kept(splits, is_first)
