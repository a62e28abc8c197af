"""Recognises a data set by the names of its files."""

from __future__ import annotations

import dataclasses
import os

from tfxml.data import data_errors
from tfxml.data.formats import (
    chosen_rows,
    data_folder,
    dense_beside,
    detection,
    folder_files,
    format_table,
    hf_datasets,
    names_beside,
    read_options,
    surveys,
    tfds_folder,
)
from tfxml.data.records import record_checks, record_files


def detect(
    data_dir: str, options: read_options.ReadOptions = read_options.DEFAULTS
) -> data_folder.Folder:
    """Returns the data set in a folder, or the one that a file is.

    Sizes come from the files' headers. Files without one are read through, so
    that this is best done once.

    Args:
        data_dir: the folder or file.
        options: how it is read; prepared data have settled that already.

    Raises:
        DataError: if there is no data set of the format, or more than one.
        ValueError: for an option that is none of the format's.
    """
    files = folder_files.listed(data_dir)
    if {record_files.MANIFEST, record_files.PLAN} & set(files):
        return _prepared_folder(data_dir)
    if tfds_folder.INFO in files and hf_datasets.STATE not in files:
        num_features, num_labels, sizes = tfds_folder.read_shape(data_dir)
        shape = num_features, num_labels
        return _described(data_dir, "tfds", tfds_folder.INFO, shape, sizes)
    name, pieces = detection.find(data_dir, files, options)

    def read_names():
        path = names_beside.find(data_dir)
        return names_beside.read(path) if path else None

    survey = format_table.FORMATS[name].survey(
        pieces, data_dir, options, read_names
    )
    dense, num_dense = dense_beside.find(data_dir, files, tuple(pieces))
    num_features, notes = survey.num_features, survey.notes
    if dense:
        num_features = _with_dense(data_dir, num_features, num_dense)
        notes += (f"{num_dense:,} dense features beside each row",)
    folder = data_folder.Folder(
        data_dir,
        name,
        num_features,
        survey.num_labels,
        pieces,
        survey.piece_sizes,
        survey.arguments,
        survey.label_names,
        notes,
        dense=dense,
        num_dense=num_dense,
    )
    return _cut(folder, options) if options.test_fraction else folder


def _with_dense(data_dir: str, num_features: int | None, num_dense: int) -> int:
    """Returns the number of features, dense ones included."""
    if num_features is None:
        raise data_errors.DataError(
            data_dir,
            "dense features beside texts",
            "features of numbers; from Python, "
            "`tfxml.data.from_text(..., beside=...)` takes both",
        )
    return num_features + num_dense


def _prepared_folder(data_dir: str) -> data_folder.Folder:
    manifest = record_files.read_manifest(data_dir)
    record_checks.check_beside(data_dir, manifest)
    sizes = {
        split: facts["num_instances"]
        for split, facts in manifest["splits"].items()
    }
    shape = manifest["num_features"], manifest["num_labels"]
    return _described(data_dir, "records", record_files.MANIFEST, shape, sizes)


def _described(
    data_dir: str,
    format: str,
    name: str,
    shape: tuple[int, int],
    sizes: dict[str, int],
) -> data_folder.Folder:
    """Returns a folder one of whose files says all."""
    path = os.path.join(data_dir, name)
    pieces: surveys.Pieces = {split: ((path,),) for split in sizes}
    piece_sizes: dict[str, tuple[int, ...]] = {
        split: (size,) for split, size in sizes.items()
    }
    return data_folder.Folder(data_dir, format, *shape, pieces, piece_sizes)


def _cut(
    folder: data_folder.Folder, options: read_options.ReadOptions
) -> data_folder.Folder:
    """Returns the data set with a share of its rows as the test split."""
    if "test" in folder.splits:
        raise ValueError(
            "`test_fraction` must be 0 for data that have a test split. "
            f"Received: test_fraction={options.test_fraction} with "
            f"{folder.path}"
        )
    train, test = chosen_rows.hold_out(
        folder.path,
        folder.count_rows("train"),
        options.test_fraction,
        options.split_seed,
    )
    pieces = folder.pieces | {"test": folder.pieces["train"]}
    sizes = folder.piece_sizes
    if "train" in sizes:
        sizes = sizes | {"test": sizes["train"]}
    dense = folder.dense
    if dense:
        dense = dense | {"test": dense["train"]}
    return dataclasses.replace(
        folder,
        pieces=pieces,
        dense=dense,
        piece_sizes=sizes,
        chosen={"train": train, "test": test},
        notes=(
            *folder.notes,
            f"{len(test):,} of {len(train) + len(test):,} rows are held out "
            "as the test split",
        ),
    )
