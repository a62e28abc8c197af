"""A copy, on this machine's disk, of a folder that TensorFlow reaches."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from tfxml.run import run_lock, tensorflow_start

_OWNER = "owner.json"  # who trains there
_BESIDE = ".writing"  # what is written there until it is whole
# What makes the files beside and below it whole.
_MARKERS = (
    "checkpoint.json",
    "saved_model.pb",
    "records.json",
    "manifest.json",
)
# What is written last, in this order: markers, what they only note, and what
# tells that a run has come so far.
_LAST = (
    *_MARKERS[:3],
    *("calibration.json", "estimator.json"),
    *(_MARKERS[3], "metrics.jsonl", "result.json"),
)

_Stamp = tuple[int, int]  # of a file: its length, and when it was written


class Mirror:
    """A folder or a file elsewhere, and its copy.

    Args:
        url: where it is.
        folder: where the copy is made, under the last part of the url.
    """

    def __init__(self, url: str, folder: str):
        self.url = url
        self.path = pathlib.Path(folder) / (url.rpartition("/")[2] or "root")
        # Of each file that is the same on both sides.
        self._here: dict[str, _Stamp] = {}
        self._there: dict[str, _Stamp] = {}
        self._claims: dict[str, bytes] = {}

    def fetch(self) -> None:
        """Copies what has come or changed there; removes what has gone."""
        with _told(self.url):
            there = self._list()
            for name in sorted(set(self._there) - set(there)):
                self._target(name).unlink(missing_ok=True)
                del self._there[name], self._here[name]
            for name in sorted(there, key=_rank):
                if self._there.get(name) != there[name]:
                    self._fetch(name, there[name])

    def publish(self) -> None:
        """Copies what has changed here; removes what has gone.

        Raises:
            run_lock.LockedError: if another process has claimed it meanwhile.
        """
        for name, content in self._claims.items():
            self._check_claim(name, content)
        files = file_system()
        with _told(self.url):
            here = self._stamps()
            changed = {
                name
                for name, stamp in here.items()
                if self._here.get(name) != stamp
            }
            for name in sorted(changed & set(self._there), key=_rank):
                if _marks_others(name, changed):
                    files.remove(self._source(name))
                    del self._there[name]
            for name in sorted(changed, key=_rank):
                source = self._source(name)
                files.makedirs(source.rpartition("/")[0])
                beside = _fresh(source)
                files.copy(str(self._target(name)), beside)
                files.rename(beside, source, overwrite=True)
                self._here[name] = here[name]
                self._there[name] = _stamp(files.stat(source))
            gone = set(self._here) - set(here)
            for name in sorted(gone, key=_rank, reverse=True):
                files.remove(self._source(name))
                del self._here[name], self._there[name]

    def claim(self, below: str) -> None:
        """Says that this process writes there, until another one says so."""
        content = json.dumps(run_lock.holder()).encode()
        with _told(self.url):
            file_system().makedirs(self._source(below))
            self._write(self._owner(below), content)
        self._claims[below] = content

    def release(self, below: str) -> None:
        """Takes a claim back."""
        content = self._claims.pop(below)
        with _told(self.url):
            if self._read(self._owner(below)) == content:
                file_system().remove(self._owner(below))

    def _check_claim(self, below: str, content: bytes) -> None:
        with _told(self.url):
            found = self._read(self._owner(below))
        if found != content:
            raise run_lock.LockedError(
                f"{self._source(below)} was taken over by "
                f"{run_lock.name(found)}: this process ends, and leaves the "
                "run to the other"
            )

    def _list(self) -> dict[str, _Stamp]:
        """Returns the files there, by their names below; "": it is a file."""
        there, names = file_system(), []
        if not there.isdir(self.url):
            names = [""] if there.exists(self.url) else []
        else:
            for parent, _, files in there.walk(self.url):
                below = parent[len(self.url) :].strip("/")
                names += [f"{below}/{file}".lstrip("/") for file in files]
        found = {}
        for name in names:
            if name.endswith((_OWNER, _BESIDE)):
                continue
            with contextlib.suppress(_not_found()):
                found[name] = _stamp(there.stat(self._source(name)))
        return found

    def _fetch(self, name: str, stamp: _Stamp) -> None:
        target = self._target(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(_not_found()):  # removed meanwhile
            file_system().copy(self._source(name), str(target), overwrite=True)
            self._there[name] = stamp
            self._here[name] = _stamp_here(target)

    def _stamps(self) -> dict[str, _Stamp]:
        """Returns the files of the copy, but for what is not finished."""
        if self.path.is_file():
            return {"": _stamp_here(self.path)}
        found = {}
        for parent, folders, files in os.walk(self.path):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for file in files:
                path = pathlib.Path(parent, file)
                if not file.startswith(".") and file != run_lock.NAME:
                    name = path.relative_to(self.path).as_posix()
                    found[name] = _stamp_here(path)
        return found

    def _source(self, name: str) -> str:
        return f"{self.url}/{name}" if name else self.url

    def _target(self, name: str) -> pathlib.Path:
        return self.path / name if name else self.path

    def _owner(self, below: str) -> str:
        return f"{self._source(below)}/{_OWNER}"

    def _write(self, url: str, content: bytes) -> None:
        beside = _fresh(url)
        with file_system().GFile(beside, "wb") as file:
            file.write(content)
        file_system().rename(beside, url, overwrite=True)

    def _read(self, url: str) -> bytes | None:
        try:
            with file_system().GFile(url, "rb") as file:
                return file.read()
        except _not_found():
            return None


def _rank(name: str) -> tuple[int, int, str]:
    """Orders files so that what marks others as whole comes after them."""
    last = name.rpartition("/")[2]
    if last not in _LAST:
        return 0, 0, name
    return 1 + _LAST.index(last), -name.count("/"), name


def _marks_others(name: str, changed: set[str]) -> bool:
    folder, _, last = name.rpartition("/")
    below = f"{folder}/" if folder else ""
    return last in _MARKERS and any(
        other != name and other.startswith(below) and not _rank(other)[0]
        for other in changed
    )


def _fresh(url: str) -> str:
    """Returns where a file is written before it gets its name."""
    beside = url + _BESIDE
    if file_system().exists(beside):  # of a process that was killed
        file_system().remove(beside)
    return beside


def _stamp(found: Any) -> _Stamp:
    return found.length, found.mtime_nsec


def _stamp_here(path: pathlib.Path) -> _Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Makes what TensorFlow raises of a place elsewhere an OSError."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        first = (error.message.splitlines() or [""])[0]
        raise OSError(f"{url}: {type(error).__name__}: {first:.500}") from error


def file_system() -> Any:
    """Returns tf.io.gfile; paths of this machine need no TensorFlow."""
    if "tensorflow" not in sys.modules:
        tensorflow_start.quietly()
    import tensorflow as tf

    return tf.io.gfile


def _not_found() -> type[Exception]:
    import tensorflow as tf

    return tf.errors.NotFoundError
