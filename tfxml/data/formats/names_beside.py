"""Finds and reads the file of label names in a data set's folder."""

from __future__ import annotations

from tfxml.data.formats import folder_files, json_lines, label_names

_OBJECTS = r"lbl(?:\.raw)?\.jsonl?(?:\.gz)?"
# In the order in which they are looked for: Yf may be words of labels.
_LINES = (
    r"labels\.txt(?:\.gz)?",
    r"output-items\.txt(?:\.gz)?",
    r"(?:raw(?:_data)?/)?(?:Y|(?:lbl|label)\.raw)\.txt(?:\.gz)?",
    r"Yf\.txt(?:\.gz)?",
)
FILES = (_OBJECTS, *_LINES)


def find(data_dir: str) -> str | None:
    """Returns the file's path, None without; a file has none beside it."""
    files = folder_files.listed(data_dir)
    for pattern in FILES:
        path = folder_files.only_match(data_dir, files, pattern)
        if path:
            return path
    return None


def read(path: str) -> list[str]:
    """Returns the names in the order of the labels."""
    if path.removesuffix(".gz").endswith((".json", ".jsonl")):
        return json_lines.read_names(path)
    return label_names.read(path)
