"""Compares the files of a prepared data set with their hashes."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from concurrent import futures

from tfxml.data import checked_files
from tfxml.data.records import record_files


def digests_beside(folder: str | os.PathLike) -> dict[str, dict]:
    """Returns the checksums of what lies beside the shards, by name."""
    folder = pathlib.Path(folder)
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("[!.]*")
        if path.is_file()
    )
    return {
        name: checked_files.digest(folder / name)
        for name in names
        if name not in (record_files.MANIFEST, record_files.PLAN)
        and "-of-" not in name
    }


def check_beside(folder: str | os.PathLike, manifest: dict) -> None:
    """Raises DataError unless what lies beside the shards is as written."""
    for name, expected in manifest.get("files", {}).items():
        checked_files.check(pathlib.Path(folder) / name, expected)


def check_shards(folder: str | os.PathLike, shards: Iterable[dict]) -> None:
    """Raises DataError unless the files of shards are those written.

    All are read, by as many threads as there are processors.
    """
    files = [
        (record_files.shard_path(folder, shard["name"], suffix), expected)
        for shard in shards
        for suffix, expected in shard["files"].items()
    ]
    with futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        checks = [threads.submit(checked_files.check, *file) for file in files]
        for check in checks:
            check.result()
