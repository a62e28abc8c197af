"""Chooses the columns of a table that hold text, labels and weights."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable

from tfxml.data import data_errors
from tfxml.data.formats import label_space, read_options

# Texts are joined in this order.
TEXT_KEYS = (
    "title",
    "headline",
    "abstract",
    "summary",
    "description",
    "question",
    "text",
    "content",
    "body",
    "document",
    "sentence",
)
TITLE_KEYS = ("title", "headline")
LABEL_KEYS = (
    "labels",
    "label",
    "target_ind",
    "tags",
    "tag",
    "categories",
    "category",
    "subjects",
    "subject",
    "topics",
    "topic",
    "keywords",
    "classes",
    "targets",
)
_NEVER_TEXT = frozenset(("uid", "id", "url"))


@dataclasses.dataclass(frozen=True)
class Columns:
    """Which columns are read."""

    text: tuple[str, ...]  # a title several times, where it weighs more
    label: str
    separator: str | None = None  # of labels in one string; None: one label
    weight: str = ""  # "": none
    is_chosen_text: bool = True  # False: a person said which

    @functools.cached_property
    def not_text(self) -> frozenset[str]:
        """Keys that are read, or that hold no text whatever they hold."""
        return frozenset(self.names()) | _NEVER_TEXT

    def names(self) -> list[str]:
        weight = [self.weight] * bool(self.weight)
        return [*dict.fromkeys(self.text), self.label, *weight]

    @property
    def has_title(self) -> bool:
        """Whether one column is a title, and another is not."""
        return 0 < sum(key in TITLE_KEYS for key in self.text) < len(self.text)

    def with_title_weight(self, weight: int) -> Columns:
        """Returns the columns with titles read so many times."""
        times = {key: weight for key in TITLE_KEYS}
        text = [key for key in self.text for _ in range(times.get(key, 1))]
        return dataclasses.replace(self, text=tuple(text))

    def describe(self) -> str:
        """Returns a sentence for a person."""
        counts = collections.Counter(self.text)
        text = [
            key if counts[key] == 1 else f"{key} ({counts[key]} times)"
            for key in counts
        ]
        words = f"text is read from {' and '.join(text)}"
        words += f", labels from {self.label}"
        if self.separator:
            words += f", separated by {self.separator!r}"
        return words + (f", weights from {self.weight}" * bool(self.weight))


# As the LF sets of the Extreme Classification Repository have them.
LF = Columns(("title", "content"), "target_ind")


def choose(
    path: str,
    keys: Collection[str],
    cells: Callable[[str], Iterable[object]],
    options: read_options.ReadOptions,
    is_splitting: bool,
) -> Columns:
    """Returns the columns that the options name, else those of usual names.

    Args:
        path: the file, which errors name.
        keys: its columns.
        cells: returns some cells of a column.
        options: those of tables.
        is_splitting: whether strings of labels are split without being told.

    Raises:
        DataError: with the keys that are there.
    """
    keys = sorted(keys)
    for key in (
        *options.text_columns,
        *filter(None, (options.label_column, options.weight_column)),
    ):
        if key not in keys:
            raise _error(path, keys, f"`{key}`, which an option names")
    label = options.label_column or _first(keys, LABEL_KEYS)
    if label is None:
        raise _error(
            path,
            keys,
            "labels under one of "
            f"{', '.join(LABEL_KEYS)}, or --label_column to name theirs",
        )
    taken = {label, options.weight_column}
    text = options.text_columns or tuple(
        key for key in _all(keys, TEXT_KEYS) if key not in taken
    )
    if not text:
        raise _error(
            path,
            keys,
            f"text under one of {', '.join(TEXT_KEYS)}, or --text_columns "
            "to name theirs",
        )
    separator = options.label_separator or None
    if is_splitting and separator is None:
        separator = label_space.choose_separator(cells(label))
    columns = Columns(
        text, label, separator, options.weight_column, not options.text_columns
    )
    if options.title_weight > 1 and not columns.has_title:
        raise _error(
            path,
            keys,
            f"a {' or '.join(TITLE_KEYS)} beside other text, for "
            f"--title_weight={options.title_weight}",
        )
    return columns.with_title_weight(options.title_weight)


def text_of(record: dict, columns: Columns, fail: label_space.Fail) -> str:
    """Returns a record's text, its columns joined by a space.

    A column that is missing, null or empty adds nothing. A record whose text
    stands elsewhere is an error rather than an empty text.
    """
    parts = []
    for key in columns.text:
        part = record.get(key)
        if part is None:
            continue
        if not isinstance(part, str):
            raise fail(
                f"{label_space.type_name(part)} as `{key}`", "a string or null"
            )
        if part:
            label_space.check_unicode(part, key, fail)
            parts.append(part)
    if columns.is_chosen_text:
        _check_elsewhere(record, columns, fail)
    elif not any(key in record for key in columns.text):
        raise fail(
            f"no text among the keys {listing(record)}",
            f"text under {' or '.join(dict.fromkeys(columns.text))}",
        )
    return " ".join(parts)


def _check_elsewhere(record: dict, columns: Columns, fail) -> None:
    """Raises the row's error for text that is in no column that is read."""
    others = record.keys() - columns.not_text
    if others and any(key in record for key in columns.text):
        others &= _TEXT_KEYS
    elsewhere = sorted(
        key for key in others if record[key] and isinstance(record[key], str)
    )
    if elsewhere:
        raise fail(
            f"text under {' and '.join(elsewhere)}, among the keys "
            f"{listing(record)}",
            f"text under {' or '.join(dict.fromkeys(columns.text))}, or "
            "--text_columns to "
            "name all that is read",
        )


_TEXT_KEYS = frozenset(TEXT_KEYS)


def _first(keys: list[str], wanted: tuple[str, ...]) -> str | None:
    return next(iter(_all(keys, wanted)), None)


def _all(keys: list[str], wanted: tuple[str, ...]) -> list[str]:
    """Returns the keys of wanted names, in the order wanted, in any case."""
    return [
        key for name in wanted for key in keys if key.strip().lower() == name
    ]


def listing(keys: Iterable[str]) -> str:
    """Returns the first keys in order, for a message."""
    keys = sorted(keys)
    more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
    return ", ".join(keys[:20]) + more


def _error(path: str, keys: list[str], needed: str) -> data_errors.DataError:
    return data_errors.DataError(
        path, f"the keys {listing(keys) or 'of no row'}", needed
    )
