"""Files with checksums; errors name the damage."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import struct
from collections.abc import Iterator
from typing import Any

from tfxml.data import atomic_files, data_errors

_CHUNK_BYTES = 1 << 22
_SEAL = "sha256"  # of all other members
_NEEDED = "the file as it was written"
# What files raise that hold something else than was written.
_NO_CONTENT = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,  # of libraries
    RecursionError,
    struct.error,
)


@contextlib.contextmanager
def reading(
    path: str | os.PathLike, needed: str = "what tfxml writes there"
) -> Iterator[None]:
    """Names a file that makes no sense, though its checksum is right.

    Args:
        path: of the file, or of the folder.
        needed: what it must hold.

    Raises:
        DataError: for what such content raises.
    """
    try:
        yield
    except data_errors.DataError:
        raise
    except _NO_CONTENT as error:
        raise data_errors.DataError(
            path, f"what cannot be read ({error!r:.200})", needed
        ) from error


def check_inside(path: str | os.PathLike, table: Any) -> dict[str, Any]:
    """Returns a table of files, by names that all stay below their folder.

    Args:
        path: what the table was read from.
        table: what was found there.

    Raises:
        DataError: for another name, or no table.
    """
    with reading(path):
        files = dict(table)
        for name in files:
            parts = pathlib.PurePosixPath(name).parts
            if not parts or "/" in parts or ".." in parts:
                raise ValueError(f"a file called {name!r:.80}")
        return files


def digest(path: str | os.PathLike) -> dict:
    """Returns a file's size and SHA-256, read in pieces."""
    sha256, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": sha256.hexdigest()}


def check(path: str | os.PathLike, expected: dict) -> None:
    """Raises DataError unless a file matches the result of `digest`."""
    _check_digest(path, expected)
    try:
        # Its size first: a file that is cut need not be read.
        actual = {"bytes": os.path.getsize(path), "sha256": None}
        if actual["bytes"] == expected["bytes"]:
            actual = digest(path)
    except FileNotFoundError as error:
        raise _missing(path) from error
    _compare(path, actual, expected)


def read(path: str | os.PathLike, expected: dict) -> bytes:
    """Returns the content of a file that matches the result of `digest`.

    Raises:
        DataError: if it is missing or different.
    """
    _check_digest(path, expected)
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError as error:
        raise _missing(path) from error
    actual = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    _compare(path, actual, expected)
    return content


def write_sealed(path: str | os.PathLike, values: dict) -> None:
    """Writes a JSON object that carries its own checksum, all at once."""
    atomic_files.write_json(path, sealed(values))


def read_sealed(path: str | os.PathLike) -> dict:
    """Returns the object that `write_sealed` wrote.

    Raises:
        FileNotFoundError: if it does not exist.
        DataError: if it is not as it was written.
    """
    content = pathlib.Path(path).read_bytes()
    try:
        return unsealed(path, json.loads(content))
    except (ValueError, RecursionError) as error:
        if isinstance(error, data_errors.DataError):
            raise
        raise _not_sealed(path, error) from error


def sealed(values: dict) -> dict:
    """Returns an object with its own checksum."""
    return {**values, _SEAL: _seal(values)}


def unsealed(path: str | os.PathLike, values: dict) -> dict:
    """Returns an object that `sealed` gave without its checksum.

    Raises:
        DataError: naming `path`, if it is another.
    """
    try:
        seal = values[_SEAL]
        rest = {key: values[key] for key in values if key != _SEAL}
    except (TypeError, KeyError) as error:
        raise _not_sealed(path, error) from error
    if seal != _seal(rest):
        raise data_errors.DataError(
            path,
            f"content with SHA-256 {_seal(rest)}",
            f"{_NEEDED}, {seal!r:.80}",
        )
    return rest


def _check_digest(path, expected) -> None:
    """Raises DataError unless `digest` can have returned this."""
    kinds = {"bytes": int, "sha256": str}
    if not isinstance(expected, dict) or any(
        type(expected.get(name)) is not kind for name, kind in kinds.items()
    ):
        raise data_errors.DataError(
            path,
            f"{expected!r:.80} as what was written of it",
            "its bytes and its sha256",
        )


def _compare(path, actual: dict, expected: dict) -> None:
    if actual["bytes"] != expected["bytes"]:
        raise data_errors.DataError(
            path, f"{actual['bytes']} bytes", f"{expected['bytes']} bytes"
        )
    if actual["sha256"] != expected["sha256"]:
        raise data_errors.DataError(
            path,
            f"content with SHA-256 {actual['sha256']}",
            f"the content that was written, with {expected['sha256']}",
        )


def _missing(path) -> data_errors.DataError:
    return data_errors.DataError(
        path, "no such file", "the file that was written here"
    )


def _not_sealed(path, error: Exception) -> data_errors.DataError:
    return data_errors.DataError(
        path, f"no sealed JSON ({error!r:.200})", _NEEDED
    )


def _seal(values: dict) -> str:
    text = json.dumps(values, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
