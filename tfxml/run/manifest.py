"""The checksums of what stays the same in a folder, and its marker.

`manifest.json` is written last: a folder that has it is whole, and what is
read by it is what was written. It also notes which files came to the folder
later, that have checksums of their own: one that is gone is missed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Iterator

from tfxml.data import atomic_files, checked_files, data_errors

_NAME = "manifest.json"
_STAGE = ".beginning"
_CHANGES = ".changes.json"  # texts that take the place of others
_NOTED = "noted"  # the names of files with checksums of their own


class Manifest:
    """Reads the files of a folder, each checked; nothing is read before."""

    def __init__(self, folder: str | os.PathLike):
        self._folder = pathlib.Path(folder)
        self._files: dict[str, dict] | None = None

    @property
    def is_there(self) -> bool:
        return (self._folder / _NAME).is_file()

    def __contains__(self, name: str) -> bool:
        return name in self._digests()

    def names(self, below: str = "") -> list[str]:
        """Returns the files' names, those that start so."""
        return [name for name in self._digests() if name.startswith(below)]

    def read(self, name: str) -> bytes:
        """Returns the content of a file.

        Raises:
            ValueError: if the folder has no manifest.
            DataError: if the file is damaged, or was never there.
        """
        if name not in self:
            raise data_errors.DataError(
                self._folder / _NAME, f"no {name}", "a folder with this file"
            )
        return checked_files.read(self._folder / name, self._digests()[name])

    def check(self, below: str) -> None:
        """Raises DataError unless files are as written; see `names`."""
        for name in self.names(below):
            checked_files.check(self._folder / name, self._digests()[name])

    def _digests(self) -> dict[str, dict]:
        if self._files is None:
            try:
                sealed = checked_files.read_sealed(self._folder / _NAME)
            except (FileNotFoundError, NotADirectoryError) as error:
                raise ValueError(
                    "`workdir` must be a folder that training wrote. "
                    f"Received: workdir={self._folder}, without {_NAME}"
                ) from error
            self._files = _files_in(self._folder / _NAME, sealed)
        return self._files


@contextlib.contextmanager
def beginning(
    folder: pathlib.Path,
    constant: Collection[str],
    others: Collection[str],
    noted: Collection[str],
) -> Iterator[pathlib.Path]:
    """Gives a place to write a folder's files, which are then all there.

    An unfinished beginning is begun again. What there was before gives way
    once the new is complete.

    Args:
        folder: where the files come to lie; made if it is not there.
        constant: the names of files and folders that the manifest is of.
        others: the names of those that go with them, and belong to them.
        noted: those of them that have checksums of their own.
    """
    stage = folder / _STAGE
    folder.mkdir(parents=True, exist_ok=True)
    if is_unfinished(folder):
        _remove(folder, {_NAME, *constant, *others})
    if stage.exists():
        shutil.rmtree(stage)
    stage.mkdir()
    try:
        yield stage
        files = {
            path.relative_to(stage).as_posix(): checked_files.digest(path)
            for name in constant
            for path in _files_of(stage / name)
        }
        there = [name for name in noted if (stage / name).exists()]
        values = {"files": files, _NOTED: there}
        checked_files.write_sealed(stage / _NAME, values)
        atomic_files.sync(stage)
    except BaseException:
        shutil.rmtree(stage)
        raise
    # Until the stage is gone, what is in place counts as unfinished.
    if (folder / _NAME).exists():
        (folder / _NAME).unlink()
    new = {path.name for path in stage.iterdir()}
    _remove(folder, {*constant, *others} - new)
    for name in sorted(new, key=lambda name: (name == _NAME, name)):
        atomic_files.move(stage / name, folder / name)
    stage.rmdir()


def replace(folder: pathlib.Path, texts: dict[str, str]) -> None:
    """Replaces some of a whole folder's files.

    Killed on the way, the folder is whole again after `mend`.
    """
    checked_files.write_sealed(folder / _CHANGES, {"texts": texts})
    mend(folder)


def mend(folder: pathlib.Path) -> None:
    """Ends a replacement that was killed."""
    if not (folder / _CHANGES).exists():
        return
    sealed = checked_files.read_sealed(folder / _CHANGES)
    with checked_files.reading(folder / _CHANGES):
        texts = checked_files.check_inside(folder / _CHANGES, sealed["texts"])
        contents = {name: text.encode() for name, text in texts.items()}
    for name, content in contents.items():
        atomic_files.write_bytes(folder / name, content)
    sealed = checked_files.read_sealed(folder / _NAME)
    files = _files_in(folder / _NAME, sealed)
    files |= {name: checked_files.digest(folder / name) for name in texts}
    checked_files.write_sealed(folder / _NAME, {**sealed, "files": files})
    (folder / _CHANGES).unlink()


def note(folder: pathlib.Path, name: str) -> None:
    """Notes that a file has come to a folder; call it once it is there.

    A beginning, which has no manifest yet, notes its files at its end.
    """
    if not (folder / _NAME).exists():
        return
    _write_notes(folder, lambda noted: noted | {name})


def forget(folder: pathlib.Path, name: str) -> None:
    """Takes a note back; call it before the file is removed."""
    _write_notes(folder, lambda noted: noted - {name})


def check_never_there(folder: pathlib.Path, name: str, needed: str) -> None:
    """Raises DataError if a file that is not there was noted.

    Args:
        folder: with a manifest.
        name: of the file.
        needed: what the file must hold.
    """
    if name in _noted(folder)[1]:
        raise data_errors.DataError(folder / name, "no such file", needed)


def _write_notes(
    folder: pathlib.Path, change: Callable[[set[str]], set[str]]
) -> None:
    sealed, noted = _noted(folder)
    atomic_files.remove_leftovers(folder, _NAME)
    if change(noted) != noted:
        names = sorted(change(noted))
        checked_files.write_sealed(folder / _NAME, {**sealed, _NOTED: names})


def _noted(folder: pathlib.Path) -> tuple[dict, set[str]]:
    """Returns what a manifest holds, and the names that it notes."""
    sealed = checked_files.read_sealed(folder / _NAME)
    with checked_files.reading(folder / _NAME):
        return sealed, set(map(str, sealed.get(_NOTED, [])))


def _files_in(path: pathlib.Path, sealed: dict) -> dict[str, dict]:
    """Returns the checksums that a manifest holds, by name."""
    with checked_files.reading(path):
        return checked_files.check_inside(path, sealed["files"])


def is_unfinished(folder: pathlib.Path) -> bool:
    """Tells whether a beginning was killed before its end.

    With nothing left to move, it was before the very last step.
    """
    stage = folder / _STAGE
    if not stage.exists():
        return False
    return not (folder / _NAME).exists() or not any(stage.iterdir())


def _remove(folder: pathlib.Path, names: Collection[str]) -> None:
    for name in sorted(names):
        if os.path.lexists(folder / name):
            atomic_files.remove(folder / name)


def _files_of(path: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files at or below a path, in order; none: empty."""
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    return [path] if path.is_file() else []
