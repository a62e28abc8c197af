"""The paths that users give: of this machine, with `~` for their home."""

from __future__ import annotations

import os
import re
import urllib.parse

from absl import flags

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_LOCAL_HOSTS = ("", "localhost")


def local(path: str | os.PathLike, name: str = "path") -> str:
    """Returns a path as the system takes it; "" stays "".

    `~` becomes the home folder, and `file:///x` becomes `/x`.

    Args:
        path: what a user gave.
        name: what the error calls it.

    Raises:
        ValueError: for a path of another scheme, such as gs://bucket/run, or
            with a byte that no path can hold.
    """
    path = os.fspath(path)
    match = _SCHEME.match(path)
    if match and match[1].lower() == "file":
        url = urllib.parse.urlsplit(path)
        if url.netloc in _LOCAL_HOSTS and url.path.startswith("/"):
            return urllib.parse.unquote(url.path)
    if match or "\0" in path:
        raise ValueError(
            f"`{name}` must be a path on this machine, for instance where a "
            "bucket is mounted (gcsfuse, s3fs), or file:///path; other "
            f"schemes are not supported. Received: {name}={path!r}"
        )
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


class _Parser(flags.ArgumentParser):
    """Takes a path; what cannot be one ends the command at once."""

    syntactic_help = "a path on this machine"

    def __init__(self, name: str, others: tuple[str, ...]):
        super().__init__()
        self._name = name
        self._others = others

    def parse(self, argument: str) -> str:
        if argument in self._others:
            return argument
        return local(argument, self._name)


def define(
    name: str,
    default: str | None,
    help_text: str,
    others: tuple[str, ...] = (),
    **words,
) -> None:
    """Defines a flag that takes a path.

    Args:
        name: of the flag.
        default: None: it need not be given, and is None then.
        help_text: what it says.
        others: values that are no paths, as "-" for standard input.
        words: what `flags.DEFINE` takes beside, as `required`.
    """
    flags.DEFINE(
        _Parser(name, others),
        name,
        default,
        help_text,
        serializer=flags.ArgumentSerializer(),
        **words,
    )
