"""The folder of an export: whole or not there, whenever it is killed."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator

from tfxml.data import atomic_files


@contextlib.contextmanager
def new(
    output: str | os.PathLike, is_growing: bool = False
) -> Iterator[pathlib.Path]:
    """Gives a folder to fill, which becomes `output` when all is written.

    Args:
        output: the folder of the export.
        is_growing: whether it may hold something: what is written then comes
            beside it, or in its place. Folders whose names are numbers are
            versions, which servers take up as soon as they see them, and come
            last.
    """
    output = pathlib.Path(output)
    if not is_growing or atomic_files.is_free(output):
        with atomic_files.new_folder(output) as folder:
            yield folder
        return
    atomic_files.remove_leftovers(output)
    with atomic_files.temporary_folder(output) as folder:
        yield folder
        names = sorted(path.name for path in folder.iterdir())
        for name in sorted(names, key=str.isdecimal):
            atomic_files.move(folder / name, output / name)
