"""Reads names of labels, one a line; the line number, from 0, is the label."""

from __future__ import annotations

from tfxml.data import files


def read(path: str) -> list[str]:
    """Returns the lines as they are, empty ones too.

    Raises DataError with the line that is not UTF-8.
    """
    return [name for _, lines in files.text_line_chunks(path) for name in lines]
