"""From what a row says of its labels to label ids."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable

from tfxml.data import files
from tfxml.data.formats import row_checks

# Found and needed: returns the error of the row that is being read.
Fail = Callable[[str, str], Exception]

# A list as json.dumps or str() writes it; nothing that nests.
_ITEM = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[0-9]{1,18})"""
_LIST = re.compile(rf"\s*\[\s*(?:{_ITEM}\s*(?:,\s*{_ITEM}\s*)*,?\s*)?\]\s*")

SEPARATORS = ("|", ";", ",")


class Ids:
    """Labels that rows name by their ids."""

    def __init__(
        self,
        num_labels: int = row_checks.MAX_COLUMNS,
        takes_one: bool = False,
    ):
        """Takes ids below `num_labels`; lists, or also one id by itself."""
        self.num_labels = num_labels
        self._takes_one = takes_one

    def ids(
        self, cell: object, column: str, separator: str | None, fail: Fail
    ) -> list[int]:
        """Returns the label ids in a cell, as they stand there."""
        if self._takes_one:
            cell = [] if cell is None else cell
            cell = [cell] if type(cell) is int else cell
        if not isinstance(cell, list):
            raise fail(f"{type_name(cell)} as `{column}`", "a list of integers")
        for label in cell:
            # bool is a subclass of int, and true is no label
            if type(label) is not int:
                raise fail(f"{type_name(label)} in `{column}`", "integers")
            if not 0 <= label < self.num_labels:
                raise fail(
                    f"label id {label} in `{column}`", f"[0, {self.num_labels})"
                )
        return cell


class Names:
    """Labels that rows name by their names."""

    def __init__(self, names: Iterable[str], source: str | None = None):
        """Gives each name its place as its id.

        Args:
            names: of the labels; the first of those that are the same counts.
            source: the file of the names, which must name every label, and
                whose places rows may give in place of names. None: the names
                are those of the training split, and others are left out.
        """
        self._ids: dict[str, int] = {}
        number = -1
        for number, name in enumerate(names):
            self._ids.setdefault(name, number)
        self.num_labels = number + 1
        self._source = source

    def ids(
        self, cell: object, column: str, separator: str | None, fail: Fail
    ) -> list[int]:
        """Returns the ids of a cell's labels, of those that have one."""
        labels = values(cell, column, separator, fail)
        ids = [self._ids.get(str(label)) for label in labels]
        if self._source is None:
            return [label for label in ids if label is not None]
        return [
            self._place(label, column, fail) if label_id is None else label_id
            for label, label_id in zip(labels, ids, strict=True)
        ]

    def __contains__(self, name: str) -> bool:
        return name in self._ids

    def _place(self, label: str | int, column: str, fail: Fail) -> int:
        text = str(label)
        if re.fullmatch("[0-9]{1,9}", text) and int(text) < self.num_labels:
            return int(text)
        raise fail(
            f"label {files.excerpt(text)} in `{column}`",
            f"a label named in {self._source}, or its place there from 0",
        )


def sort_names(names: Iterable[str]) -> list[str]:
    """Returns names in the order of their ids: whole numbers by value."""
    names = list(names)
    if all(re.fullmatch("[0-9]{1,18}", name) for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def values(
    cell: object, column: str, separator: str | None, fail: Fail
) -> list[str | int]:
    """Returns the labels in a cell, by name or number, as they stand there.

    Args:
        cell: a list, a string, a number, or None for no label. A string that
            is written as a list of strings or numbers is one.
        column: its name.
        separator: splits other strings. None: a string is one label.
        fail: returns the error of the row.
    """
    if cell is None:
        return []
    if isinstance(cell, str):
        labels = _split(cell, separator)
    elif type(cell) is int:
        labels = [cell]
    elif isinstance(cell, list):
        labels = cell
    else:
        raise fail(f"{type_name(cell)} as `{column}`", "a list of labels")
    for label in labels:
        if type(label) is not int and not isinstance(label, str):
            raise fail(
                f"{type_name(label)} in `{column}`",
                "names or whole numbers",
            )
        if label == "":
            raise fail(f"an empty label in `{column}`", "names")
        if isinstance(label, str):
            check_unicode(label, column, fail)
    return labels


def choose_separator(cells: Iterable[object]) -> str | None:
    """Returns what separates labels in strings; None where nothing does."""
    texts = [c for c in cells if isinstance(c, str) and not is_list(c)]
    for separator in SEPARATORS:
        if any(separator in text for text in texts):
            return separator
    return None


def is_list(text: str) -> bool:
    """Tells whether a string is written as a list of labels."""
    return text.lstrip()[:1] == "[" and bool(_LIST.fullmatch(text))


def check_unicode(text: str, column: str, fail: Fail) -> None:
    """Raises the row's error for text that UTF-8 has no bytes for."""
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise fail(
            f"half a surrogate pair in `{column}`", "valid Unicode"
        ) from error


def type_name(value: object) -> str:
    """Returns what JSON's null and others are called in a message."""
    return "null" if value is None else type(value).__name__


def _split(text: str, separator: str | None) -> list[str | int]:
    if is_list(text):
        return list(ast.literal_eval(text.strip()))
    if separator is None:
        parts = [text]
    else:
        parts = text.split(separator)
    return [part.strip() for part in parts if part.strip()]
