"""Reads NumPy's arrays: those of an npz archive in pieces, npy files mapped.

Unlike numpy.load this never believes a size in a header: memory grows with
the bytes that are there. Nothing is unpickled.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Literal, NamedTuple

import numpy as np

from tfxml.data import data_errors

_PIECE_BYTES = 1 << 22
_MAX_HEADER_BYTES = 10_000
_HEADER = re.compile(
    rb"\{\s*'descr':\s*'([<>=|]?[biufSU][1-9][0-9]?)',"
    rb"\s*'fortran_order':\s*(False|True),"
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


class Header(NamedTuple):
    """What the head of an array in npy format says."""

    dtype: np.dtype
    is_fortran: bool
    shape: tuple[int, ...]


class Array:
    """An array in an archive, its elements read from front to back."""

    def __init__(
        self, archive: zipfile.ZipFile, path: str, name: str, kinds: str
    ):
        """Opens array `name`, whose dtype must be of one of `kinds`."""
        self._path = path
        self._name = name
        self._file = _open_member(archive, path, name)
        self._dtype, self.is_fortran, self.shape = _read_header(
            self._bytes, kinds, self.error
        )
        self.remaining = math.prod(self.shape)

    def take(self, size: int) -> np.ndarray:
        """Returns the next `size` elements."""
        if size > self.remaining:
            raise self.error(f"{self.remaining} elements", f"{size} or more")
        self.remaining -= size
        data = self._bytes(size * self._dtype.itemsize)
        return np.frombuffer(data, self._dtype)

    def take_all(self) -> np.ndarray:
        """Returns the elements that are left."""
        elements = self.take(self.remaining)
        self.check_end()
        return elements

    def check_end(self) -> None:
        """Raises DataError unless the file ends here, its checksum right."""
        if self.remaining or _read(self._file, self._path, 1):
            raise self.error("elements after those of the last row", "none")

    def error(self, found: str, needed: str) -> data_errors.DataError:
        """Returns the error of something wrong with this array."""
        return data_errors.DataError(
            self._path, f"`{self._name}` with {found}", needed
        )

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


class MappedArray:
    """An array in a plain npy file, mapped into memory."""

    def __init__(self, path: str, kinds: str):
        """Opens the file, whose dtype must be of one of `kinds`."""
        self._path = path
        with open(path, "rb") as file:
            dtype, is_fortran, self.shape = _read_header(
                file.read, kinds, self.error
            )
            start = file.tell()
            size = file.seek(0, os.SEEK_END) - start
        needed = math.prod(self.shape) * dtype.itemsize
        if size != needed:
            raise self.error(
                f"{size} bytes after the header",
                f"{needed}, as its shape {self.shape} says",
            )
        order: Literal["C", "F"] = "F" if is_fortran else "C"
        self.cells: np.ndarray
        if size:
            self.cells = np.memmap(path, dtype, "r", start, self.shape, order)
        else:  # nothing can be mapped
            self.cells = np.zeros(self.shape, dtype)

    def error(self, found: str, needed: str) -> data_errors.DataError:
        """Returns the error of something wrong with this array."""
        return data_errors.DataError(self._path, found, needed)


def only_array(archive: zipfile.ZipFile, path: str, kinds: str) -> Array:
    """Returns the array of an archive that holds no other."""
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    if len(names) != 1:
        raise data_errors.DataError(
            path,
            f"the arrays {', '.join(names[:9]) or 'of an empty archive'}",
            "one dense matrix, or the arrays of scipy.sparse.save_npz",
        )
    return Array(archive, path, names[0], kinds)


def _read_header(
    read: Callable[[int], bytes],
    kinds: str,
    error: Callable[[str, str], data_errors.DataError],
) -> Header:
    """Reads the head of the npy format, version 1, 2 or 3."""
    magic = read(8)
    size_format = "<H" if magic[6:7] == b"\x01" else "<I"
    size_bytes = read(struct.calcsize(size_format))
    if magic[:6] != b"\x93NUMPY" or len(size_bytes) < 2:
        raise error("no npy header", "an array of numbers")
    size = int.from_bytes(size_bytes, "little")
    match = _HEADER.fullmatch(read(min(size, _MAX_HEADER_BYTES)))
    if not match:
        raise error("no npy header of numbers", "an array of numbers")
    try:
        dtype = np.dtype(match[1].decode())
        shape = tuple(map(int, filter(None, match[3].split(b","))))
    except (TypeError, ValueError) as cause:
        raise error(f"a bad npy header ({cause})", "npy") from cause
    if dtype.kind not in kinds:
        raise error(f"dtype {dtype}", f"a dtype of kinds {kinds!r}")
    return Header(dtype, match[2] == b"True", shape)


def _open_member(archive: zipfile.ZipFile, path: str, name: str) -> IO[bytes]:
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


def _read(file: IO[bytes], path: str, size: int) -> bytes:
    try:
        return file.read(size)
    except _ARCHIVE_ERRORS as error:
        raise _archive_error(path, error) from error


def _archive_error(path: str, error: Exception) -> data_errors.DataError:
    return data_errors.DataError(
        path, f"no readable npz ({error})", "an npz of scipy.sparse.save_npz"
    )
