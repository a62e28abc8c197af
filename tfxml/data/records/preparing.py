"""Turns any reader's data into shards of records with a manifest.

A shard is a fixed run of the source's rows. It does not depend on the number of
processes or on earlier attempts, so a killed preparation resumes with
byte-identical output.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np

from tfxml.data import atomic_files, bad_rows, split_reader
from tfxml.data.formats import data_folder
from tfxml.data.records import (
    record_checks,
    record_files,
    record_format,
    shard_workers,
    shards,
    split_facts,
)
from tfxml.data.text import text_features

_FEATURES = "text_features"
_NAMES = "lbl.json"  # of labels that are named in the data alone
# More shards: less is lost at a kill, but each batch reads more files.
_MAX_SHARDS, _MIN_SHARD_ROWS = 16, 8192


def prepare(
    source: data_folder.Folder,
    output: str,
    settings: dict,
    policy: str = "error",
    num_shards: int = 0,
    num_workers: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    *,
    reading: dict | None = None,
    with_tokens: bool = False,
    max_tokens: int | None = None,
) -> dict:
    """Prepares a data set, or resumes it; returns the manifest.

    Args:
        source: what `folder.detect` returns.
        output: the folder that is written.
        settings: what `fit_text_features` takes, for text; else
            {"normalize_rows": bool}.
        policy: about bad rows; see bad_rows.
        num_shards: into how many each split is cut; 0: as it is large.
        num_workers: processes.
        progress: is told what is done, and how many rows of how many.
        reading: the options that the source was detected with, but for those
            at their defaults; see `read_options.given`.
        with_tokens: whether the tokens of text are written too.
        max_tokens: the most tokens of an instance; see `TextFeatures.tokens`.

    Raises:
        DataError: for bad input.
        ValueError: if `output` holds another preparation, tokens are asked
            for where there is no text, or instances have weights.
    """
    if source.has_weights:
        raise ValueError(
            "`weight_column` must be empty: prepared records hold no weights. "
            f"Received: {source.path}, whose instances have weights; train on "
            "it without preparing it"
        )
    is_text = source.num_features is None
    if with_tokens and not is_text:
        raise ValueError(
            "`with_tokens` must be False for data without text. Received: "
            f"with_tokens=True, of {source.path}, a folder of {source.format}"
        )
    folder = pathlib.Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    plan = _plan(source, settings, policy, num_shards)
    if reading:
        plan["reading"] = reading
    if with_tokens:
        plan |= {
            "version": record_files.TOKENS_VERSION,
            "tokens": {"max_tokens": max_tokens},
        }
    manifest = _resume(folder, plan)
    if manifest:
        record_files.remove_leftovers(folder, is_complete=True)
        return manifest
    record_files.remove_leftovers(folder, is_complete=False)
    _copy_beside(source, folder)
    if is_text and not (folder / _FEATURES).is_dir():
        progress("fitting the text features", 0, 0)
        _fit(source, folder, settings, policy)
    _make_shards(source, folder, plan, num_workers, progress)
    manifest = _manifest(source, folder, plan)
    manifest["files"] = record_checks.digests_beside(folder)
    record_files.write_manifest(folder, manifest)
    record_files.remove_leftovers(folder, is_complete=True)
    # As a call that finds it done: with its keys in the file's order.
    return record_files.read_manifest(folder)


def load_text_features(
    folder: str | os.PathLike,
) -> text_features.TextFeatures | None:
    """Returns the text features of a prepared folder, or None."""
    path = pathlib.Path(folder) / _FEATURES
    return text_features.load(path) if path.is_dir() else None


def _plan(source, settings: dict, policy: str, num_shards: int) -> dict:
    """Returns everything that determines the output."""
    paths = sorted({p for ps in source.split_paths.values() for p in ps})
    ranges = {}
    for split in source.splits:
        num_rows = source.count_rows(split)
        num_split_shards = num_shards or min(
            _MAX_SHARDS, -(-num_rows // _MIN_SHARD_ROWS)
        )
        edges = np.linspace(
            0, num_rows, max(min(num_split_shards, num_rows), 1) + 1
        )
        ranges[split] = edges.astype(int).tolist()
    return {
        "version": record_files.VERSION,
        "settings": settings,
        "bad_rows": policy,
        "num_labels": source.num_labels,
        "row_ranges": ranges,
        "sources": {
            os.path.relpath(path, _folder_of(source.path)): {
                "bytes": os.path.getsize(path),
                "sha256": record_files.sha256(path),
            }
            for path in paths
        },
    }


def _resume(folder: pathlib.Path, plan: dict) -> dict | None:
    """Returns the manifest if all is done; checks that the plan is the same."""
    path = folder / record_files.PLAN
    manifest = None
    if (folder / record_files.MANIFEST).is_file():
        manifest = record_files.read_manifest(folder)
        before = manifest
    elif path.is_file():
        before = record_files.as_now(json.loads(path.read_text()))
    elif any(folder.glob("[!.]*")):
        raise ValueError(
            "`output` must be an empty folder, or one that the same command "
            f"has begun. Received: output={folder}, with "
            f"{sorted(p.name for p in folder.iterdir())[:5]}"
        )
    else:
        record_files.write_json(path, plan)
        return None
    different = [
        key
        for key in {**plan, "tokens": None, "reading": None}
        if before.get(key) != plan.get(key)
    ]
    if different:
        raise ValueError(
            "`output` must hold the same preparation, or nothing. Received: "
            f"output={folder}, whose {' and '.join(different)} are others: "
            f"{_changes(before, plan, different)}"
        )
    return manifest


def _changes(old_plan: dict, plan: dict, keys: list[str]) -> str:
    return "; ".join(
        f"{key} {json.dumps(old_plan.get(key))[:200]} there, "
        f"{json.dumps(plan.get(key))[:200]} now"
        for key in keys
    )


def _folder_of(path: str) -> str:
    return os.path.dirname(path) if os.path.isfile(path) else path


def _copy_beside(source: data_folder.Folder, folder: pathlib.Path) -> None:
    """Copies label names, also those in the data, and pairs not scored."""
    if source.names is not None:
        lines = [json.dumps({"title": name}) + "\n" for name in source.names]
        atomic_files.write_bytes(
            folder / _NAMES, "".join(lines).encode("utf-8")
        )
    for path in source.files_beside():
        content = pathlib.Path(path).read_bytes()
        atomic_files.write_bytes(folder / os.path.basename(path), content)


def _fit(source, folder: pathlib.Path, settings: dict, policy: str) -> None:
    """Writes the text features, all at once."""
    features = split_reader.fit_text_features(
        source, bad_rows.BadRows(policy), **settings
    )
    unfinished = folder / f"{_FEATURES}.{os.getpid()}.writing"
    for leftover in folder.glob(f"{_FEATURES}.*.writing"):
        shutil.rmtree(leftover)
    features.save(unfinished)
    os.replace(unfinished, folder / _FEATURES)


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
    """Makes the shards that are missing or damaged."""
    tasks = _tasks(plan)
    total = sum(task.last - task.first for task in tasks)
    unfinished = [
        task
        for task in tasks
        if record_files.read_finished(folder, task.name) is None
    ]
    num_done = total - sum(task.last - task.first for task in unfinished)
    progress("preparing", num_done, total)

    def add(rows: int) -> None:
        nonlocal num_done
        num_done += rows
        progress("preparing", num_done, total)

    is_text = source.num_features is None
    job = shards.Job(
        source,
        str(folder),
        bool(plan["settings"].get("normalize_rows")),
        plan["bad_rows"],
        "tokens" in plan,
        plan.get("tokens", {}).get("max_tokens"),
    )
    features_folder = str(folder / _FEATURES) if is_text else None
    shard_workers.make_all(job, features_folder, unfinished, num_workers, add)


def _manifest(
    source: data_folder.Folder, folder: pathlib.Path, plan: dict
) -> dict:
    """Returns the manifest; writes the splits' label counts."""
    splits = {}
    for split in source.splits:
        names = [task.name for task in _tasks(plan) if task.split == split]
        splits[split] = split_facts.of_shards(folder, split, names)
    features = load_text_features(folder)
    num_features = source.num_features
    if features is not None:
        num_features = features.num_features
    if num_features is None:
        raise ValueError(f"`folder` must hold {_FEATURES}. Received: {folder}")
    manifest = {
        **plan,
        "is_text": features is not None,
        "num_features": num_features,
        "splits": splits,
    }
    if "tokens" in plan and features is not None:
        largest = features.num_tokens - 1
        manifest["token_dtype"] = record_format.token_dtype(largest).name
        if largest != num_features:  # pieces of words
            manifest["largest_token"] = largest
    return manifest
