"""Reads the pair X and Y of matrices that SciPy or NumPy saved.

Sparse ones as scipy.sparse.save_npz writes them, dense ones as numpy.save and
numpy.savez do: [rows, columns] of numbers. A dense Y holds 1 where a row has a
label and 0 elsewhere. The two need not be of the same kind.
"""

from __future__ import annotations

from collections.abc import Iterator

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import (
    matrix_rows,
    pair_runs,
    read_options,
    surveys,
)

FILES = (
    r"(?:tfidf[^/]*/)?(?:X[._]SPLIT|SPLIT_X(?:_Xf)?)\.np[yz]",
    r"(?:[Yy][._]SPLIT|SPLIT_(?:X_)?[Yy])\.np[yz]",
)
EXAMPLE = (
    "X.trn.npz (or tfidf-attnxml/X.trn.npz, X_train.npy) with Y.trn.npz "
    "(or Y_train.npy), the same for tst"
)
OPTIONS = ()


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the sizes, as the files say them in front."""
    return surveys.of_headers(read_header, pieces, data_dir)


def read_header(features_path: str, labels_path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    num_rows, num_features = matrix_rows.read_shape(features_path)
    num_label_rows, num_labels = matrix_rows.read_shape(labels_path)
    if num_rows != num_label_rows:
        raise data_errors.DataError(
            labels_path,
            f"{num_label_rows} rows",
            f"{num_rows}, as in {features_path}",
        )
    return num_rows, num_features, num_labels


def read(
    features_path: str,
    labels_path: str,
    rows_per_run: int = matrix_rows.ROWS_PER_RUN,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.Instances]:
    """Yields the instances of a pair of files in runs of rows.

    A label is present where its value is not 0; features that a row repeats
    are summed, and those of value 0 of a dense row are left out. A row that is
    bad in one file is left out of both.

    Args:
        features_path, labels_path: the files.
        rows_per_run: how many rows make one run, at most.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the row of what is wrong.
    """
    bad = bad or bad_rows.BadRows()
    num_rows, num_features, num_labels = read_header(features_path, labels_path)
    wanted = range(num_rows) if wanted is None else wanted
    yield from pair_runs.read(
        matrix_rows.read(features_path, wanted, rows_per_run),
        matrix_rows.read(labels_path, wanted, rows_per_run),
        (num_features, num_labels),
        bad,
    )
