"""Reads the arrays of an npz archive as streams, in bounded pieces.

Unlike numpy.load this never believes a size in a header: memory grows with
the bytes that are there. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from tfxml.data import data_errors

_PIECE_BYTES = 1 << 22
_MAX_HEADER_BYTES = 10_000
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([<>=|]?[biufSU][1-9][0-9]?)',"
    rb"\s*'fortran_order':\s*(?:False|True),"
    rb"\s*'shape':\s*\(([0-9, ]{0,60})\),?\s*\}\s*"
)
# All that zipfile raises over bytes that are no archive.
_ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@contextlib.contextmanager
def open_archive(path: str) -> Iterator[zipfile.ZipFile]:
    """Opens an npz archive; raises DataError where there is none."""
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except _ARCHIVE_ERRORS as error:
            raise _archive_error(path, error) from error
        with archive:
            yield archive


class Array:
    """A one-dimensional array in an archive, read from front to back."""

    def __init__(
        self, archive: zipfile.ZipFile, path: str, name: str, kinds: str
    ):
        """Opens array `name`, whose dtype must be of one of `kinds`."""
        self._path = path
        self._name = name
        self._file = _open_member(archive, path, name)
        dtype, shape = self._read_header()
        if dtype.kind not in kinds:
            raise self.error(f"dtype {dtype}", f"a dtype of kinds {kinds!r}")
        self.dtype = dtype
        self.remaining = math.prod(shape)

    def take(self, size: int) -> np.ndarray:
        """Returns the next `size` elements."""
        if size > self.remaining:
            raise self.error(f"{self.remaining} elements", f"{size} or more")
        self.remaining -= size
        data = self._bytes(size * self.dtype.itemsize)
        return np.frombuffer(data, self.dtype)

    def check_end(self) -> None:
        """Raises DataError unless the file ends here, its checksum right."""
        if self.remaining or _read(self._file, self._path, 1):
            raise self.error("elements after those of the last row", "none")

    def error(self, found: str, needed: str) -> data_errors.DataError:
        """Returns the error of something wrong with this array."""
        return data_errors.DataError(
            self._path, f"`{self._name}` with {found}", needed
        )

    def _read_header(self) -> tuple[np.dtype, tuple[int, ...]]:
        """Reads the head of the npy format, version 1, 2 or 3."""
        magic = self._bytes(8)
        size_format = "<H" if magic[6:7] == b"\x01" else "<I"
        size_bytes = self._bytes(struct.calcsize(size_format))
        (size,) = struct.unpack(size_format, size_bytes)
        header = self._bytes(min(size, _MAX_HEADER_BYTES))
        match = _HEADER.fullmatch(header)
        if magic[:6] != b"\x93NUMPY" or not match:
            raise self.error("no npy header of numbers", "an array of numbers")
        try:
            dtype = np.dtype(match[1].decode())
            shape = tuple(map(int, filter(None, match[2].split(b","))))
        except (TypeError, ValueError) as error:
            raise self.error(f"a bad npy header ({error})", "npy") from error
        return dtype, shape

    def _bytes(self, size: int) -> bytes:
        """Reads `size` bytes, of which the archive may hold fewer."""
        pieces = []
        while size:
            piece = _read(self._file, self._path, min(size, _PIECE_BYTES))
            if not piece:
                raise self.error("an early end", f"{size} bytes more")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _open_member(archive: zipfile.ZipFile, path: str, name: str) -> BinaryIO:
    try:
        info = archive.getinfo(name + ".npy")
    except KeyError as error:
        raise data_errors.DataError(
            path, f"no `{name}`", "the arrays of scipy.sparse.save_npz"
        ) from error
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise data_errors.DataError(
            path, f"`{name}` of zip method {info.compress_type}", "0 or 8"
        )
    try:
        return archive.open(info)
    except _ARCHIVE_ERRORS as error:
        raise _archive_error(path, error) from error


def _read(file: BinaryIO, path: str, size: int) -> bytes:
    try:
        return file.read(size)
    except _ARCHIVE_ERRORS as error:
        raise _archive_error(path, error) from error


def _archive_error(path: str, error: Exception) -> data_errors.DataError:
    return data_errors.DataError(
        path, f"no readable npz ({error})", "an npz of scipy.sparse.save_npz"
    )
