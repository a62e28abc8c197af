"""Reads files, gzip or not, in bounded runs of whole lines."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections.abc import Generator, Iterator
from typing import BinaryIO

import numpy as np

from tfxml.data import data_errors

CHUNK_BYTES = 1 << 20
# Far longer than rows of real data sets; bounds the memory that junk can take.
MAX_LINE_BYTES = 1 << 26

# Replaces a longer line; its zero bytes are in no row.
TOO_LONG = b"\0longer-than-%d-bytes\0" % MAX_LINE_BYTES

_TOO_LONG_WORDS = (
    f"more than {MAX_LINE_BYTES} bytes without a line break",
    "shorter lines",
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def open_binary(path: str) -> BinaryIO | gzip.GzipFile:
    """Opens a file for reading; one whose name ends in .gz through gzip."""
    if os.fspath(path).endswith(".gz"):
        return gzip.open(path, "rb")
    return open(path, "rb")


def line_chunks(
    path: str,
    chunk_bytes: int = CHUNK_BYTES,
    start: int = 1,
    is_marking: bool = False,
) -> Generator[tuple[int, bytes], None, None]:
    """Yields runs of whole lines, each with the number of its first line.

    A UTF-8 byte order mark is dropped, CRLF becomes LF and the last line ends
    with LF too.

    Args:
        path: the file, gzip if its name ends in .gz.
        chunk_bytes: about how long a run is.
        start: the first line to yield, from 1.
        is_marking: whether a line longer than MAX_LINE_BYTES, which is never
            in memory, is replaced by TOO_LONG, which no format accepts as a
            row.

    Raises:
        DataError: for damaged gzip data, and for a line that is too
            long unless `is_marking`.
    """
    line = 1
    line_parts: list[bytes] = []  # the start of a line that the next read ends
    num_held = 0  # bytes in pieces
    is_dropping = False  # the rest of a line that is too long
    with open_binary(path) as file:
        while data := _read(file, path, chunk_bytes):
            if line < start:
                line, data = _skip(data, line, start)
            if is_dropping:
                data = data[data.find(b"\n") :] if b"\n" in data else b""
                is_dropping = not data
            cut = data.rfind(b"\n") + 1
            if cut:
                chunk = _clean(b"".join([*line_parts, data[:cut]]), line)
                yield line, chunk
                line += chunk.count(b"\n")
                line_parts, num_held = [], 0
            line_parts.append(data[cut:])
            num_held += len(data) - cut
            if num_held > MAX_LINE_BYTES:
                if not is_marking:
                    raise _too_long(path, line)
                line_parts, num_held, is_dropping = (
                    [TOO_LONG],
                    len(TOO_LONG),
                    True,
                )
    if num_held:
        last = _clean(b"".join(line_parts) + b"\n", line)
        if last != b"\n" or line > 1:  # no line: nothing but the mark
            yield line, last


def first_line(path: str) -> bytes:
    """Returns the first line without its end; b"" for an empty file."""
    with contextlib.closing(line_chunks(path, 4096)) as chunks:
        for _, chunk in chunks:
            return chunk.partition(b"\n")[0]
    return b""


def first_lines(chunk: bytes, num_lines: int) -> bytes:
    """Returns the first lines of a run of whole lines."""
    if not num_lines:
        return b""
    if chunk.count(b"\n") <= num_lines:
        return chunk
    _, rest = _skip(chunk, 0, num_lines)
    return chunk[: len(chunk) - len(rest)]


def text_line_chunks(
    path: str, chunk_bytes: int = CHUNK_BYTES
) -> Iterator[tuple[int, list[str]]]:
    """Yields runs of UTF-8 lines, each with the number of its first line.

    Raises DataError where line_chunks does and for bytes that are not UTF-8.
    """
    for first, chunk in line_chunks(path, chunk_bytes):
        lines = enumerate(chunk.split(b"\n")[:-1], first)
        yield first, [decode(path, number, line) for number, line in lines]


def decode(path: str, number: int, line: bytes) -> str:
    """Returns a line as text.

    Raises RowError for bytes that are not UTF-8, and for TOO_LONG.
    """
    if line == TOO_LONG:
        raise data_errors.RowError(path, *_TOO_LONG_WORDS, number)
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        bad_bytes = f"the bytes {excerpt(line[error.start :])}"
        raise data_errors.RowError(path, bad_bytes, "UTF-8", number) from error


def count_lines(path: str) -> int:
    """Returns the number of lines without the blank ones at the end."""
    num_lines = num_breaks = 0  # seen: breaks so far
    with open_binary(path) as file:
        while data := _read(file, path, CHUNK_BYTES):
            if text := data.rstrip():
                num_lines = num_breaks + text.count(b"\n") + 1
            num_breaks += data.count(b"\n")
    return num_lines


def excerpt(text: bytes | str, size: int = 40) -> str:
    """Returns the start of a text, quoted, for a message."""
    quoted = repr(text[:size]).removeprefix("b")
    return quoted if len(text) <= size else quoted + "..."


def _clean(chunk: bytes, line: int) -> bytes:
    if line == 1:
        chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
    return chunk.replace(b"\r\n", b"\n") if b"\r" in chunk else chunk


def _skip(data: bytes, line: int, start: int) -> tuple[int, bytes]:
    """Returns the line that is reached, at most `start`, and the rest."""
    num_breaks = data.count(b"\n")
    if line + num_breaks < start:
        return line + num_breaks, b""
    breaks = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
    return start, data[breaks[start - line - 1] + 1 :]


def _too_long(path: str, line: int) -> data_errors.DataError:
    return data_errors.DataError(path, *_TOO_LONG_WORDS, line)


def _read(file: BinaryIO | gzip.GzipFile, path: str, size: int) -> bytes:
    try:
        return file.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise data_errors.DataError(
            path, f"damaged gzip data ({error})", "a whole gzip file"
        ) from error
    except OSError as error:  # of a read, which does not name the file
        raise OSError(error.errno, error.strerror, path) from error
