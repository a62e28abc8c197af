"""Reads a folder that `tfds build` wrote: features or text, and labels.

Examples have `feature_ids`, `feature_values` and `label_ids`, as those of
tfxml/data/builders; the metadata says how many features and labels there are.
Needs tensorflow-datasets, which `pip install "tfxml[tfds]"` brings: as a core
requirement it would bring pyarrow and thirty more to those who never use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import row_checks

INFO = "dataset_info.json"
ROWS_PER_RUN = 1024


def read_shape(path: str) -> tuple[int, int, dict[str, int]]:
    """Returns the numbers of features and labels, and the splits' sizes."""
    info = _builder(path).info
    try:
        num_features = int(info.metadata["num_features"])
        num_labels = int(info.metadata["num_labels"])
    except (KeyError, TypeError) as error:
        raise data_errors.DataError(
            path,
            f"the metadata {dict(info.metadata or {})}",
            "num_features and num_labels, as tfxml/data/builders gives them",
        ) from error
    sizes = {name: split.num_examples for name, split in info.splits.items()}
    return num_features, num_labels, sizes


def read(
    path: str,
    split: str,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
) -> Iterator[instances.Instances]:
    """Yields the instances of a split in the order that they are stored.

    Args:
        path: the folder with dataset_info.json.
        split: one of its splits.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.

    Raises:
        DataError: with the row of what is wrong.
    """
    import tensorflow_datasets as tfds

    bad = bad or bad_rows.BadRows()
    num_features, num_labels, sizes = read_shape(path)
    wanted = range(sizes[split]) if wanted is None else wanted
    if not wanted:
        return
    chosen = tfds.core.ReadInstruction(
        split, from_=wanted.start, to=wanted.stop, unit="abs"
    )
    found = _builder(path).as_dataset(split=chosen, shuffle_files=False)
    first = wanted.start
    for batch in found.ragged_batch(ROWS_PER_RUN):
        features, values, labels = (
            batch[key] for key in ("feature_ids", "feature_values", "label_ids")
        )
        size = int(features.nrows())
        # A row's features and values have the same number: checked here.
        if not np.array_equal(features.row_splits, values.row_splits):
            raise data_errors.DataError(
                path, "ids and values of other lengths", "as many of both"
            )
        run = _Run(
            features.row_splits.numpy().astype(np.int64),
            features.flat_values.numpy(),
            values.flat_values.numpy(),
            labels.row_splits.numpy().astype(np.int64),
            labels.flat_values.numpy(),
            (num_features, num_labels),
            row_checks.Source(os.path.join(path, split), first),
        )
        yield bad_rows.keep_good(
            run.check, np.zeros(size, bool), bad, instances.concatenate
        )
        first += size


class _Run:
    """A batch of rows that are not checked yet."""

    def __init__(
        self,
        splits: np.ndarray,
        ids: np.ndarray,
        values: np.ndarray,
        label_splits: np.ndarray,
        labels: np.ndarray,
        limits: tuple[int, int],
        source: row_checks.Source,
    ):
        self._features = splits, ids, values
        self._labels = label_splits, labels
        self._limits, self._source = limits, source

    def check(self, first: int, last: int) -> instances.Instances:
        """Returns rows first .. last - 1, or raises RowError."""
        num_features, num_labels = self._limits
        source = self._source.after(first)
        splits, ids, values = _cut(self._features, first, last)
        label_splits, labels = _cut(self._labels, first, last)
        return instances.Instances(
            *row_checks.feature_rows(splits, ids, values, num_features, source),
            *row_checks.label_rows(label_splits, labels, num_labels, source),
        )


def _cut(
    columns: tuple[np.ndarray, ...], first: int, last: int
) -> tuple[np.ndarray, ...]:
    splits, *rest = columns
    entries = slice(*splits[[first, last]])
    splits = splits[first : last + 1] - entries.start
    return splits, *(column[entries] for column in rest)


def _builder(path: str):
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise data_errors.DataError(
            path,
            "a folder of TensorFlow Datasets, which is not installed",
            'pip install "tfxml[tfds]"',
        ) from error
    return tfds.builder_from_directory(path)
