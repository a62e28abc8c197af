"""Files and folders that exist completely or not at all.

New content is written next to its destination under a temporary name until it
is complete, and removed content is renamed first. A process killed at any
moment leaves the old content or the new, and perhaps a temporary one that no
reader mistakes for either.
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
    """Writes a file all at once; replaces an existing one."""
    path = pathlib.Path(path)
    temporary = _temporary_path(path, "writing")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_output(path: str | os.PathLike, content: bytes) -> None:
    """Writes where a user asked for it: a file all at once, through links.

    What is no file, as a pipe or /dev/null, is written to, not replaced.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            file.write(content)
        return
    write_bytes(os.path.realpath(path), content)


def write_json(path: str | os.PathLike, values: object) -> None:
    """Writes a JSON file all at once."""
    text = json.dumps(values, indent=1, allow_nan=False)
    write_bytes(path, text.encode())


@contextlib.contextmanager
def new_folder(
    path: str | os.PathLike, is_replacing: bool = False
) -> Iterator[pathlib.Path]:
    """Yields a folder to fill, which becomes `path` when the context succeeds.

    After an error nothing is left. A killed process leaves a temporary folder
    next to `path`, which the next call for the same `path` removes.

    Args:
        path: the folder; its parents are created.
        is_replacing: whether to replace an existing one at the end.

    Raises:
        FileExistsError: if `path` exists, is not an empty folder and is not to
            be replaced.
    """
    path = pathlib.Path(path)
    if not is_replacing and not is_free(path):
        raise FileExistsError(
            errno.EEXIST, os.strerror(errno.EEXIST), str(path)
        )
    with temporary_folder(path) as temporary:
        yield temporary
        move(temporary, path)


@contextlib.contextmanager
def temporary_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a folder next to `path`, which is removed when the context ends.

    Also removes those that killed processes left for the same `path`.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent, path.name)
    temporary = _temporary_path(path, "writing")
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_free(path: str | os.PathLike) -> bool:
    """Tells whether `path` does not exist or is an empty folder."""
    path = pathlib.Path(path)
    if path.is_dir():
        return not any(path.iterdir())
    return not os.path.lexists(path)


def move(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Renames a file or a folder; replaces an existing target."""
    source, target = pathlib.Path(source), pathlib.Path(target)
    if source.is_dir():
        sync(source)
    if not target.is_dir() or target.is_symlink():
        os.replace(source, target)
        return
    old_target = _temporary_path(target, "removing")
    os.rename(target, old_target)
    os.rename(source, target)
    shutil.rmtree(old_target)


def remove(path: str | os.PathLike) -> None:
    """Removes a file or a folder; a folder disappears all at once."""
    path = pathlib.Path(path)
    if path.is_dir() and not path.is_symlink():
        removed = _temporary_path(path, "removing")
        os.rename(path, removed)
        shutil.rmtree(removed)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike, name: str = "") -> None:
    """Removes what killed processes left in `folder` for `name`, or for all."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        match = _LEFTOVER.fullmatch(path.name)
        if not match or name not in ("", match[1]):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def sync(folder: str | os.PathLike) -> None:
    """Flushes all files below a folder to disk, to survive a power loss."""
    for parent, _, names in os.walk(os.fspath(folder)):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())


def _temporary_path(path: pathlib.Path, mark: str) -> pathlib.Path:
    # Hidden, and unique: a process being killed may still write to its own.
    return path.with_name(f".{path.name}.{mark}-{uuid.uuid4().hex[:8]}")
