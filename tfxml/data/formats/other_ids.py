"""Gives labels the ids that they have elsewhere, by their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from tfxml.data import instances
from tfxml.data.formats import row_checks

# L labels of the data


def find(names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Returns the place of each name among those wanted, -1: none, [L]."""
    places: dict[str, int] = {}
    for place, name in enumerate(wanted):
        places.setdefault(name, place)
    return np.array([places.get(name, -1) for name in names], np.int32)


def replace(run: instances.Run, label_map: np.ndarray) -> instances.Run:
    """Returns a run with other label ids, without those that have none."""
    ids = label_map[run.label_ids]
    is_kept = ids >= 0
    splits, ids = row_checks.label_rows(
        instances.splits_from_lengths(is_kept)[run.label_splits],
        ids[is_kept],
        row_checks.MAX_COLUMNS,
        row_checks.Source("", 0),
    )
    return dataclasses.replace(run, label_splits=splits, label_ids=ids)
