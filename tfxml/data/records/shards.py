"""Makes one shard of a prepared split, and counts its contents."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tfxml.data import atomic_files, bad_rows, split_reader
from tfxml.data import instances as instances_lib
from tfxml.data.formats import data_folder
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
    """The settings that all shards of a data set share."""

    folder: data_folder.Folder
    output: str
    is_normalized: bool
    policy: str  # about bad rows
    with_tokens: bool = False
    max_tokens: int | None = None
    features: text_features_lib.TextFeatures | None = None


def make(job: Job, task: Task, progress: Callable[[int], None]) -> None:
    """Writes a shard; calls `progress` with the rows written."""
    bad = bad_rows.BadRows(job.policy)
    counts = _Counts(job.folder.num_labels, job.with_tokens)
    tokens_as = None
    if job.with_tokens:
        if job.features is None:
            raise ValueError("`job` must have text features to write tokens")
        tokens_as = record_format.token_dtype(job.features.num_tokens - 1)
    with record_files.ShardWriter(job.output, task.name, tokens_as) as writer:
        for run in split_reader.stream(
            job.folder,
            task.split,
            job.features,
            job.is_normalized,
            bad,
            range(task.first, task.last),
            with_tokens=job.with_tokens,
            max_tokens=job.max_tokens,
        ):
            counts.add(run, writer.write(run))
            progress(run.num_instances)
        _write_companion_files(job.output, task.name, counts)
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


def _write_companion_files(output: str, name: str, counts: _Counts) -> None:
    """Writes counts too long for JSON; removed once all shards are done."""
    prints = np.concatenate([np.zeros(0, np.uint64), *counts.prints])
    atomic_files.write_bytes(
        record_files.shard_path(output, name, "prints"), prints.tobytes()
    )
    record_files.write_array(
        record_files.shard_path(output, name, "labels"), counts.label_counts
    )


class _Counts:
    """Counts of the instances of a shard."""

    def __init__(self, num_labels: int, with_tokens: bool):
        self.label_counts = np.zeros(num_labels, np.int64)
        self.prints: list[np.ndarray] = []
        names = ["labels", "features"] + ["tokens"] * with_tokens
        self._histograms = {name: np.zeros(0, np.int64) for name in names}

    def add(
        self, run: instances_lib.Instances, encoded: record_format.Encoded
    ) -> None:
        """Counts instances, given also in encoded form."""
        np.add.at(self.label_counts, run.label_ids, 1)
        row_splits = {
            "labels": run.label_splits,
            "features": run.feature_splits,
        }
        if "tokens" in self._histograms:
            row_splits["tokens"], _ = run.tokens()
        for name, histogram in self._histograms.items():
            self._histograms[name] = _add_histogram(histogram, row_splits[name])
        self.prints.append(_prints(encoded))

    def facts(self) -> dict:
        """Returns counts for JSON.

        Histograms are [[length, how many instances], ...].
        """
        facts: dict[str, Any] = {
            "num_instances": int(self._histograms["labels"].sum())
        }
        for name, histogram in self._histograms.items():
            facts[f"{name}_per_instance"] = _pairs(histogram)
        return facts


def _add_histogram(histogram: np.ndarray, row_splits: np.ndarray) -> np.ndarray:
    total = np.bincount(np.diff(row_splits), minlength=len(histogram))
    total[: len(histogram)] += histogram
    return total


def _pairs(histogram: np.ndarray) -> list[list[int]]:
    lengths = np.flatnonzero(histogram)
    return np.stack([lengths, histogram[lengths]], 1).tolist()


def _prints(encoded: record_format.Encoded) -> np.ndarray:
    """Returns a 64-bit hash of each instance."""
    columns = [
        (encoded.unit_splits.tolist(), encoded.units.data),
        (encoded.value_splits.tolist(), encoded.values.data),
    ]
    if encoded.tokens is not None and encoded.token_splits is not None:
        columns.append((encoded.token_splits.tolist(), encoded.tokens.data))
    prints = bytearray()
    for row in range(len(encoded.unit_splits) - 1):
        digest = hashlib.blake2b(digest_size=8)
        for splits, entries in columns:
            digest.update(entries[splits[row] : splits[row + 1]])
        prints += digest.digest()
    return np.frombuffer(prints, np.uint64)
