"""The folder of a prepared data set: its files, written so that a kill at any
time leaves nothing half done, and checked when they are read.

records.json                     the manifest, written last: counts, settings,
                                 the hashes of the source and of every file
plan.json                        what is prepared, while it is not yet complete
train-00003-of-00016.index       int64 [n + 1, 2]: where units and values start
train-00003-of-00016.units       uint16, see record_format
train-00003-of-00016.values      float32
train-00003-of-00016.json        of a whole shard, until the manifest is there
train.label_counts.npy           int64 [L]

All numbers are little-endian.

Version 1 knew no `unicode_normalization` among the settings of text, which was
left as it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import sys

import numpy as np

from tfxml.data import data_errors
from tfxml.data import instances as instances_lib
from tfxml.data.records import record_format

MANIFEST = "records.json"
PLAN = "plan.json"
VERSION = 2

SUFFIXES = ("index", "units", "values")
_PIECE_BYTES = 1 << 22


class ShardWriter:
    """Writes one shard to temporary files, and then renames them.

    Use as a context: left by an error, nothing stays.
    """

    def __init__(self, folder: str | os.PathLike, name: str):
        if sys.byteorder != "little":
            raise OSError("records are written by little-endian machines only")
        self._folder = pathlib.Path(folder)
        self._name = name
        self._places = np.zeros((1, 2), np.int64)
        self._files = {}
        self._hashes = {suffix: hashlib.sha256() for suffix in SUFFIXES}

    def __enter__(self) -> ShardWriter:
        self._files = {
            suffix: open(self._temporary(suffix), "wb") for suffix in SUFFIXES
        }
        self._write("index", self._places)
        return self

    def __exit__(self, kind, error, trace) -> None:
        for suffix, file in self._files.items():
            file.close()
            self._temporary(suffix).unlink(missing_ok=True)

    def write(self, run: instances_lib.Instances) -> record_format.Encoded:
        """Adds instances; returns them as they are written."""
        encoded = record_format.encode(run)
        places = np.stack([encoded.unit_splits, encoded.value_splits], 1)
        places = places[1:] + self._places
        self._write("units", encoded.units)
        self._write("values", encoded.values)
        self._write("index", places)
        if len(places):
            self._places = places[-1:]
        return encoded

    def finish(self, facts: dict) -> None:
        """Puts the shard into the folder; `facts` go with it."""
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
        # Last, so that a shard with it is whole.
        write_json(
            shard_path(self._folder, self._name, "json"),
            {**facts, "files": files},
        )

    def _write(self, suffix: str, array: np.ndarray) -> None:
        content = memoryview(np.ascontiguousarray(array)).cast("B")
        self._hashes[suffix].update(content)
        self._files[suffix].write(content)

    def _temporary(self, suffix: str) -> pathlib.Path:
        # Of this process: what a killed one left may be written still.
        path = shard_path(self._folder, self._name, suffix)
        return path.with_name(f"{path.name}.{os.getpid()}.partial")


def shard_name(split: str, number: int, num_shards: int) -> str:
    return f"{split}-{number:05d}-of-{num_shards:05d}"


def shard_path(
    folder: str | os.PathLike, name: str, suffix: str
) -> pathlib.Path:
    return pathlib.Path(folder) / f"{name}.{suffix}"


def read_finished(folder: str | os.PathLike, name: str) -> dict | None:
    """Returns the facts of a whole shard; None where it must be made.

    Its files are read through and compared with their hashes.
    """
    try:
        facts = json.loads(shard_path(folder, name, "json").read_text())
        expected = facts["files"]
        for suffix in SUFFIXES:
            path = shard_path(folder, name, suffix)
            if sha256(path) != expected[suffix]["sha256"]:
                return None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return facts


def remove_leftovers(folder: str | os.PathLike, is_complete: bool) -> None:
    """Removes what killed processes left and, at the end, what led there."""
    patterns = ["*.partial"]
    if is_complete:
        patterns += ["*-of-*.json", "*-of-*.prints", "*-of-*.labels", PLAN]
    for pattern in patterns:
        for path in pathlib.Path(folder).glob(pattern):
            path.unlink(missing_ok=True)


def read_manifest(folder: str | os.PathLike) -> dict:
    """Returns the manifest of a complete folder, its files' sizes checked.

    Raises:
        DataError: if the folder is not complete, or damaged.
    """
    folder = pathlib.Path(folder)
    path = folder / MANIFEST
    try:
        manifest = as_now(json.loads(path.read_text()))
        version = manifest["version"]
    except FileNotFoundError as error:
        raise data_errors.DataError(
            folder,
            f"no {MANIFEST}",
            "a complete prepared data set; the same command goes on with it",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise data_errors.DataError(
            path, f"no manifest ({error})", "what preparing writes"
        ) from error
    if version != VERSION:
        raise data_errors.DataError(path, f"version {version}", f"{VERSION}")
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            _check_sizes(folder, shard)
    return manifest


def as_now(plan: dict) -> dict:
    """Returns what version 1 wrote, a plan or a manifest, as this one would."""
    if plan["version"] != 1:
        return plan
    settings = plan["settings"]
    if "ngrams" in settings:  # of text
        settings = {**settings, "unicode_normalization": "none"}
    return {**plan, "version": VERSION, "settings": settings}


def write_json(path: str | os.PathLike, value) -> None:
    """Writes a file all at once."""
    text = json.dumps(value, indent=1, sort_keys=True) + "\n"
    write_bytes(path, text.encode())


def write_array(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes an npy file all at once."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_bytes(path, buffer.getvalue())


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file all at once."""
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with open(partial, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def sha256(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, read in pieces."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE_BYTES):
            found.update(piece)
    return found.hexdigest()


def _check_sizes(folder: pathlib.Path, shard: dict) -> None:
    for suffix, expected in shard["files"].items():
        path = shard_path(folder, shard["name"], suffix)
        size = path.stat().st_size if path.is_file() else None
        if size != expected["bytes"]:
            found = "no such file" if size is None else f"{size} bytes"
            raise data_errors.DataError(
                path, found, f"{expected['bytes']} bytes"
            )
