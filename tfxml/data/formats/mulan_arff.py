"""Reads MULAN's data sets: an ARFF file a split, and the labels in XML.

An attribute that the XML names is a label, {0, 1}; every other is a feature
(http://mulan.sourceforge.net/format.html). MEKA's files have no XML: their
relation `name: -C 6` says that the first 6 attributes are labels, and -6 the
last ones. An attribute of numbers, or of numbers in braces of which the first
is 0, is one feature. Any other attribute of values in braces is one feature
for each value but the first. A value that is missing (?) counts as 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import (
    arff_grammar,
    arff_labels,
    read_options,
    row_checks,
    row_grammar,
    surveys,
    xc_text,
)

ENDING = r"\.arff(?:\.gz)?"
FILES = (r"(?:.*[_-])?SPLIT(?:PART)?" + ENDING,)
EXAMPLE = "emotions-train.arff, emotions-test.arff with emotions.xml"
OPTIONS = ()

ROWS_PER_RUN = 512


class _Column(NamedTuple):
    """What an attribute becomes."""

    label: int | None  # its id; None: a feature
    feature: int  # the first id of its features
    values: dict[str, int] | None  # nominal; None: numbers
    is_number: bool  # of one feature, whose value is the attribute's


class _Layout(NamedTuple):
    """The columns of a file."""

    columns: list[_Column]
    num_features: int
    label_names: list[str]
    first_line: int


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the sizes and the labels' names."""
    found = surveys.of_headers(read_header, pieces, data_dir)
    ((path,), *_) = next(iter(pieces.values()))
    names = tuple(_layout(path).label_names)
    return dataclasses.replace(found, label_names=names)


def read_header(path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, which are counted, and of columns."""
    layout = _layout(path)
    number = sum(1 for _ in arff_grammar.lines(path, layout.first_line))
    return number, layout.num_features, len(layout.label_names)


def read(
    path: str,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.Instances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Args:
        path: the file; its XML is beside it.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the line of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    layout = _layout(path)
    for first_row, lines in _runs(path, layout.first_line, wanted):
        source = row_checks.LinesSource(
            path, first_row, lines=[number for number, _ in lines]
        )
        run, is_bad = _parse_run(source, [t for _, t in lines], layout, bad)

        def check(first, last, source=source, run=run):
            return xc_text.to_instances(
                row_grammar.cut(run, first, last),
                layout.num_features,
                len(layout.label_names),
                source.after(first),
                row_checks.FROM_ZERO,
            )

        yield bad_rows.keep_good(check, is_bad, bad, instances.concatenate)


def _runs(
    path: str, first_line: int, wanted: range | None
) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """Yields runs of lines with their numbers, and the row of the first."""
    first_row = 0
    run: list[tuple[int, str]] = []
    for row, line in enumerate(arff_grammar.lines(path, first_line)):
        if wanted is not None and row >= wanted.stop:
            break
        if wanted is not None and row < wanted.start:
            continue
        first_row = first_row if run else row
        run.append(line)
        if len(run) == ROWS_PER_RUN:
            yield first_row, run
            run = []
    if run:
        yield first_row, run


def _parse_run(
    source: row_checks.Source,
    lines: list[str],
    layout: _Layout,
    bad: bad_rows.BadRows,
) -> tuple[row_grammar.Rows, np.ndarray]:
    """Returns rows, and which of them are bad; a bad one is empty."""
    rows, is_bad = [], np.zeros(len(lines), bool)
    for number, line in enumerate(lines):
        try:
            rows.append(_parse(source, number, line, layout.columns))
        except data_errors.RowError as error:
            bad.take(error)
            is_bad[number] = True
            rows.append(([], [], []))
    labels, ids, values = zip(*rows, strict=True)
    return row_grammar.Rows(
        instances.splits_from_lengths([len(row) for row in labels]),
        np.array([i for row in labels for i in row], np.int64),
        instances.splits_from_lengths([len(row) for row in ids]),
        np.array([i for row in ids for i in row], np.int64),
        np.array([v for row in values for v in row], np.float64),
    ), is_bad


def _parse(
    source: row_checks.Source, row: int, line: str, columns: list[_Column]
) -> tuple[list[int], list[int], list[float]]:
    """Returns the labels, feature ids and values of a row."""

    def fail(found, needed):
        return source.error(row, found, needed)

    labels, ids, values = [], [], []
    for index, text in arff_grammar.cells(line, len(columns), fail):
        column = columns[index]
        if column.label is not None:
            if _is_present(text, fail):
                labels.append(column.label)
        elif text == "?":
            continue
        elif column.values is not None and text not in column.values:
            raise fail(
                f"value {files.excerpt(text)}",
                f"one of {', '.join(list(column.values)[:9])}",
            )
        elif column.values is None or column.is_number:
            value = arff_grammar.number(text, fail)
            if value:
                ids.append(column.feature)
                values.append(value)
        elif column.values[text]:
            ids.append(column.feature + column.values[text] - 1)
            values.append(1.0)
    return labels, ids, values


def _is_present(text: str, fail) -> bool:
    value = arff_grammar.number(text, fail)
    if value not in (0, 1):
        raise fail(f"value {text} of a label", "0 or 1")
    return bool(value)


def _layout(path: str) -> _Layout:
    header = arff_grammar.read_header(path)
    names = arff_labels.read(path, header)
    label_ids = {name: i for i, name in enumerate(names)}
    if len(label_ids) < len(names):
        twice = next(n for i, n in enumerate(names) if label_ids[n] != i)
        raise data_errors.DataError(
            path, f"two labels {twice!r:.80}", "another name for each label"
        )
    columns, num_features, seen = [], 0, set()
    for attribute in header.attributes:
        label = label_ids.get(attribute.name)
        if label is not None:
            _check_label(path, attribute)
            seen.add(label)
            columns.append(_Column(label, 0, None, False))
            continue
        column = _feature_column(attribute, num_features)
        columns.append(column)
        num_features += (
            1
            if attribute.values is None or column.is_number
            else len(attribute.values) - 1
        )
    if len(seen) < len(names):
        missing = next(n for n, i in label_ids.items() if i not in seen)
        raise data_errors.DataError(
            path, f"no attribute {missing!r}", "one for each label of the XML"
        )
    if not num_features or not names:
        raise data_errors.DataError(
            path,
            f"{num_features} features and {len(names)} labels",
            "one or more of both",
        )
    return _Layout(columns, num_features, names, header.line + 1)


def _feature_column(attribute: arff_grammar.Attribute, first: int) -> _Column:
    if attribute.values is None:
        return _Column(None, first, None, True)
    values = {value: i for i, value in enumerate(attribute.values)}
    return _Column(None, first, values, _are_numbers(attribute.values))


def _are_numbers(values: tuple[str, ...]) -> bool:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return False
    # A sparse row leaves out the first value, which a feature knows as 0.
    return bool(numbers) and numbers[0] == 0


def _check_label(path: str, attribute: arff_grammar.Attribute) -> None:
    if attribute.values is not None and attribute.values != ("0", "1"):
        raise data_errors.DataError(
            path,
            f"label {attribute.name!r} of {{{', '.join(attribute.values)}}}",
            "{0, 1}",
        )
