"""Reads the pair of text files X and Y of pyxclib: features and labels.

Each is a header `rows columns`, then one row a line, `id:value id:value`
(https://github.com/kunaldahiya/pyxclib).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import (
    pair_runs,
    read_options,
    row_checks,
    sparse_text,
    surveys,
)

FILES = (r"SPLIT_X_Xf\.txt(?:\.gz)?", r"SPLIT_X_Y\.txt(?:\.gz)?")
EXAMPLE = "trn_X_Xf.txt with trn_X_Y.txt, tst_X_Xf.txt with tst_X_Y.txt"
OPTIONS = ("one_based",)


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the sizes, as the headers say them."""
    first_ids = row_checks.under_header(options.one_based)
    return surveys.of_headers(
        read_header, pieces, data_dir, first_ids=first_ids
    )


def read_header(features_path: str, labels_path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    num_instances, num_features = sparse_text.read_header(
        features_path, ("num_instances", "num_features")
    )
    num_rows, num_labels = sparse_text.read_header(
        labels_path, ("num_instances", "num_labels")
    )
    if num_rows != num_instances:
        raise data_errors.DataError(
            labels_path,
            f"{num_rows} rows in the header",
            f"{num_instances}, as in {features_path}",
            1,
        )
    return num_instances, num_features, num_labels


def read(
    features_path: str,
    labels_path: str,
    chunk_bytes: int = sparse_text.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
    first_ids: row_checks.FirstIds = row_checks.FROM_ZERO,
) -> Iterator[instances.Instances]:
    """Yields the instances of a pair of files, gzip by their names.

    A label is present where its value is not 0; a feature that a row repeats
    is summed. A row that is bad in one file is left out of both.

    Args:
        features_path, labels_path: the files.
        chunk_bytes: about how much of each file makes one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.
        first_ids: the lowest ids of the files.

    Raises:
        DataError: with the line of what is wrong.
    """
    num_instances, num_features, num_labels = read_header(
        features_path, labels_path
    )
    bad = bad or bad_rows.BadRows()
    features, labels = (
        read_pairs(path, num_instances, chunk_bytes, bad, wanted)
        for path in (features_path, labels_path)
    )
    limits = num_features, num_labels
    yield from pair_runs.read(features, labels, limits, bad, first_ids)


def read_pairs(
    path: str,
    num_rows: int,
    chunk_bytes: int,
    bad: bad_rows.BadRows,
    wanted: range | None,
) -> Iterator[pair_runs.PairRun]:
    """Yields the rows of one file, which are pairs only; see sparse_text."""
    for source, run, is_bad in sparse_text.read(
        path, num_rows, chunk_bytes, bad, wanted
    ):
        for row in np.flatnonzero(np.diff(run.label_splits)).tolist():
            label = run.label_ids[run.label_splits[row]]
            bad.take(
                source.error(
                    row, f"{label} without a value", "pairs `id:value`"
                )
            )
            is_bad[row] = True
        yield pair_runs.PairRun(
            source,
            run.feature_splits,
            run.feature_ids,
            run.feature_values,
            is_bad,
        )
