"""The folder of an export: complete or absent, even after a kill."""

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
    """Yields a folder to fill, which becomes `output` once all is written.

    Args:
        output: the folder of the export.
        is_growing: whether `output` may exist and keep its other content. New
            files are moved in beside it, replacing those of the same name.
            Folders with numbers for names are versions, which servers load as
            soon as they appear, so those are moved last.
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
