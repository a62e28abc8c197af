"""Reads raw text, one instance a line, beside a matrix of labels.

As in DeepXML's folders (`trn_X.txt` or `trn.raw.txt`, `trn_X_Y.txt` and the
label names in `Y.txt` or `lbl.raw.txt`) and in PECOS' (`X.trn.txt`,
`Y.trn.npz`, `output-items.txt`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, files, instances
from tfxml.data.formats import (
    matrix_rows,
    pair_runs,
    read_options,
    row_checks,
    sparse_text,
    surveys,
    xy_sparse,
)

FILES = (
    r"(?:raw(?:_data)?/)?(?:SPLIT_X|X\.SPLIT|SPLIT\.raw)\.txt(?:\.gz)?",
    r"(?:SPLIT_X_Y\.(?:txt(?:\.gz)?|npz)|Y\.SPLIT\.npz)",
)
EXAMPLE = (
    "trn_X.txt (or trn.raw.txt, X.trn.txt) with trn_X_Y.txt (or Y.trn.npz), "
    "the same for tst"
)
OPTIONS = ()
# Such a folder may also hold features, made of the same text.
YIELDS_TO = ("xy_sparse", "matrices")


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the sizes, those of the matrices of labels."""
    return surveys.of_headers(read_header, pieces, data_dir)


def read_header(text_path: str, labels_path: str) -> tuple[int, None, int]:
    """Returns the number of instances, None for text, and of labels."""
    return _shape(labels_path)[0], None, _shape(labels_path)[1]


def read(
    text_path: str,
    labels_path: str,
    chunk_bytes: int = files.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.TextInstances]:
    """Yields the instances of a pair of files.

    A line that is blank is a row without text. A row that is bad in one file
    is left out of both.

    Args:
        text_path, labels_path: the files, those of text gzip by their names.
        chunk_bytes: about how much of the text makes one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the line or row of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    num_rows, num_labels = _shape(labels_path)
    wanted = range(num_rows) if wanted is None else wanted
    needed = f"{num_rows}, one for each row of {labels_path}"
    texts = _read_texts(text_path, num_rows, needed, chunk_bytes, bad, wanted)
    labels = _read_labels(labels_path, num_rows, bad, wanted)
    for text_run, label_run in pair_runs.align(texts, labels):

        def check(first, last, text_run=text_run, label_run=label_run):
            run = label_run.cut(first, last)
            return instances.TextInstances(
                text_run.texts[first:last],
                *row_checks.nonzero_label_rows(
                    *(run.splits, run.ids, run.values), num_labels, run.source
                ),
            )

        is_bad = text_run.is_bad | label_run.is_bad
        yield bad_rows.keep_good(check, is_bad, bad, _join)


@dataclasses.dataclass(frozen=True)
class _TextRun:
    """Rows of text; that of a bad one is empty."""

    texts: list[str]  # n
    is_bad: np.ndarray  # [n] bool

    def cut(self, first: int, last: int) -> _TextRun:
        return _TextRun(self.texts[first:last], self.is_bad[first:last])


def _join(runs: list[instances.TextInstances]) -> instances.TextInstances:
    lengths = [np.diff(run.label_splits) for run in runs]
    ids = [run.label_ids for run in runs]
    return instances.TextInstances(
        [text for run in runs for text in run.texts],
        instances.splits_from_lengths(
            np.concatenate([np.zeros(0, np.int64), *lengths])
        ),
        np.concatenate([np.zeros(0, np.int32), *ids]),
    )


def _shape(labels_path: str) -> tuple[int, int]:
    if labels_path.endswith(".npz"):
        return matrix_rows.read_shape(labels_path)
    num_instances, num_labels = sparse_text.read_header(
        labels_path, ("num_instances", "num_labels")
    )
    return num_instances, num_labels


def _read_labels(
    path: str, num_rows: int, bad: bad_rows.BadRows, wanted: range
) -> Iterator[pair_runs.PairRun]:
    if path.endswith(".npz"):
        return matrix_rows.read(path, wanted)
    return xy_sparse.read_pairs(
        path, num_rows, sparse_text.CHUNK_BYTES, bad, wanted
    )


def _read_texts(
    path: str,
    num_rows: int,
    needed: str,
    chunk_bytes: int,
    bad: bad_rows.BadRows,
    wanted: range,
) -> Iterator[_TextRun]:
    """Yields the wanted lines; blank ones past the last row are nothing."""
    row = wanted.start
    for first, chunk in files.line_chunks(
        path, chunk_bytes, row + 1, bad.is_skipping
    ):
        texts, is_bad = [], []
        for number, line in enumerate(chunk.split(b"\n")[:-1], first):
            if number > num_rows and line.strip():
                raise data_errors.DataError(
                    path, "one line more", needed, number
                )
            if row == wanted.stop:
                continue
            row += 1
            try:
                texts.append(files.decode(path, number, line))
                is_bad.append(False)
            except data_errors.RowError as error:
                error.row = number - 1
                bad.take(error)
                texts.append("")
                is_bad.append(True)
        if texts:
            yield _TextRun(texts, np.array(is_bad, bool))
        if row == wanted.stop < num_rows:
            return
    if row < wanted.stop:
        raise data_errors.DataError(path, f"{row} lines", needed, row + 1)
