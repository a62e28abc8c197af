"""Finds a data set by name: on disk, or downloaded from a mirror."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator

from tfxml.data import atomic_files, data_errors
from tfxml.data.catalogue import archives, http_fetch, known_sets
from tfxml.data.formats import data_folder
from tfxml.data.formats import folder as folder_lib
from tfxml.data.records import record_files

_NOTES = "download.json"
_ARCHIVE = "archive"
_UNPACKING = "unpacking.partial"


def entry_of(name: str) -> known_sets.Entry:
    """Returns the catalogue's entry of a data set."""
    entries = known_sets.entries()
    if name not in entries:
        raise ValueError(
            f"`dataset` must be one of {known_sets.names()}. "
            f"Received: dataset={name!r}"
        )
    return entries[name]


def ensure(
    entry: known_sets.Entry,
    data_dir: str | os.PathLike,
    mirror: str = "",
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> data_folder.Folder:
    """Returns the data set in a folder; downloads it if it is not there.

    Files downloaded by hand are used too, unpacked or as a mirror's archive.

    Args:
        entry: the data set.
        data_dir: where it is, or is written.
        mirror: the only one to ask; empty: all, one after the other.
        progress: called with the bytes received and the total, if known.

    Raises:
        http_fetch.DownloadError: if no mirror delivers it.
        DataError: if the files cannot be read.
    """
    root = pathlib.Path(data_dir).resolve()
    root.mkdir(parents=True, exist_ok=True)
    data = _find(root)
    if data and not (root / _ARCHIVE).exists():
        return data
    with _lock(root):
        atomic_files.remove_leftovers(root)
        data = _find(root)  # another process may have downloaded it
        if not data:
            archive = _archive_in(root)
            if archive:
                _unpack(archive, root)
            else:
                _fetch(entry, root, _mirrors(entry, mirror), progress)
            data = _find(root)
        (root / _ARCHIVE).unlink(missing_ok=True)  # left by a killed process
    if not data:
        raise data_errors.DataError(
            root,
            "no data set among the files",
            "the files of a format, or an archive with them",
        )
    return data


def differences(
    entry: known_sets.Entry, found: data_folder.Folder
) -> list[str]:
    """Returns where a data set differs from the repository's table."""
    pairs = [
        ("features", found.num_features, entry.num_features),
        ("labels", found.num_labels, entry.num_labels),
        ("train", found.split_sizes.get("train"), entry.num_train),
        ("test", found.split_sizes.get("test"), entry.num_test),
    ]
    return [
        f"{what} {here:,}, not {there:,}"
        for what, here, there in pairs
        if here is not None and here != there
    ]


def _fetch(entry, root: pathlib.Path, mirrors, progress) -> None:
    failures = []
    for mirror in mirrors:
        try:
            archive = root / _ARCHIVE
            expected_sha256 = mirror.sha256 or _recorded_sha256(
                root, mirror.url
            )
            sha256 = http_fetch.fetch(
                mirror.url, archive, expected_sha256, progress=progress
            )
            _record_download(root, mirror, sha256)
            _unpack(archive, root)
            return
        except (http_fetch.DownloadError, data_errors.DataError) as error:
            failures.append(f"  {mirror.name}: {error}")
    raise http_fetch.DownloadError(
        f"no mirror delivers {entry.name}:\n"
        + "\n".join(failures)
        + f"\nDownload one of them by hand into {root} and pass that as "
        "--data_dir"
    )


def _mirrors(entry, name: str) -> list[known_sets.Mirror]:
    mirrors = [mirror for mirror in entry.mirrors if name in ("", mirror.name)]
    if not mirrors:
        names = [mirror.name for mirror in entry.mirrors]
        raise ValueError(
            f"`mirror` must be one of {names}. Received: mirror={name!r}"
        )
    return mirrors


def _unpack(archive: pathlib.Path, root: pathlib.Path) -> None:
    """Unpacks next to the archive; the folder appears when it is complete."""
    unfinished = root / _UNPACKING
    shutil.rmtree(unfinished, ignore_errors=True)
    archives.unpack(archive, unfinished)
    os.replace(unfinished, root / "files")


def _archive_in(root: pathlib.Path) -> pathlib.Path | None:
    """Returns the archive in a folder, or None.

    Raises:
        DataError: if there are several.
    """
    suffixes = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
    archives_found = [
        path for path in sorted(root.iterdir()) if path.name.endswith(suffixes)
    ]
    if len(archives_found) > 1:
        raise data_errors.DataError(
            root,
            " and ".join(path.name for path in archives_found),
            "one archive",
        )
    return archives_found[0] if archives_found else None


def _find(root: pathlib.Path) -> data_folder.Folder | None:
    """Returns the data set in a folder or below it, or None."""
    for path, _, files in sorted(os.walk(root)):
        relative_parts = pathlib.Path(path).relative_to(root).parts
        if relative_parts[:1] == (_UNPACKING,) or not files:
            continue
        try:
            return folder_lib.detect(path)
        except data_errors.NoFormatError:
            continue
    return None


def _record_download(
    root: pathlib.Path, mirror: known_sets.Mirror, sha256: str
) -> None:
    notes = {"mirror": mirror.name, "url": mirror.url, "sha256": sha256}
    record_files.write_json(root / _NOTES, {**notes, "holds": mirror.holds})


def _recorded_sha256(root: pathlib.Path, url: str) -> str:
    """Returns the SHA-256 of an earlier download from a mirror, or ''."""
    try:
        notes = json.loads((root / _NOTES).read_text())
        return notes["sha256"] if notes["url"] == url else ""
    except (FileNotFoundError, ValueError, KeyError):
        return ""


@contextlib.contextmanager
def _lock(root: pathlib.Path) -> Iterator[None]:
    """Lets one process at a time write to the folder; others wait."""
    with open(root / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
