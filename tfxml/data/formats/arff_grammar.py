"""The grammar of ARFF files: attributes, and rows dense or sparse.

https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tfxml.data import data_errors, files

_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_CELL = re.compile(rf"\s*({_QUOTED}|[^,'\"]*?)\s*(?:,|$)")
_PAIR = re.compile(rf"\s*([0-9]{{1,9}})\s+({_QUOTED}|[^,'\"]+?)\s*(?:,|$)")
_ATTRIBUTE = re.compile(rf"\s*({_QUOTED}|[^\s'\"{{]\S*)\s+(.*?)\s*")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_NUMERIC = ("numeric", "real", "integer")


class Attribute(NamedTuple):
    """A column: its name, and its values if it is nominal."""

    name: str
    values: tuple[str, ...] | None  # None: numbers


class Header(NamedTuple):
    """What stands before the rows."""

    relation: str
    attributes: list[Attribute]
    line: int  # of @data


def read_header(path: str) -> Header:
    """Returns the attributes of a file, gzip if its name ends in .gz.

    Raises DataError with the line of what is wrong.
    """
    relation, attributes = "", []
    number = 0
    for number, line in lines(path):
        keyword, _, rest = line.strip().partition(" ")
        keyword, _, tab = keyword.partition("\t")
        rest = f"{tab} {rest}".strip()
        if keyword.lower() == "@relation":
            relation = unquote(rest)
        elif keyword.lower() == "@attribute":
            attributes.append(_attribute(path, number, rest))
        elif keyword.lower() == "@data":
            return Header(relation, attributes, number)
        else:
            raise data_errors.DataError(
                path,
                files.excerpt(line),
                "@relation, @attribute or @data",
                number,
            )
    raise data_errors.DataError(path, "no @data", "@data before rows", number)


def lines(path: str, start: int = 1) -> Iterator[tuple[int, str]]:
    """Yields the lines that are neither blank nor comments, and their numbers.

    Bytes that are not UTF-8 become lone surrogates.
    """
    for first, chunk in files.line_chunks(path, start=start):
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            text = line.strip()
            if text and not text.startswith(b"%"):
                yield number, line.decode("utf-8", "surrogateescape")


def cells(
    line: str, num_attributes: int, fail: Callable[[str, str], Exception]
) -> Iterator[tuple[int, str]]:
    """Yields a row's attributes and their values, as they stand there.

    Those that a sparse row leaves out have their first value, or 0.
    """
    text = line.strip()
    if text[:1] != "{":
        values = _split(text, _CELL, fail)
        if len(values) != num_attributes:
            raise fail(
                f"{len(values)} values", f"{num_attributes}, one an attribute"
            )
        yield from ((i, unquote(v)) for i, (v,) in enumerate(values))
        return
    if text[-1:] != "}":
        raise fail(files.excerpt(text), "a sparse row that ends with }")
    seen = set()
    for index, value in _split(text[1:-1], _PAIR, fail):
        if int(index) >= num_attributes or int(index) in seen:
            raise fail(
                f"attribute {index}",
                f"attributes from 0 to {num_attributes - 1}, each once",
            )
        seen.add(int(index))
        yield int(index), unquote(value)


def number(text: str, fail: Callable[[str, str], Exception]) -> float:
    """Returns a value that is a number, finite as float()."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise fail(f"value {files.excerpt(text)}", "a finite number")
    return float(text)


def unquote(text: str) -> str:
    """Returns a name or value without quotes and backslashes."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _attribute(path: str, line: int, text: str) -> Attribute:
    def fail(found, needed):
        return data_errors.DataError(path, found, needed, line)

    match = _ATTRIBUTE.fullmatch(text)
    if not match:
        raise fail(files.excerpt(text), "the name and type of an attribute")
    name, kind = unquote(match[1]), match[2]
    if kind[:1] == "{" and kind[-1:] == "}":
        values = [unquote(v) for (v,) in _split(kind[1:-1], _CELL, fail)]
        return Attribute(name, tuple(values))
    if kind.split(" ")[0].lower() in _NUMERIC:
        return Attribute(name, None)
    raise fail(
        f"type {files.excerpt(kind)} of {name}",
        f"{', '.join(_NUMERIC)} or the values in braces",
    )


def _split(text: str, pattern: re.Pattern, fail) -> list[tuple[str, ...]]:
    """Returns the groups of matches that follow each other to the end."""
    found, place = [], 0
    text = text.strip()
    while place < len(text):
        match = pattern.match(text, place)
        if not match or match.end() == place:
            raise fail(files.excerpt(text[place:]), "values between commas")
        found.append(match.groups())
        place = match.end()
    if text[-1:] == ",":
        raise fail("a comma at the end", "a value after each comma")
    return found
