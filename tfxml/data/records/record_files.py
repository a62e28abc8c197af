"""The folder of a prepared data set.

Files are written so that a kill at any time leaves none unfinished, and are
checked when they are read.

records.json                     the manifest, written last: counts, settings,
                                 the hashes of the source and of every file
plan.json                        what is being prepared, until it is complete
train-00003-of-00016.index       int64 [n + 1, 2]: where units and values start
train-00003-of-00016.units       uint16, see record_format
train-00003-of-00016.values      float32
train-00003-of-00016.json        of a finished shard, until there is a manifest
train.label_counts.npy           int64 [L]

and, where instances have their texts' tokens (the files above are the same
without them):

train-00003-of-00016.token_index int64 [n + 1]: where tokens start
train-00003-of-00016.tokens      uint16 or int32, see record_format

All numbers are little-endian.

The manifest has the version. Version 1 had no `unicode_normalization` among
the settings of text, and did not normalise it. Version 2 is written for data
without tokens. Version 3 is version 2 with tokens: the manifest has
`tokens`, {"max_tokens": the most of an instance that were kept, or null}, and
`token_dtype`, "uint16" or "int32", and `largest_token` where tokens are pieces
of words. `reading`, if it is there, holds the
options that the source was read with and that were not at their defaults.
From version 2 on, `files` has the hashes of what lies beside the shards, and
`sha256` is the manifest's own.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import sys
from typing import BinaryIO

import numpy as np

from tfxml.data import atomic_files, checked_files, data_errors
from tfxml.data import instances as instances_lib
from tfxml.data.records import record_format

MANIFEST = "records.json"
PLAN = "plan.json"
VERSION = 2
TOKENS_VERSION = 3

SUFFIXES = ("index", "units", "values")
TOKEN_SUFFIXES = ("token_index", "tokens")
_TOKEN_DTYPES = ("uint16", "int32")
_PIECE_BYTES = 1 << 22
# What a manifest raises that is another object, or none.
_NO_MANIFEST = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OSError,
)


class ShardWriter:
    """Writes one shard to temporary files, and then renames them.

    Use it as a context: after an error nothing is left.

    Args:
        folder: where the shard is written.
        name: what `shard_name` returns.
        tokens_as: the dtype of tokens; None: they are not written.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        name: str,
        tokens_as: np.dtype | None = None,
    ):
        if sys.byteorder != "little":
            raise OSError("records are written by little-endian machines only")
        self._folder = pathlib.Path(folder)
        self._name = name
        self._tokens_as = tokens_as
        self._ends: dict[str, np.ndarray] = {
            "index": np.zeros((1, 2), np.int64)
        }
        if tokens_as is not None:
            self._ends["token_index"] = np.zeros((1, 1), np.int64)
        self._files: dict[str, BinaryIO] = {}
        self._hashes = {
            suffix: hashlib.sha256()
            for suffix in suffixes(tokens_as is not None)
        }

    def __enter__(self) -> ShardWriter:
        self._files = {
            suffix: open(self._temporary(suffix), "wb")
            for suffix in self._hashes
        }
        for suffix, start in self._ends.items():
            self._write(suffix, start)
        return self

    def __exit__(self, *unused: object) -> None:
        for suffix, file in self._files.items():
            file.close()
            self._temporary(suffix).unlink(missing_ok=True)

    def write(self, run: instances_lib.Instances) -> record_format.Encoded:
        """Adds instances; returns them as they are written."""
        encoded = record_format.encode(run, self._tokens_as)
        self._write("units", encoded.units)
        self._write("values", encoded.values)
        self._write_row_ends("index", encoded.unit_splits, encoded.value_splits)
        if encoded.tokens is not None and encoded.token_splits is not None:
            self._write("tokens", encoded.tokens)
            self._write_row_ends("token_index", encoded.token_splits)
        return encoded

    def finish(self, facts: dict) -> None:
        """Moves the files into the folder, and writes `facts` about them."""
        files = {}
        for suffix, file in self._files.items():
            files[suffix] = {
                "bytes": file.tell(),
                "sha256": self._hashes[suffix].hexdigest(),
            }
            file.flush()
            os.fsync(file.fileno())
            file.close()
            path = shard_path(self._folder, self._name, suffix)
            os.replace(self._temporary(suffix), path)
        # Last, so that a shard with this file is complete.
        write_json(
            shard_path(self._folder, self._name, "json"),
            {**facts, "files": files},
        )

    def _write_row_ends(self, suffix: str, *splits: np.ndarray) -> None:
        """Adds where rows end, counted from the shard's first row."""
        row_ends = np.stack(splits, 1)[1:] + self._ends[suffix]
        if len(row_ends):
            self._write(suffix, row_ends)
            self._ends[suffix] = row_ends[-1:]

    def _write(self, suffix: str, array: np.ndarray) -> None:
        content = np.ascontiguousarray(array).data.cast("B")
        self._hashes[suffix].update(content)
        self._files[suffix].write(content)

    def _temporary(self, suffix: str) -> pathlib.Path:
        # With the process id: a killed process may still be writing its own.
        path = shard_path(self._folder, self._name, suffix)
        return path.with_name(f"{path.name}.{os.getpid()}.partial")


