"""Parses text rows `label,label id:value id:value`, twice.

`parse` takes a chunk of rows at once with NumPy, at 40 MB/s and more (half of
it where most values have a sign, an exponent or over 15 digits), and gives up
on a chunk that breaks the grammar. `parse_lines` takes line by line and says
which lines are bad. Both accept the same rows:

- labels, then pairs, separated by blanks (spaces or tabs), LF at the end;
- the labels may be missing, with or without the blank that follows them;
- the pairs may be missing; blanks may repeat and may end the row;
- ids are decimal digits, values are decimal numbers, never inf or nan.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import row_checks

# N rows, E features, M labels, T tokens: the texts between separators

# What a byte is; those before DIGIT are the separators that end a token.
_NEWLINE, _COMMA, _BLANK, _COLON, _DOT, _DIGIT, _MARK, _OTHER = range(8)

_BYTES_OF_KIND = {
    _NEWLINE: b"\n",
    _COMMA: b",",
    _BLANK: b" \t",
    _COLON: b":",
    _DOT: b".",
    _DIGIT: b"0123456789",
    _MARK: b"+-eE",
}

# Which separator may end a token, by the one that came before the token.
_AFTER = {
    _NEWLINE: (_NEWLINE, _COMMA, _BLANK, _COLON),
    _COMMA: (_NEWLINE, _COMMA, _BLANK),
    _BLANK: (_COLON,),
    _COLON: (_NEWLINE, _BLANK, _DOT),
    _DOT: (_NEWLINE, _BLANK),
}
# The same where the token is empty: missing labels, blanks that repeat, and
# `.5` or `5.`, whose other side _values looks at.
_AFTER_EMPTY = {
    _NEWLINE: (_NEWLINE, _BLANK),
    _BLANK: (_NEWLINE, _BLANK),
    _COLON: (_DOT,),
    _DOT: (_NEWLINE, _BLANK),
}

_KIND_OF_BYTE = bytes(
    next(
        (kind for kind, text in _BYTES_OF_KIND.items() if byte in text), _OTHER
    )
    for byte in range(256)
)
_POWERS_OF_TEN = 10 ** np.arange(9)

_ID = re.compile(rb"[0-9]{1,18}")
_VALUE = re.compile(rb"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")


class Rows(NamedTuple):
    """A run of N rows as they stand in the file: ids of any order or range."""

    label_splits: np.ndarray  # [N + 1] int64
    label_ids: np.ndarray  # [M] int64
    feature_splits: np.ndarray  # [N + 1] int64
    feature_ids: np.ndarray  # [E] int64
    feature_values: np.ndarray  # [E] float64

    @property
    def num_rows(self) -> int:
        return len(self.label_splits) - 1


def parse(chunk: bytes) -> Rows | None:
    """Returns the rows of whole lines, or None where one may be bad.

    None does not prove an error: ids of more than 8 digits are left to
    `parse_lines` too.
    """
    kinds = np.frombuffer(chunk.translate(_KIND_OF_BYTE), np.uint8)
    if not len(kinds) or kinds.max() == _OTHER:
        return None
    ends = np.flatnonzero(kinds < _DIGIT)
    starts = np.append(0, ends[:-1] + 1)
    lengths = ends - starts
    after = kinds[ends]
    before = np.append(np.uint8(_NEWLINE), after[:-1])
    if not _allowed()[(before << 4) | (after << 1) | (lengths > 0)].all():
        return None

    is_odd = lengths > 8
    is_odd[np.searchsorted(ends, np.flatnonzero(kinds == _MARK))] = True
    is_feature = after == _COLON
    is_value = before == _COLON
    is_label = (before <= _COMMA) & (lengths > 0) & ~is_feature
    if (is_odd & (is_feature | is_label)).any():
        return None

    numbers = _integers(chunk, starts, lengths)
    tokens = _Tokens(starts, ends, after, is_odd, numbers)
    values = _values(chunk, tokens, np.flatnonzero(is_value))
    if values is None:
        return None
    rows = np.flatnonzero(after == _NEWLINE)
    return Rows(
        instances.splits_from_lengths(is_label)[np.append(0, rows + 1)],
        numbers[is_label],
        instances.splits_from_lengths(is_value)[np.append(0, rows + 1)],
        numbers[is_feature],
        values,
    )


def parse_lines(
    source: row_checks.Source, chunk: bytes, bad: bad_rows.BadRows
) -> tuple[Rows, np.ndarray]:
    """Returns the rows of whole lines, and which of them are bad, [N] bool.

    A bad row that is skipped is empty. `source` is that of the first row.
    """
    labels: list[int] = []
    ids: list[int] = []
    values: list[float] = []
    label_counts, feature_counts, is_bad = [], [], []
    for number, line in enumerate(chunk.split(b"\n")[:-1]):
        try:
            row_labels, row_ids, row_values = _parse_line(source, number, line)
            is_bad.append(False)
        except data_errors.RowError as error:
            bad.take(error)
            is_bad.append(True)
            row_labels, row_ids, row_values = [], [], []
        labels += row_labels
        ids += row_ids
        values += row_values
        label_counts.append(len(row_labels))
        feature_counts.append(len(row_ids))
    rows = Rows(
        instances.splits_from_lengths(label_counts),
        np.array(labels, np.int64),
        instances.splits_from_lengths(feature_counts),
        np.array(ids, np.int64),
        np.array(values, np.float64),
    )
    return rows, np.array(is_bad, bool)


def cut(rows: Rows, first: int, last: int) -> Rows:
    """Returns rows first .. last - 1 of a run."""
    labels = slice(*rows.label_splits[[first, last]])
    features = slice(*rows.feature_splits[[first, last]])
    return Rows(
        rows.label_splits[first : last + 1] - labels.start,
        rows.label_ids[labels],
        rows.feature_splits[first : last + 1] - features.start,
        rows.feature_ids[features],
        rows.feature_values[features],
    )


def _parse_line(
    source: row_checks.Source, row: int, line: bytes
) -> tuple[list[int], list[int], list[float]]:
    """Returns labels, feature ids and values; raises RowError."""
    fail = functools.partial(source.error, row)
    row_labels, pairs = _split_row(line.replace(b"\t", b" "))
    labels = [_parse_id("label", text, fail) for text in row_labels]
    ids, values = [], []
    for pair in pairs:
        feature, colon, value = pair.partition(b":")
        if not colon:
            raise fail(files.excerpt(pair), "a pair `id:value`")
        ids.append(_parse_id("feature", feature, fail))
        values.append(_parse_value(value, fail))
    return labels, ids, values


class _Tokens(NamedTuple):
    starts: np.ndarray  # [T] int64
    ends: np.ndarray  # [T] int64
    after: np.ndarray  # [T] uint8, the separator at the end
    is_odd: np.ndarray  # [T] bool, more than 8 digits or other than digits
    numbers: np.ndarray  # [T] int64, of those that are not odd


def _allowed() -> np.ndarray:
    """Returns whether a token may stand between two separators, [256] bool.

    Indexed by the separator before, the one after (3 bits) and whether the
    token is not empty (1 bit).
    """
    table = np.zeros(256, bool)
    for is_full, pairs in enumerate((_AFTER_EMPTY, _AFTER)):
        for before, after in pairs.items():
            table[[(before << 4) | (a << 1) | is_full for a in after]] = True
    return table


def _integers(
    chunk: bytes, starts: np.ndarray, lengths: np.ndarray
) -> np.ndarray:
    """Returns the tokens as numbers, [T] int64; only odd ones come out wrong.

    The 8 bytes from a token's start are one little-endian word. Shifted so
    that the last digit is its highest byte, it yields the number in three
    multiplications: pairs of digits, then of pairs, then of fours.
    """
    padded = np.frombuffer(chunk + bytes(8), np.uint8)
    words: np.ndarray = np.ndarray(len(chunk), "<u8", padded, strides=(1,))
    shifts = 64 - 8 * np.minimum(lengths, 8)
    word = words[starts] << shifts.view(np.uint64)
    for mask, factor, shift in (
        (0x0F0F0F0F0F0F0F0F, 1 + (10 << 8), 8),
        (0x00FF00FF00FF00FF, 1 + (100 << 16), 16),
        (0x0000FFFF0000FFFF, 1 + (10000 << 32), 32),
    ):
        word &= np.uint64(mask)
        word *= np.uint64(factor)
        word >>= np.uint64(shift)
    return word.view(np.int64)


def _values(
    chunk: bytes, tokens: _Tokens, first: np.ndarray
) -> np.ndarray | None:
    """Returns the values that start at tokens `first`, [E] float64.

    A quotient of integers below 2**53 is rounded once, as float() rounds
    (Clinger 1990); float() itself takes the values that need more.
    """
    values = tokens.numbers[first].astype(np.float64)
    is_odd = tokens.is_odd[first]
    has_dot = tokens.after[first] == _DOT
    last = first + has_dot

    dotted = first[has_dot]
    decimals = tokens.ends[dotted + 1] - tokens.starts[dotted + 1]
    if (tokens.ends[dotted] - tokens.starts[dotted] + decimals == 0).any():
        return None  # a dot without digits
    power = _POWERS_OF_TEN[np.minimum(decimals, 8)]
    mantissa = tokens.numbers[dotted] * power + tokens.numbers[dotted + 1]
    values[has_dot] = mantissa / power
    is_odd[has_dot] |= tokens.is_odd[dotted + 1] | (mantissa >= 2**53)

    starts = tokens.starts[first[is_odd]].tolist()
    ends = tokens.ends[last[is_odd]].tolist()
    try:
        values[is_odd] = [
            float(chunk[start:end])
            for start, end in zip(starts, ends, strict=True)
        ]
    except ValueError:
        return None
    return values


def _split_row(row: bytes) -> tuple[list[bytes], list[bytes]]:
    """Returns the texts of a row's labels and pairs."""
    labels, blank, pairs = row.partition(b" ")
    if b":" in labels:
        labels, pairs = b"", row
    return (
        labels.split(b",") if labels else [],
        [pair for pair in pairs.split(b" ") if pair],
    )


def _parse_id(noun: str, text: bytes, fail: Callable) -> int:
    if not _ID.fullmatch(text):
        raise fail(f"{noun} id {files.excerpt(text)}", "decimal digits")
    return int(text)


def _parse_value(text: bytes, fail: Callable) -> float:
    if not _VALUE.fullmatch(text):
        raise fail(f"value {files.excerpt(text)}", "a finite number")
    return float(text)
