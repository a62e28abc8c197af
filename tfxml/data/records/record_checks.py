"""Compares the files of a prepared data set with their hashes."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import time
from collections.abc import Iterable
from concurrent import futures

from tfxml.data import atomic_files, checked_files
from tfxml.data.records import record_files

VERIFIED = ".verified.json"
# A file may be written twice in one tick of the clock that stamps it.
_SETTLED_NS = 2 * 10**9


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

    Files are read by as many threads as there are processors. `VERIFIED` notes
    them, if the folder can be written: a file that has not been written since
    is not read again, as its size, inode and time of change tell.
    """
    folder = pathlib.Path(folder)
    expected = {
        f"{shard['name']}.{suffix}": (
            record_files.shard_path(folder, shard["name"], suffix),
            digest,
        )
        for shard in shards
        for suffix, digest in shard["files"].items()
    }
    known = _verified(folder)
    stamps = {name: _stamp(*file) for name, file in expected.items()}
    changed = [
        name for name, stamp in stamps.items() if known.get(name) != stamp
    ]
    with futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        checks = [
            threads.submit(checked_files.check, *expected[name])
            for name in changed
        ]
        for check in checks:
            check.result()
    settled = time.time_ns() - _SETTLED_NS
    new = {name: stamps[name] for name in changed if stamps[name][2] < settled}
    if new:
        # A folder that is read-only is compared each time.
        with contextlib.suppress(OSError):
            atomic_files.write_json(folder / VERIFIED, {**known, **new})


def _verified(folder: pathlib.Path) -> dict[str, list]:
    """Returns the stamps of the files that were compared before."""
    try:
        known = json.loads((folder / VERIFIED).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


def _stamp(path: pathlib.Path, digest: dict) -> list:
    """Returns what tells a file from others, and what it must hold."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return [None, None, 0, ""]  # which the comparison names
    return [
        state.st_size,
        state.st_ino,
        state.st_mtime_ns,
        digest.get("sha256"),
    ]