def suffixes(with_tokens: bool) -> tuple[str, ...]:
    """Returns the suffixes of a shard's files."""
    return SUFFIXES + TOKEN_SUFFIXES if with_tokens else SUFFIXES


def shard_name(split: str, number: int, num_shards: int) -> str:
    return f"{split}-{number:05d}-of-{num_shards:05d}"


def shard_path(
    folder: str | os.PathLike, name: str, suffix: str
) -> pathlib.Path:
    return pathlib.Path(folder) / f"{name}.{suffix}"


def read_finished(folder: str | os.PathLike, name: str) -> dict | None:
    """Returns the facts of a finished shard; None if it must be made.

    Compares its files with their hashes.
    """
    try:
        facts = json.loads(shard_path(folder, name, "json").read_text())
        expected = facts["files"]
        for suffix in {*SUFFIXES, *expected}:
            path = shard_path(folder, name, suffix)
            if sha256(path) != expected[suffix]["sha256"]:
                return None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return facts


def remove_leftovers(folder: str | os.PathLike, is_complete: bool) -> None:
    """Removes what killed processes left; at the end, also temporary files."""
    patterns = ["*.partial"]
    if is_complete:
        patterns += ["*-of-*.json", "*-of-*.prints", "*-of-*.labels", PLAN]
    for pattern in patterns:
        for path in pathlib.Path(folder).glob(pattern):
            path.unlink(missing_ok=True)
    atomic_files.remove_leftovers(folder)


def read_manifest(folder: str | os.PathLike) -> dict:
    """Returns the manifest of a complete folder, its files' sizes checked.

    Raises:
        DataError: if the folder is not complete, or damaged.
    """
    folder = pathlib.Path(folder)
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        version = manifest["version"]
        if version not in (1, VERSION, TOKENS_VERSION):
            raise data_errors.DataError(
                path, f"version {version!r:.80}", f"1 to {TOKENS_VERSION}"
            )
        if version != 1:
            manifest = checked_files.unsealed(path, manifest)
        manifest = as_now(manifest)
        with_tokens = version == TOKENS_VERSION
        _check_counts(manifest, "num_features", "num_labels")
        if with_tokens and manifest["token_dtype"] not in _TOKEN_DTYPES:
            raise ValueError(f"token_dtype={manifest['token_dtype']!r:.80}")
        if "largest_token" in manifest:
            _check_counts(manifest, "largest_token")
        for split in manifest["splits"].values():
            _check_counts(split, "num_instances", "most_features")
            _check_counts(split, "most_labels")
            if with_tokens:
                _check_counts(split, "most_tokens")
            for shard in split["shards"]:
                _check_counts(shard, "num_instances")
                _check_files(folder, shard, suffixes(with_tokens))
    except data_errors.DataError:
        raise
    except FileNotFoundError as error:
        raise data_errors.DataError(
            folder,
            f"no {MANIFEST}",
            "a complete prepared data set; rerun the same command to resume",
        ) from error
    except _NO_MANIFEST as error:
        raise data_errors.DataError(
            path, f"no manifest ({error!r:.200})", "what preparing writes"
        ) from error
    return manifest


def write_manifest(folder: str | os.PathLike, manifest: dict) -> None:
    """Writes the manifest, with a checksum of its own."""
    write_json(pathlib.Path(folder) / MANIFEST, checked_files.sealed(manifest))


def as_now(plan: dict) -> dict:
    """Returns a plan or a manifest, converted from version 1 to version 2."""
    if plan["version"] != 1:
        return plan
    settings = plan["settings"]
    if "ngrams" in settings:  # of text
        settings = {**settings, "unicode_normalization": "none"}
    return {**plan, "version": VERSION, "settings": settings}


def write_json(path: str | os.PathLike, value: object) -> None:
    """Writes a file all at once."""
    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    atomic_files.write_bytes(path, text.encode())


def write_array(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes an npy file all at once."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    atomic_files.write_bytes(path, buffer.getvalue())


def sha256(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_PIECE_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _check_counts(values: dict, *names: str) -> None:
    for name in names:
        if type(values[name]) is not int or not 0 <= values[name] < 2**62:
            raise ValueError(f"{name}={values[name]!r:.80}")


def _check_files(
    folder: pathlib.Path, shard: dict, needed: tuple[str, ...]
) -> None:
    """Raises unless all files of a shard are there, of their sizes."""
    if not set(needed) <= set(shard["files"]):
        raise ValueError(f"files={shard['files']!r:.80}")
    for suffix, expected in shard["files"].items():
        path = shard_path(folder, shard["name"], suffix)
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"]:
            size_found = "no such file" if size is None else f"{size} bytes"
            raise data_errors.DataError(
                path, size_found, f"{expected['bytes']} bytes"
            )
