"""Reads files, gzip or not, in bounded runs of whole lines."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from tfxml.data import errors

CHUNK_BYTES = 1 << 20
# No row of a real data set comes near; it bounds what junk can make us hold.
MAX_LINE_BYTES = 1 << 26

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def open_binary(path: str) -> BinaryIO:
    """Opens a file for reading; one whose name ends in .gz through gzip."""
    if os.fspath(path).endswith(".gz"):
        return gzip.open(path, "rb")
    return open(path, "rb")


def line_chunks(
    path: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, bytes]]:
    """Yields runs of whole lines, each with the number of its first line.

    A UTF-8 byte order mark is dropped, CRLF becomes LF and the last line ends
    with LF too. Raises DataError for damaged gzip data and for a line longer
    than MAX_LINE_BYTES.
    """
    line = 1
    pieces, held = [], 0  # the start of a line that the next read goes on with
    with open_binary(path) as file:
        while data := _read(file, path, chunk_bytes):
            cut = data.rfind(b"\n") + 1
            if cut:
                chunk = _clean(b"".join([*pieces, data[:cut]]), line)
                yield line, chunk
                line += chunk.count(b"\n")
                pieces, held = [], 0
            pieces.append(data[cut:])
            held += len(data) - cut
            if held > MAX_LINE_BYTES:
                raise errors.DataError(
                    path,
                    f"more than {MAX_LINE_BYTES} bytes without a line break",
                    "shorter lines",
                    line,
                )
    if held:
        last = _clean(b"".join(pieces) + b"\n", line)
        if last != b"\n" or line > 1:  # no line: nothing but the mark
            yield line, last


def first_line(path: str) -> bytes:
    """Returns the first line without its end; b"" for an empty file."""
    with contextlib.closing(line_chunks(path, 4096)) as chunks:
        for _, chunk in chunks:
            return chunk.partition(b"\n")[0]
    return b""


def text_line_chunks(
    path: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, list[str]]]:
    """Yields runs of UTF-8 lines, each with the number of its first line.

    Raises DataError where line_chunks does and for bytes that are not UTF-8.
    """
    for first, chunk in line_chunks(path, chunk_bytes):
        lines = enumerate(chunk.split(b"\n")[:-1], first)
        yield first, [_decode(path, number, line) for number, line in lines]


def excerpt(text: bytes | str, size: int = 40) -> str:
    """Returns the start of a text, quoted, for a message."""
    quoted = repr(text[:size]).removeprefix("b")
    return quoted if len(text) <= size else quoted + "..."


def _clean(chunk: bytes, line: int) -> bytes:
    if line == 1:
        chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
    return chunk.replace(b"\r\n", b"\n") if b"\r" in chunk else chunk


def _decode(path: str, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"the bytes {excerpt(line[error.start :])}"
        raise errors.DataError(path, found, "UTF-8", number) from error


def _read(file: BinaryIO, path: str, size: int) -> bytes:
    try:
        return file.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise errors.DataError(
            path, f"damaged gzip data ({error})", "a whole gzip file"
        ) from error
