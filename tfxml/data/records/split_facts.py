"""A split's facts in the manifest: the sums over its shards."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tfxml.data import bad_rows, data_errors
from tfxml.data.records import record_files, shards

_PASSES = 16  # each compares, and needs memory for, a sixteenth of the prints
_COUNTED = ("labels", "features", "tokens")  # of an instance


def of_shards(
    folder: str | os.PathLike, split: str, names: Sequence[str]
) -> dict:
    """Returns the facts of a split; writes its label counts.

    Args:
        folder: where the shards are.
        split: `train`, `dev` or `test`.
        names: the shards of the split, in their order.

    Raises:
        DataError: if a shard is not as it was written.
    """
    shard_facts = [_facts_of(folder, name) for name in names]
    label_counts = np.sum(
        [shards.read_label_counts(folder, name) for name in names], axis=0
    )
    path = pathlib.Path(folder) / f"{split}.label_counts.npy"
    record_files.write_array(path, label_counts)
    bad = bad_rows.BadRows("skip")
    for facts in shard_facts:
        for kind, count in facts["bad_rows"].items():
            bad.add(kind, count, facts["bad_examples"][kind])
    return {
        "num_instances": sum(facts["num_instances"] for facts in shard_facts),
        **_lengths(shard_facts),
        "num_duplicates": _count_duplicates(folder, names),
        "bad_rows": bad.counts,
        "bad_examples": bad.examples,
        "shards": [
            {
                "name": name,
                "num_instances": facts["num_instances"],
                "files": facts["files"],
            }
            for name, facts in zip(names, shard_facts, strict=True)
        ],
    }


def _facts_of(folder: str | os.PathLike, name: str) -> dict:
    facts = record_files.read_finished(folder, name)
    if facts is None:
        raise data_errors.DataError(
            record_files.shard_path(folder, name, "json"),
            "a shard that is not as it was written",
            "the files of the shard; the same command makes it again",
        )
    return facts


def _lengths(shard_facts: Sequence[dict]) -> dict:
    """Returns how many entries instances have, and the most of one."""
    lengths: dict[str, Any] = {}
    for name in _COUNTED:
        key = f"{name}_per_instance"
        if not all(key in facts for facts in shard_facts):
            continue  # prepared without
        histogram = _sum_histograms(facts[key] for facts in shard_facts)
        lengths[key] = histogram
        lengths[f"most_{name}"] = max(
            (length for length, _ in histogram), default=0
        )
    return lengths


def _sum_histograms(histograms: Iterable[list]) -> list[list[int]]:
    """Returns the sum of histograms [[length, number], ...]."""
    total: dict[int, int] = {}
    for histogram in histograms:
        for length, count in histogram:
            total[length] = total.get(length, 0) + count
    return [[length, total[length]] for length in sorted(total)]


def _count_duplicates(folder: str | os.PathLike, names: Sequence[str]) -> int:
    """Returns how many instances are the same as one before them."""
    duplicates = 0
    for residue in range(_PASSES):
        shard_prints = []
        for name in names:
            prints = shards.read_prints(folder, name)
            shard_prints.append(prints[prints % _PASSES == residue])
        prints = np.concatenate(shard_prints)
        duplicates += len(prints) - len(np.unique(prints))
    return duplicates
