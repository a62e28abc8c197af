"""Turns any reader's data into shards of records with a manifest.

A shard is a run of the source's rows, whatever was made before and by how many
processes, so that a preparation that was killed goes on to the same bytes.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from tfxml.data import bad_rows, data_errors, split_reader
from tfxml.data.formats import folder as folder_lib
from tfxml.data.records import record_files, shard_workers, shards
from tfxml.data.text import text_features

_FEATURES = "text_features"
# What a kill can cost, against files that every batch has to look into.
_MOST_SHARDS, _FEWEST_ROWS = 16, 8192
_PASSES = 16  # in which fingerprints are compared: memory is a sixteenth


def prepare(
    source: folder_lib.Folder,
    output: str,
    settings: dict,
    policy: str = "error",
    num_shards: int = 0,
    num_workers: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict:
    """Prepares a data set, or goes on with it; returns the manifest.

    Args:
        source: what `folder.detect` returns.
        output: the folder that is written.
        settings: what `fit_text_features` takes, for text; else
            {"normalize_rows": bool}.
        policy: about bad rows; see bad_rows.
        num_shards: into how many each split is cut; 0: as it is large.
        num_workers: processes.
        progress: is told what is done, and how many rows of how many.

    Raises:
        DataError: for bad input.
        ValueError: if `output` holds another preparation.
    """
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(source, settings, policy, num_shards)
    manifest = _go_on(folder, plan)
    if manifest:
        record_files.remove_leftovers(folder, is_complete=True)
        return manifest
    record_files.remove_leftovers(folder, is_complete=False)
    _copy_beside(source, folder)
    is_text = source.num_features is None
    if is_text and not (folder / _FEATURES).is_dir():
        progress("fitting the text features", 0, 0)
        _fit(source, folder, settings, policy)
    _make_shards(source, folder, plan, num_workers, progress)
    manifest = _manifest(source, folder, plan)
    record_files.write_json(folder / record_files.MANIFEST, manifest)
    record_files.remove_leftovers(folder, is_complete=True)
    return manifest


def load_text_features(
    folder: str | os.PathLike,
) -> text_features.TextFeatures | None:
    """Returns what a prepared folder's rows were made with, for text."""
    path = pathlib.Path(folder) / _FEATURES
    return text_features.load(path) if path.is_dir() else None


