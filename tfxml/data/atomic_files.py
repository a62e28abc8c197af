"""Files and folders that are there whole or not at all.

What is written lies beside its place under another name until it is complete,
and what is removed is renamed first: a process killed at any moment leaves
the old content or the new, and perhaps a leftover that no reader takes for
either.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import re
import shutil
import uuid
from collections.abc import Iterator

_LEFTOVER = re.compile(r"\.(.+)\.(?:writing|removing)-[0-9a-f]{8}", re.DOTALL)


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file all at once, in place of one that is there."""
    path = pathlib.Path(path)
    beside = _beside(path, "writing")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def write_json(path: str | os.PathLike, values: object) -> None:
    """Writes a JSON file all at once."""
    text = json.dumps(values, indent=1, allow_nan=False)
    write_bytes(path, text.encode())


@contextlib.contextmanager
def new_folder(
    path: str | os.PathLike, is_replacing: bool = False
) -> Iterator[pathlib.Path]:
    """Gives a folder to fill, which becomes `path` when the context ends well.

    Left by an error, nothing stays; killed, a leftover stays beside `path`,
    which the next call for the same `path` removes.

    Args:
        path: the folder; the ones above it are made.
        is_replacing: whether one that is there gives way in the end.

    Raises:
        FileExistsError: if `path` is there otherwise, and no empty folder.
    """
    path = pathlib.Path(path)
    if not is_replacing and not is_free(path):
        raise FileExistsError(
            errno.EEXIST, os.strerror(errno.EEXIST), str(path)
        )
    with temporary_folder(path) as beside:
        yield beside
        move(beside, path)


@contextlib.contextmanager
def temporary_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a folder beside `path`, which is gone when the context ends.

    What a killed process left of one for the same `path` is removed.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    beside = _beside(path, "writing")
    beside.mkdir()
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def is_free(path: str | os.PathLike) -> bool:
    """Tells whether nothing is at `path`, or an empty folder."""
    path = pathlib.Path(path)
    if path.is_dir():
        return not any(path.iterdir())
    return not os.path.lexists(path)


def move(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Renames a file or a folder, in place of what is there."""
    source, target = pathlib.Path(source), pathlib.Path(target)
    if source.is_dir():
        sync(source)
    if not target.is_dir() or target.is_symlink():
        os.replace(source, target)
        return
    beside = _beside(target, "removing")
    os.rename(target, beside)
    os.rename(source, target)
    shutil.rmtree(beside)


def remove(path: str | os.PathLike) -> None:
    """Removes a file or a folder, which is gone before its parts go."""
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        beside = _beside(path, "removing")
        os.rename(path, beside)
        shutil.rmtree(beside)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike, name: str = "") -> None:
    """Removes what killed processes left in `folder` of `name`, or of any."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return
    for found in folder.iterdir():
        match = _LEFTOVER.fullmatch(found.name)
        if not match or name not in ("", match[1]):
            continue
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found, ignore_errors=True)
        else:
            found.unlink(missing_ok=True)


def sync(folder: str | os.PathLike) -> None:
    """Puts all files below a folder on the disk, past a loss of power."""
    for parent, _, names in os.walk(os.fspath(folder)):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())


def _beside(path: pathlib.Path, mark: str) -> pathlib.Path:
    # Hidden, and of this call: a killed process may still be writing its own.
    return path.with_name(f".{path.name}.{mark}-{uuid.uuid4().hex[:8]}")
