"""Which paths are files of a data set, by their names."""

from __future__ import annotations

import os
import pathlib

from tfxml.data.formats import (
    dense_beside,
    folder_files,
    format_table,
    hf_datasets,
    names_beside,
    tfds_folder,
)
from tfxml.data.records import record_files

# Folders that hold one of these hold nothing but a data set.
_MARKERS = (
    *(record_files.MANIFEST, record_files.PLAN),
    *(hf_datasets.STATE, tfds_folder.INFO),
)


def has(data_dir: str, path: str) -> bool:
    """Tells whether a path is a file of a data set, or would be taken for one.

    Args:
        data_dir: the folder of the data set, or its one file.
        path: of a file that need not be there.
    """
    folder, path = os.path.realpath(data_dir), os.path.realpath(path)
    if not os.path.isdir(folder):
        return path == folder
    below = os.path.relpath(path, folder)
    if pathlib.PurePath(below).parts[0] == os.pardir:
        return False
    if os.path.isfile(path) and set(_MARKERS) & set(os.listdir(folder)):
        return True
    return any(
        folder_files.matching([below], folder_files.of_split(pattern, split))
        for pattern in _patterns()
        for split in folder_files.SPLITS
    )


def _patterns() -> tuple[str, ...]:
    of_formats = [
        pattern
        for module in format_table.FORMATS.values()
        for pattern in module.FILES
    ]
    return (
        *of_formats,
        *(folder_files.FILTER, dense_beside.FILE),
        *names_beside.FILES,
    )
