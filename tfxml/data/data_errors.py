"""The errors that bad data raises."""

from __future__ import annotations

import errno
import os

# What the system refuses whatever a file holds: no space, no right, no handle.
REFUSALS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
)


class DataError(ValueError):
    """Names the bad file and line, what was found and what was needed."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        found: str,
        needed: str,
        line: int | None = None,
    ):
        self.path = str(path)
        self.line = line
        self.found = found
        self.needed = needed
        where = self.path if line is None else f"{self.path}:{line}"
        super().__init__(f"{where}: found {found}; needed {needed}")


class RowError(DataError):
    """One row is bad; the rest of the file can be read."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        found: str,
        needed: str,
        line: int | None = None,
        row: int | None = None,
    ):
        super().__init__(path, found, needed, line)
        self.row = row  # of the file, from 0; None where only the line is known


class NoFormatError(DataError):
    """A folder has no files of a known format."""
