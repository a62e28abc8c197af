"""Reads requests for predictions: one JSON object per line."""

from __future__ import annotations

import gzip
import io
import json
import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, NoReturn

import numpy as np

from tfxml.data import data_errors, files

_MAX_FLOAT = float(np.finfo(np.float32).max)
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARKS = {
    b"\xff\xfe\0\0": "UTF-32",
    b"\0\0\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}

# Takes what was found and what is needed; raises the error of the line.
_Fail = Callable[[str, str], NoReturn]


class Request(NamedTuple):
    """One instance: text, or features."""

    text: str | None = None
    feature_ids: np.ndarray | None = None  # [E] int32, ascending
    feature_values: np.ndarray | None = None  # [E] float32
    uid: str | int | float | None = None
    line: int | None = None  # line number, from 1

    def features(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns feature ids and values, [E] each.

        Raises:
            ValueError: if the request is text.
        """
        if self.feature_ids is None or self.feature_values is None:
            raise ValueError("`request` must hold features. Received: text")
        return self.feature_ids, self.feature_values


class Skipped(NamedTuple):
    """A line that is no request."""

    error: data_errors.RowError | None  # None: it is blank
    line: int


def lines(source: io.BufferedReader, name: str) -> Iterator[bytes]:
    """Yields the lines of an open file as they come, gzip or not.

    A UTF-8 byte order mark is dropped. A line of more than
    `files.MAX_LINE_BYTES` comes as `files.TOO_LONG`.

    Args:
        source: a binary file.
        name: its name in errors.

    Raises:
        DataError: if the rest cannot be read; names the line.
    """
    number = 1
    try:
        if source.peek(2)[:2] == _GZIP:
            source = io.BufferedReader(gzip.GzipFile(fileobj=source))
        while line := source.readline(files.MAX_LINE_BYTES + 1):
            if len(line) > files.MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = source.readline(files.MAX_LINE_BYTES)
                line = files.TOO_LONG
            if number == 1:
                line = _without_mark(line, name)
            yield line
            number += 1
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise data_errors.DataError(
            name, f"damaged gzip data ({error})", "a whole gzip file", number
        ) from error
    except OSError as error:
        raise data_errors.DataError(
            name,
            error.strerror or str(error),
            "a file that can be read",
            number,
        ) from error


def read(
    lines: Iterable[bytes | str],
    name: str,
    num_features: int,
    is_text: bool,
    is_skipping: bool = False,
    title_weight: int = 1,
) -> Iterator[Request | Skipped]:
    """Yields a request for each line, in order.

    Args:
        lines: the JSON lines.
        name: the file's name in errors.
        num_features: D; feature ids must be below.
        is_text: whether the model reads text. If so, requests may also have
            the features that its text features compute.
        is_skipping: whether a bad line is yielded as `Skipped`, as blank lines
            always are.
        title_weight: how often a title is read, as in training.

    Raises:
        RowError: for a bad line, unless `is_skipping`.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            yield Skipped(None, number)
            continue
        try:
            row = _parse(line, name, number)
            yield of_row(row, name, number, num_features, is_text, title_weight)
        except data_errors.RowError as error:
            if not is_skipping:
                raise
            yield Skipped(error, number)


def _without_mark(line: bytes, name: str) -> bytes:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if line.startswith(mark):
            raise data_errors.DataError(name, encoding, "UTF-8", 1)
    return line.removeprefix(b"\xef\xbb\xbf")


def of_row(
    row: object,
    name: str,
    number: int,
    num_features: int,
    is_text: bool,
    title_weight: int = 1,
) -> Request:
    """Returns the request that a value of JSON is; see `read`.

    Args:
        row: an object, as `json.loads` returns it.
        name, number: where it stands, as errors say it.
        num_features: D; feature ids must be below.
        is_text: whether the model reads text.
        title_weight: how often a title is read, as in training.

    Raises:
        RowError: for anything that is no request.
    """

    def fail(found: str, needed: str) -> NoReturn:
        raise data_errors.RowError(name, found, needed, number)

    if not isinstance(row, dict):
        fail(type(row).__name__, "a JSON object")
    uid = _uid(row, fail)
    if "feature_ids" in row:
        ids, values = _features(row, num_features, fail)
        return Request(None, ids, values, uid, number)
    text = _text(row, title_weight, fail)
    if not is_text:
        fail("text", "feature_ids and feature_values, as in training")
    return Request(text, None, None, uid, number)


def _parse(line: bytes | str, name: str, number: int) -> object:
    def fail(found: str, needed: str) -> NoReturn:
        raise data_errors.RowError(name, found, needed, number)

    if isinstance(line, bytes):
        line = files.decode(name, number, line)
    try:
        return json.loads(
            line, parse_constant=lambda word: fail(word, "finite numbers")
        )
    except RecursionError:
        fail("JSON nested too deeply", "a JSON object")
    except data_errors.DataError:
        raise
    except ValueError as error:
        fail(f"{files.excerpt(line)} ({error})", "a JSON object")


def _uid(row: dict, fail: _Fail) -> str | int | float | None:
    uid = row.get("uid")
    if isinstance(uid, str):
        _check_text(uid, fail)
    elif isinstance(uid, int | float):
        if not math.isfinite(uid):
            fail(f"uid={uid}", "a finite number")
    elif uid is not None:
        fail(f"{type(uid).__name__} as uid", "a string or a number")
    return uid


def _text(row: dict, title_weight: int, fail: _Fail) -> str:
    keys = [key for key in ("text", "title", "content") if key in row]
    if not keys:
        fail(
            f"the keys {sorted(row)}"[:200],
            "text, title or content, or feature_ids and feature_values",
        )
    if keys[0] == "text" and len(keys) > 1:
        fail(f"text beside {' and '.join(keys[1:])}", "one of both")
    times = {"title": title_weight}
    parts = [
        row[key]
        for key in keys
        if row[key] is not None
        for _ in range(times.get(key, 1))
    ]
    if not all(isinstance(part, str) for part in parts):
        fail("a value that is no string", f"strings in {' and '.join(keys)}")
    text = " ".join(part for part in parts if part)
    _check_text(text, fail)
    return text


def _check_text(text: str, fail: _Fail) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        fail("half of a surrogate pair", "text in Unicode")


def _features(
    row: dict, num_features: int, fail: _Fail
) -> tuple[np.ndarray, np.ndarray]:
    ids, values = row["feature_ids"], row.get("feature_values")
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        fail(f"feature_ids={ids!r}"[:80], "a list of whole numbers")
    if values is None:
        values = [1.0] * len(ids)
    if not isinstance(values, list) or not all(
        type(v) in (int, float) and abs(v) <= _MAX_FLOAT for v in values
    ):
        fail(f"feature_values={values!r}"[:80], "a list of finite numbers")
    if len(ids) != len(values):
        fail(f"{len(ids)} ids and {len(values)} values", "as many of both")
    bad_ids = [i for i in ids if not 0 <= i < num_features]
    if bad_ids:
        fail(
            f"feature id {bad_ids[0]}"[:80],
            f"ids from 0 to {num_features - 1}",
        )
    # As in a row of data: ascending, repeated features added up.
    ids, positions = np.unique(np.array(ids, np.int32), return_inverse=True)
    sums = np.bincount(positions, values, len(ids))
    if np.any(np.abs(sums) > _MAX_FLOAT):
        fail("values that add up beyond float32", "finite numbers")
    return ids, sums.astype(np.float32)
