"""The paths that users give: here, with `~` for their home, or elsewhere."""

from __future__ import annotations

import os
import pathlib
import urllib.parse

from absl import flags

from tfxml.run import remote

_LOCAL_HOSTS = ("", "localhost")


def local(path: str | os.PathLike, name: str = "path") -> str:
    """Returns a path as the system takes it; "" stays "".

    `~` becomes the home folder, and `file:///x` becomes `/x`. What lies
    elsewhere, such as gs://bucket/run, becomes its copy; see `remote`.

    Args:
        path: what a user gave.
        name: what the error calls it.

    Raises:
        ValueError: for a path of a scheme that TensorFlow does not know, or
            with a byte that no path can hold.
        OSError: if what lies elsewhere cannot be read.
    """
    path = checked(path, name)
    return remote.local(path) if remote.url_of(path) else path


def absolute(path: str | os.PathLike, name: str = "path") -> str:
    """Returns `local` from the root on, without links; "" stays ""."""
    path = local(path, name)
    return str(pathlib.Path(path).resolve()) if path else ""


def checked(path: str | os.PathLike, name: str) -> str:
    """Returns a path as `local` does, and what lies elsewhere as a url."""
    path = os.fspath(path)
    parts = urllib.parse.urlsplit(path) if path[:5].lower() == "file:" else None
    if parts and parts.netloc in _LOCAL_HOSTS and parts.path.startswith("/"):
        return urllib.parse.unquote(parts.path)
    try:
        if "\0" in path:
            raise ValueError("a path")
        if not _is_unicode(path):
            raise ValueError(
                "a path in UTF-8, for TensorFlow knows no other; rename it"
            )
        url = remote.url_of(path)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be {error}. Received: {name}={path!r}"
        ) from error
    if url:
        return url
    if path.startswith("~"):
        expanded = os.path.expanduser(path)
        if expanded.startswith("~"):
            raise ValueError(
                f"`{name}` must name the home folder of a user that there is; "
                f"write ./{path} for a folder of that name. "
                f"Received: {name}={path!r}"
            )
        return expanded
    return path


def _is_unicode(path: str) -> bool:
    """Tells whether a path is in Unicode; other bytes stand as surrogates."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Parser(flags.ArgumentParser):
    """Takes a path; what cannot be one ends the command at once."""

    syntactic_help = "a path, or a url such as gs://bucket/folder"

    def __init__(self, name: str, others: tuple[str, ...], is_here: bool):
        super().__init__()
        self._name = name
        self._others = others
        self._is_here = is_here

    def parse(self, argument: str) -> str:
        if argument in self._others:
            return argument
        path = checked(argument, self._name)
        if self._is_here and remote.url_of(path):
            raise ValueError(
                f"`{self._name}` must be a path on this machine. "
                f"Received: {self._name}={path!r}"
            )
        return path


def define(
    name: str,
    default: str | None,
    help_text: str,
    others: tuple[str, ...] = (),
    is_here: bool = False,
    **words,
) -> None:
    """Defines a flag that takes a path.

    Args:
        name: of the flag.
        default: None: it need not be given, and is None then.
        help_text: what it says.
        others: values that are no paths, as "-" for standard input.
        is_here: whether it must be on this machine.
        words: what `flags.DEFINE` takes beside, as `required`.
    """
    flags.DEFINE(
        _Parser(name, others, is_here),
        name,
        default,
        help_text,
        serializer=flags.ArgumentSerializer(),
        **words,
    )
