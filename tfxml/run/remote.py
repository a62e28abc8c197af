"""Folders elsewhere, such as gs://bucket/run, worked on as copies here.

TensorFlow reaches them, but they know no locks, no links and no renaming of a
folder. So a command reads and writes a copy on this machine's disk, and
publishes what has changed: what marks files as whole goes last, and is taken
away first. A process killed at any moment leaves a folder elsewhere that is as
good as one that is left here.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator

from tfxml.run import mirror as mirror_lib

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/+")

_mirrors: dict[str, mirror_lib.Mirror] = {}  # by url


def url_of(path: str) -> str | None:
    """Returns a path elsewhere as a url; None for one on this machine.

    Raises:
        ValueError: for a scheme that TensorFlow does not know.
    """
    match = _SCHEME.match(path)
    if not match:
        return None
    known = set(mirror_lib.file_system().get_registered_schemes()) - {
        "",
        "file",
    }
    if match[1].lower() not in known:
        raise ValueError(
            f"a path on this machine, or of one of {', '.join(sorted(known))}; "
            "mount what is elsewhere (gcsfuse, s3fs), or copy it"
        )
    return f"{match[1].lower()}://{path[match.end() :].rstrip('/')}"


def local(url: str) -> str:
    """Returns the copy of a folder or a file, as new as it is there."""
    if url not in _mirrors:
        folder = os.path.realpath(tempfile.mkdtemp(prefix="tfxml-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _mirrors[url] = mirror_lib.Mirror(url, folder)
        _mirrors[url].fetch()
    return str(_mirrors[url].path)


def fetch(path: str | os.PathLike) -> None:
    """Brings the copy that a path lies in up to date, if it is one."""
    _each(path, lambda mirror, below: mirror.fetch())


def publish(path: str | os.PathLike) -> None:
    """Brings what a path is a copy of up to date, if it is one."""
    _each(path, lambda mirror, below: mirror.publish())


@contextlib.contextmanager
def claimed(path: str | os.PathLike) -> Iterator[None]:
    """Claims what a path is a copy of, if it is one, for a training."""
    _each(path, lambda mirror, below: mirror.claim(below))
    yield
    _each(path, lambda mirror, below: mirror.release(below))


def name_of(path: str | os.PathLike) -> str:
    """Returns what a user calls a path: of a copy, what it is a copy of."""
    return named(os.fspath(path))


def named(text: str) -> str:
    """Returns a text with the urls of all copies that it speaks of."""
    for url, mirror in _mirrors.items():
        text = text.replace(str(mirror.path), url)
    return text


def _each(
    path: str | os.PathLike, act: Callable[[mirror_lib.Mirror, str], None]
) -> None:
    for mirror in _mirrors.values():
        with contextlib.suppress(ValueError):
            below = pathlib.Path(path).relative_to(mirror.path).as_posix()
            break
    else:
        return
    act(mirror, "" if below == "." else below)
