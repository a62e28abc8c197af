"""Unpacks downloaded archives, which are not trusted."""

from __future__ import annotations

import lzma
import os
import pathlib
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from tfxml.data import data_errors

# Far above the repository's largest sets: 3 million rows in a few files.
MAX_MEMBERS = 10_000
MAX_BYTES = 1 << 38
# Digits compress about 10 times, zeros a thousand times.
MAX_RATIO = 200
_SMALL = 1 << 24  # bytes that are harmless whatever the ratio

_CHUNK_BYTES = 1 << 20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    LookupError,
    ValueError,
    MemoryError,
    RuntimeError,
    OSError,
)


def unpack(path: str | os.PathLike, folder: str | os.PathLike) -> list[str]:
    """Writes the files of a zip or tar archive into a new folder.

    Names must stay below the folder, members must be plain files, and sizes are
    counted from the bytes that come out, whatever the archive's index says.

    Returns:
        The files' names.

    Raises:
        DataError: if it is not an archive, is damaged, or would write elsewhere
            or too much. The folder is then removed.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    budget = min(MAX_BYTES, max(_SMALL, MAX_RATIO * os.path.getsize(path)))
    written: list[str] = []
    try:
        for name, size, member in _members(path):
            target = _target(path, folder, name)
            if size > budget or len(written) == MAX_MEMBERS:
                raise _bomb(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            budget -= _copy(path, member, target, budget)
            written.append(name)
    except data_errors.DataError:
        shutil.rmtree(folder)
        raise
    except _DAMAGE as error:
        shutil.rmtree(folder)
        code = error.errno if isinstance(error, OSError) else None
        if code in data_errors.REFUSALS:
            raise OSError(code, os.strerror(code), str(folder)) from error
        raise data_errors.DataError(
            path, f"a damaged archive ({error})", "a whole zip or tar file"
        ) from error
    return written


def _members(
    path: str | os.PathLike,
) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Yields the name, size and content of each file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                kind = info.external_attr >> 28  # of Unix: 10 is a link
                if kind not in (0, 4, 8):
                    raise _no_file(path, info.filename)
                if not info.is_dir():
                    with archive.open(info) as member:
                        yield info.filename, info.file_size, member
        return
    with tarfile.open(path, "r:*") as archive:
        for entry in archive:
            if entry.isdir():
                continue
            content = archive.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise _no_file(path, entry.name)
            yield entry.name, entry.size, content


def _target(path, folder: pathlib.Path, name: str) -> pathlib.Path:
    parts = pathlib.PurePosixPath(name.replace("\\", "/"))
    is_inside = not parts.is_absolute() and ".." not in parts.parts
    if not is_inside or not parts.parts or ":" in parts.parts[0]:
        raise data_errors.DataError(
            path, f"the member {name!r:.200}", "names below the folder"
        )
    target = folder.joinpath(*parts.parts)
    if target.exists():
        raise data_errors.DataError(
            path, f"the member {name!r:.200} twice", "each name once"
        )
    return target


def _copy(path, member: IO[bytes], target: pathlib.Path, budget: int) -> int:
    size = 0
    with open(target, "xb") as file:
        while chunk := member.read(_CHUNK_BYTES):
            size += len(chunk)
            if size > budget:
                raise _bomb(path)
            file.write(chunk)
    return size


def _bomb(path) -> data_errors.DataError:
    return data_errors.DataError(
        path,
        f"more than {MAX_MEMBERS} files, or far more bytes than it has",
        f"at most {MAX_RATIO} times its {os.path.getsize(path)} bytes",
    )


def _no_file(path, name: str) -> data_errors.DataError:
    return data_errors.DataError(
        path, f"{name!r:.200}, a link or a device", "plain files"
    )
