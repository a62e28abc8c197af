"""Reads text rows `label,label id:value id:value` without a header.

As LIBSVM's multi-label sets and scikit-learn's dump_svmlight_file have them
(https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multilabel/). What
follows # is a comment, a line of nothing else is no row, `qid:` is left out,
and blanks may follow a comma. A row without labels starts with a blank or
with its first pair.

Ids start at 1 if none of the files has an id 0, features and labels apart;
LIBSVM's own sets have features from 1 and labels from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import (
    read_options,
    row_checks,
    row_grammar,
    sparse_text,
    surveys,
    xc_text,
)

ENDING = r"\.(?:svm|libsvm|svmlight|txt)(?:\.gz)?"
FILES = (r"(?:.*[_-])?SPLIT(?:PART)?" + ENDING,)
EXAMPLE = "train.svm, test.svm (or .libsvm, or .txt without a header)"
OPTIONS = ("one_based",)

_COMMENT = re.compile(rb"[ \t]*#[^\n]*")
_BLANKS_AT_COMMA = re.compile(rb"[ \t]*,[ \t]*")
_QUERY = re.compile(rb"(?m)(^|[ \t])qid:[0-9]+(?=[ \t\n])")
_BLANK_LINE = re.compile(rb"(?m)^[ \t\r]*\n")


class _Ids(NamedTuple):
    """The lowest and highest ids of one kind; low > high: none."""

    low: int = row_checks.MAX_COLUMNS
    high: int = -1

    def including(self, ids: np.ndarray) -> _Ids:
        return _Ids(
            int(ids.min(initial=self.low)), int(ids.max(initial=self.high))
        )


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns sizes and first ids; every file is read through."""
    features, labels, sizes = _Ids(), _Ids(), {}
    bad = bad_rows.BadRows("skip")  # they are told when rows are wanted
    for split, of_split in pieces.items():
        counts = []
        for (path,) in of_split:
            number = 0
            for _, run, is_bad in _runs(path, sparse_text.CHUNK_BYTES, bad):
                number += len(is_bad)
                features = features.including(_possible(run.feature_ids))
                labels = labels.including(_possible(run.label_ids))
            counts.append(number)
        sizes[split] = tuple(counts)
    for noun, ids in (("label", labels), ("feature", features)):
        if ids.high < 0:
            example = next(iter(bad.examples.values()), f"no {noun}")
            raise data_errors.DataError(data_dir, example, f"rows with {noun}s")
    first = row_checks.FirstIds(
        _first_id("features", features, options.one_based),
        _first_id("labels", labels, options.one_based),
    )
    names = read_names()
    num_labels = labels.high + 1 - first.labels if names is None else len(names)
    if names is None and first.labels:
        names = [str(number) for number in range(1, num_labels + 1)]
    return surveys.Survey(
        features.high + 1 - first.features,
        num_labels,
        sizes,
        {
            "num_features": features.high + 1 - first.features,
            "num_labels": num_labels,
            "first_ids": first,
        },
        None if names is None else tuple(names),
        (_note(features, labels, first),),
    )


def read(
    path: str,
    num_features: int,
    num_labels: int,
    chunk_bytes: int = sparse_text.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
    first_ids: row_checks.FirstIds = row_checks.FROM_ZERO,
) -> Iterator[instances.Instances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Labels that an instance repeats count once, features that it repeats are
    summed.

    Args:
        path: the file.
        num_features, num_labels: how many ids there may be, from first_ids.
        chunk_bytes: about how much of the file makes one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.
        first_ids: the lowest ids of the file.

    Raises:
        DataError: with the line of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    for source, run, is_bad in _runs(path, chunk_bytes, bad, wanted):

        def check(first, last, source=source, run=run):
            return xc_text.to_instances(
                row_grammar.cut(run, first, last),
                num_features,
                num_labels,
                source.after(first),
                first_ids,
            )

        yield bad_rows.keep_good(check, is_bad, bad, instances.concatenate)


def _runs(
    path: str,
    chunk_bytes: int,
    bad: bad_rows.BadRows,
    wanted: range | None = None,
) -> Iterator[tuple[row_checks.Source, row_grammar.Rows, np.ndarray]]:
    """Yields runs of rows, where each came from, and which are bad."""
    seen = 0
    for line, chunk in files.line_chunks(
        path, chunk_bytes, is_marking=bad.is_skipping
    ):
        chunk, lines = _plain(chunk, line)
        first, last = 0, len(lines)
        if wanted is not None:
            first = min(max(wanted.start - seen, 0), last)
            last = min(max(wanted.stop - seen, 0), last)
            chunk = files.first_lines(chunk, last)
            chunk = chunk[len(files.first_lines(chunk, first)) :]
        if first < last:
            source = row_checks.LinesSource(
                path, seen + first, lines=lines[first:last]
            )
            yield source, *sparse_text.parse(source, chunk, bad)
        seen += len(lines)
        if wanted is not None and seen >= wanted.stop:
            return


def _plain(chunk: bytes, first_line: int) -> tuple[bytes, np.ndarray]:
    """Returns rows as `row_grammar` takes them, and the line of each."""
    if b"#" in chunk:
        chunk = _COMMENT.sub(b"", chunk)
    if b", " in chunk or b" ," in chunk or b",\t" in chunk or b"\t," in chunk:
        chunk = _BLANKS_AT_COMMA.sub(b",", chunk)
    if b"qid:" in chunk:
        chunk = _QUERY.sub(b"\\1", chunk)
    number = chunk.count(b"\n")
    lines = np.arange(first_line, first_line + number)
    if _BLANK_LINE.search(chunk):
        found = chunk.split(b"\n")[:-1]
        is_row = [bool(line.strip()) for line in found]
        lines = lines[np.array(is_row, bool)]
        chunk = b"".join(line + b"\n" for line in found if line.strip())
    return chunk, lines


def _possible(ids: np.ndarray) -> np.ndarray:
    return ids[ids < row_checks.MAX_COLUMNS]


def _first_id(noun: str, ids: _Ids, one_based: str) -> int:
    if one_based == "auto":
        return int(ids.low > 0)
    return int(one_based in ("yes", noun))


def _note(features: _Ids, labels: _Ids, first: row_checks.FirstIds) -> str:
    words = [
        f"{noun} ids run from {ids.low} to {ids.high} and are read as "
        f"{'one' if first_id else 'zero'}-based"
        + (f" ({noun} {ids.low} becomes {ids.low - first_id})" * first_id)
        for noun, ids, first_id in (
            ("feature", features, first.features),
            ("label", labels, first.labels),
        )
    ]
    return "; ".join(words)
