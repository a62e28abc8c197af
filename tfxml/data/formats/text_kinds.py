"""Tells the formats apart whose files are all called train.txt."""

from __future__ import annotations

import re

from tfxml.data import files

FASTTEXT_PREFIX = b"__label__"
_HEADER = re.compile(rb"\s*\d+\s+\d+\s+\d+\s*")
# Labels, which may be none, then a pair.
_PAIRS = re.compile(rb"(?:\d+(?:\s*,\s*\d+)*\s)?\s*(?:qid:\d+\s+)?\d+:\S")


def of(path: str) -> str:
    """Returns `libsvm`, `fasttext` or, of all other files, `xc_text`."""
    for _, chunk in files.line_chunks(path, 1 << 16):
        for line in chunk.split(b"\n"):
            line = line.partition(b"#")[0]
            if line.strip():
                return _of_line(line)
    return "xc_text"


def _of_line(line: bytes) -> str:
    if _HEADER.fullmatch(line):
        return "xc_text"
    if any(word.startswith(FASTTEXT_PREFIX) for word in line.split()):
        return "fasttext"
    return "libsvm" if _PAIRS.match(line) else "xc_text"
