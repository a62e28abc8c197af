"""Reads and writes the folder of fitted text features.

text_features.json   version, settings, and the SHA-256 of the others
vocabulary.txt       one term per line, UTF-8; absent if terms are hashed
idf.npy              float32 [D]; absent without inverse document frequency
subwords.txt         one piece of words per line; absent if words are tokens

Files of version 1 have no version and no `unicode_normalization`: texts were
not normalised.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib

import numpy as np

from tfxml.data import data_errors

_SETTINGS = "text_features.json"
_TERMS = "vocabulary.txt"
_IDF = "idf.npy"
_PIECES = "subwords.txt"
_VERSION = 2
_KEYS_1 = {"hash_buckets", "ngrams", "sublinear_tf", "sha256"}
_KEYS = _KEYS_1 | {"unicode_normalization", "version"}


def write(
    folder: str | os.PathLike,
    settings: dict,
    terms: np.ndarray | None,
    idf: np.ndarray | None,
    pieces: np.ndarray | None = None,
) -> None:
    """Writes the folder; removes files of earlier features."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {}
    for name, lines in ((_TERMS, terms), (_PIECES, pieces)):
        if lines is not None:
            # None holds a line break, which is neither a letter nor a digit.
            contents[name] = "".join(f"{line}\n" for line in lines).encode()
    if idf is not None:
        buffer = io.BytesIO()
        np.save(buffer, idf, allow_pickle=False)
        contents[_IDF] = buffer.getvalue()
    for name in (_SETTINGS, _TERMS, _IDF, _PIECES):
        (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    digests = {name: _sha256(content) for name, content in contents.items()}
    content_of_settings = {**settings, "sha256": digests, "version": _VERSION}
    text = json.dumps(content_of_settings, indent=2, sort_keys=True)
    # Last: a folder with this file is complete.
    (folder / _SETTINGS).write_text(text + "\n", encoding="utf-8")


def read(
    folder: str | os.PathLike,
) -> tuple[dict, list[str] | None, np.ndarray | None, list[str] | None]:
    """Returns settings, terms, inverse document frequencies and pieces.

    Raises:
        DataError: if a file is missing or was changed.
    """
    folder = pathlib.Path(folder)
    settings = _read_settings(folder / _SETTINGS)
    digests = settings.pop("sha256")
    del settings["version"]
    idf = None
    terms, pieces = (
        _read_checked(folder / name, digests[name]).decode().split("\n")[:-1]
        if name in digests
        else None
        for name in (_TERMS, _PIECES)
    )
    if _IDF in digests:
        content = _read_checked(folder / _IDF, digests[_IDF])
        idf = np.load(io.BytesIO(content), allow_pickle=False)
    return settings, terms, idf, pieces


def _read_settings(path: pathlib.Path) -> dict:
    try:
        settings = json.loads(_read(path))
    except ValueError as error:
        if isinstance(error, data_errors.DataError):
            raise
        raise data_errors.DataError(
            path, f"no JSON ({error})", "JSON"
        ) from error
    if isinstance(settings, dict) and set(settings) == _KEYS_1:
        settings |= {"unicode_normalization": "none", "version": _VERSION}
    is_complete = isinstance(settings, dict) and set(settings) == _KEYS
    if not is_complete or not isinstance(settings["sha256"], dict):
        raise data_errors.DataError(
            path, f"{settings!r:.200}", f"an object of {sorted(_KEYS)}"
        )
    if settings["version"] != _VERSION:
        raise data_errors.DataError(
            path, f"version {settings['version']!r:.20}", f"{_VERSION}"
        )
    return settings


def _read_checked(path: pathlib.Path, sha256: str) -> bytes:
    content = _read(path)
    if _sha256(content) != sha256:
        raise data_errors.DataError(
            path,
            f"{len(content)} bytes with SHA-256 {_sha256(content)}",
            f"the file that was saved, with SHA-256 {sha256}",
        )
    return content


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise data_errors.DataError(
            path, "no such file", "a file of saved text features"
        ) from error


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
