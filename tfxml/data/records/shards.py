"""Makes one shard of a prepared split, and counts what is in it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable

import numpy as np

from tfxml.data import bad_rows, split_reader
from tfxml.data import instances as instances_lib
from tfxml.data.formats import folder as folder_lib
from tfxml.data.records import record_files, record_format
from tfxml.data.text import text_features as text_features_lib


@dataclasses.dataclass(frozen=True)
class Task:
    """A run of a split's rows that becomes one shard."""

    name: str
    split: str
    first: int
    last: int


@dataclasses.dataclass(frozen=True)
class Job:
    """What all shards of a data set have in common."""

    folder: folder_lib.Folder
    output: str
    is_normalized: bool
    policy: str  # about bad rows
    features: text_features_lib.TextFeatures | None = None


def make(job: Job, task: Task, progress: Callable[[int], None]) -> None:
    """Writes a shard; tells `progress` of rows as they are written."""
    bad = bad_rows.BadRows(job.policy)
    counts = _Counts(job.folder.num_labels)
    with record_files.ShardWriter(job.output, task.name) as writer:
        for run in split_reader.stream(
            job.folder,
            task.split,
            job.features,
            job.is_normalized,
            bad,
            range(task.first, task.last),
        ):
            counts.add(run, writer.write(run))
            progress(run.num_instances)
        _write_beside(job.output, task.name, counts)
        writer.finish(
            {
                **counts.facts(),
                "bad_rows": bad.counts,
                "bad_examples": bad.examples,
            }
        )


def read_label_counts(output: str | os.PathLike, name: str) -> np.ndarray:
    """Returns in how many of a shard's instances each label occurs, [L]."""
    path = record_files.shard_path(output, name, "labels")
    return np.load(path, allow_pickle=False)


def read_prints(output: str | os.PathLike, name: str) -> np.ndarray:
    """Returns a fingerprint of each of a shard's instances, uint64."""
    return np.fromfile(
        record_files.shard_path(output, name, "prints"), np.uint64
    )


def _write_beside(output: str, name: str, counts: _Counts) -> None:
    """Writes what is too long for JSON; it is gone once all is prepared."""
    prints = np.concatenate([np.zeros(0, np.uint64), *counts.prints])
    record_files.write_bytes(
        record_files.shard_path(output, name, "prints"), prints.tobytes()
    )
    record_files.write_array(
        record_files.shard_path(output, name, "labels"), counts.label_counts
    )


class _Counts:
    """Counts of the instances of a shard."""

    def __init__(self, num_labels: int):
        self.label_counts = np.zeros(num_labels, np.int64)
        self.prints = []
        self._by_labels = np.zeros(0, np.int64)
        self._by_features = np.zeros(0, np.int64)

    def add(
        self, run: instances_lib.Instances, encoded: record_format.Encoded
    ) -> None:
        np.add.at(self.label_counts, run.label_ids, 1)
        self._by_labels = _add_histogram(self._by_labels, run.label_splits)
        self._by_features = _add_histogram(
            self._by_features, run.feature_splits
        )
        self.prints.append(_prints(encoded))

    def facts(self) -> dict:
        """Returns counts as JSON takes them.

        Histograms are [[length, how many instances], ...].
        """
        return {
            "num_instances": int(self._by_labels.sum()),
            "labels_per_instance": _pairs(self._by_labels),
            "features_per_instance": _pairs(self._by_features),
        }


def _add_histogram(histogram: np.ndarray, row_splits: np.ndarray) -> np.ndarray:
    found = np.bincount(np.diff(row_splits), minlength=len(histogram))
    found[: len(histogram)] += histogram
    return found


def _pairs(histogram: np.ndarray) -> list[list[int]]:
    lengths = np.flatnonzero(histogram)
    return np.stack([lengths, histogram[lengths]], 1).tolist()


def _prints(encoded: record_format.Encoded) -> np.ndarray:
    """Returns 64 bits of a hash of all that each instance holds."""
    units, values = encoded.units.data, encoded.values.data
    unit_splits = encoded.unit_splits.tolist()
    value_splits = encoded.value_splits.tolist()
    found = bytearray()
    for row in range(len(unit_splits) - 1):
        digest = hashlib.blake2b(
            units[unit_splits[row] : unit_splits[row + 1]], digest_size=8
        )
        digest.update(values[value_splits[row] : value_splits[row + 1]])
        found += digest.digest()
    return np.frombuffer(found, np.uint64)