def _plan(source, settings: dict, policy: str, num_shards: int) -> dict:
    """Returns all that the output follows from."""
    paths = sorted({p for ps in source.split_paths.values() for p in ps})
    ranges = {}
    for split in source.splits:
        number = source.count_rows(split)
        wanted = num_shards or min(_MOST_SHARDS, -(-number // _FEWEST_ROWS))
        edges = np.linspace(0, number, max(min(wanted, number), 1) + 1)
        ranges[split] = edges.astype(int).tolist()
    return {
        "version": record_files.VERSION,
        "settings": settings,
        "bad_rows": policy,
        "num_labels": source.num_labels,
        "row_ranges": ranges,
        "sources": {
            os.path.relpath(path, source.path): {
                "bytes": os.path.getsize(path),
                "sha256": record_files.sha256(path),
            }
            for path in paths
        },
    }


def _go_on(folder: pathlib.Path, plan: dict) -> dict | None:
    """Returns the manifest if all is done; checks that the plan is the same."""
    path = folder / record_files.PLAN
    manifest = None
    if (folder / record_files.MANIFEST).is_file():
        manifest = record_files.read_manifest(folder)
        found = {key: manifest[key] for key in plan}
    elif path.is_file():
        found = record_files.as_now(json.loads(path.read_text()))
    elif any(folder.glob("[!.]*")):
        raise ValueError(
            "`output` must be an empty folder, or one that the same command "
            f"has begun. Received: output={folder}, with "
            f"{sorted(p.name for p in folder.iterdir())[:5]}"
        )
    else:
        record_files.write_json(path, plan)
        return None
    different = [key for key in plan if found.get(key) != plan[key]]
    if different:
        raise ValueError(
            "`output` must hold the same preparation, or nothing. Received: "
            f"output={folder}, whose {' and '.join(different)} are others: "
            f"{_changes(found, plan, different)}"
        )
    return manifest


def _changes(found: dict, plan: dict, keys: list[str]) -> str:
    return "; ".join(
        f"{key} {json.dumps(found.get(key))[:200]} there, "
        f"{json.dumps(plan[key])[:200]} now"
        for key in keys
    )


def _copy_beside(source: folder_lib.Folder, folder: pathlib.Path) -> None:
    """Copies label names and pairs that are not scored."""
    for path in source.files_beside():
        content = pathlib.Path(path).read_bytes()
        record_files.write_bytes(folder / os.path.basename(path), content)


def _fit(source, folder: pathlib.Path, settings: dict, policy: str) -> None:
    """Writes the text features, all at once."""
    features = split_reader.fit_text_features(
        source, bad_rows.BadRows(policy), **settings
    )
    partial = folder / f"{_FEATURES}.{os.getpid()}.writing"
    for old in folder.glob(f"{_FEATURES}.*.writing"):
        shutil.rmtree(old)
    features.save(partial)
    os.replace(partial, folder / _FEATURES)


def _tasks(plan: dict) -> list[shards.Task]:
    return [
        shards.Task(
            record_files.shard_name(split, number, len(edges) - 1),
            split,
            edges[number],
            edges[number + 1],
        )
        for split, edges in plan["row_ranges"].items()
        for number in range(len(edges) - 1)
    ]


def _make_shards(source, folder, plan, num_workers, progress) -> None:
    """Makes the shards that are not there, whole and as they were written."""
    tasks = _tasks(plan)
    total = sum(task.last - task.first for task in tasks)
    left = [
        task
        for task in tasks
        if record_files.read_finished(folder, task.name) is None
    ]
    done = total - sum(task.last - task.first for task in left)
    progress("preparing", done, total)

    def add(rows: int) -> None:
        nonlocal done
        done += rows
        progress("preparing", done, total)

    is_text = source.num_features is None
    job = shards.Job(
        source,
        str(folder),
        bool(plan["settings"].get("normalize_rows")),
        plan["bad_rows"],
    )
    features_folder = str(folder / _FEATURES) if is_text else None
    shard_workers.make_all(job, features_folder, left, num_workers, add)


def _manifest(source, folder: pathlib.Path, plan: dict) -> dict:
    """Returns the manifest; writes the splits' label counts."""
    found = {}
    for split in source.splits:
        tasks = [task for task in _tasks(plan) if task.split == split]
        found[split] = _split_facts(folder, split, tasks)
    features = load_text_features(folder)
    return {
        **plan,
        "is_text": features is not None,
        "num_features": (
            source.num_features if features is None else features.num_features
        ),
        "splits": found,
    }


def _split_facts(folder: pathlib.Path, split: str, tasks) -> dict:
    facts = [record_files.read_finished(folder, task.name) for task in tasks]
    if None in facts:
        task = tasks[facts.index(None)]
        raise data_errors.DataError(
            record_files.shard_path(folder, task.name, "json"),
            "a shard that is not as it was written",
            "the files of the shard; the same command makes it again",
        )
    names = [task.name for task in tasks]
    label_counts = sum(shards.read_label_counts(folder, n) for n in names)
    path = folder / f"{split}.label_counts.npy"
    record_files.write_array(path, label_counts)
    bad = bad_rows.BadRows("skip")
    for one in facts:
        for kind, number in one["bad_rows"].items():
            bad.add(kind, number, one["bad_examples"][kind])
    by_labels = _sum_pairs(one["labels_per_instance"] for one in facts)
    by_features = _sum_pairs(one["features_per_instance"] for one in facts)
    return {
        "num_instances": sum(one["num_instances"] for one in facts),
        "labels_per_instance": by_labels,
        "features_per_instance": by_features,
        "most_labels": max((n for n, _ in by_labels), default=0),
        "most_features": max((n for n, _ in by_features), default=0),
        "num_duplicates": _count_duplicates(folder, names),
        "bad_rows": bad.counts,
        "bad_examples": bad.examples,
        "shards": [
            {
                "name": name,
                "num_instances": one["num_instances"],
                "files": one["files"],
            }
            for name, one in zip(names, facts, strict=True)
        ],
    }


def _sum_pairs(histograms) -> list[list[int]]:
    """Returns the sum of histograms [[length, number], ...]."""
    total = {}
    for histogram in histograms:
        for length, number in histogram:
            total[length] = total.get(length, 0) + number
    return [[length, total[length]] for length in sorted(total)]


def _count_duplicates(folder, names: list[str]) -> int:
    """Returns how many instances are the same as one before them."""
    duplicates = 0
    for number in range(_PASSES):
        found = []
        for name in names:
            prints = shards.read_prints(folder, name)
            found.append(prints[prints % _PASSES == number])
        prints = np.concatenate(found)
        duplicates += len(prints) - len(np.unique(prints))
    return duplicates
