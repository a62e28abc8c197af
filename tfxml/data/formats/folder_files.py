"""Finds the files of a data set by their names."""

from __future__ import annotations

import os
import re

from tfxml.data import data_errors
from tfxml.data.formats import surveys

SPLITS = {
    "dev": "dev|valid|val|validation",
    "test": "test|tst",
    "train": "train|trn",
}

# As the repository's index files, which share one data file, call them.
_INDEX_NAMES = {"dev": "val", "test": "tst", "train": "tr"}

# Numbers of files that follow each other: -00000-of-00002, _1, .1
_PART = r"(?P<part>[._-]?[0-9]{1,9}(?:-of-(?P<total>[0-9]{1,9}))?)"

# Folders in the data's folder whose files belong to it.
_INNER = re.compile(rf"tfidf.*|raw|raw_data|data|{'|'.join(SPLITS.values())}")

FILTER = r"(?:filter_labels_SPLIT|SPLIT_filter_labels)\.txt(?:\.gz)?"


def listed(data_dir: str) -> list[str]:
    """Returns the names in a folder and in those below that belong to it.

    One file that is the whole data set has none beside it.
    """
    if os.path.isfile(data_dir):
        return []
    found = []
    for name in sorted(os.listdir(data_dir)):
        path = os.path.join(data_dir, name)
        if not os.path.isdir(path):
            found.append(name)
        elif _INNER.fullmatch(name):
            found += sorted(f"{name}/{inner}" for inner in os.listdir(path))
    return found


def listing(files: list[str]) -> str:
    """Returns the first names in a folder, for a message."""
    if not files:
        return "no file"
    more = f" and {len(files) - 12} more" if len(files) > 12 else ""
    return ", ".join(files[:12]) + more


def pieces_of(
    data_dir: str, files: list[str], patterns: tuple[str, ...]
) -> tuple[surveys.Piece, ...]:
    """Returns the files of a split in one format; () where one is missing.

    Args:
        data_dir: the folder.
        files: its names.
        patterns: of the files of one piece, as `of_split` returns them. A
            split has several pieces where the only pattern takes files with
            numbers.
    """
    if len(patterns) == 1:
        return _parts(data_dir, files, patterns[0])
    paths = [only_match(data_dir, files, pattern) for pattern in patterns]
    piece = tuple(path for path in paths if path is not None)
    return (piece,) if len(piece) == len(paths) else ()


def half_pair(
    data_dir: str, files: list[str], patterns: tuple[str, ...], split: str
) -> str | None:
    """Returns the file of a split that lacks the one that goes with it.

    A file whose pattern is the same for all splits lacks nothing.
    """
    if len(patterns) == 1:
        return None
    paths = [only_match(data_dir, files, of_split(p, split)) for p in patterns]
    lonely = [
        path
        for path, pattern in zip(paths, patterns, strict=True)
        if path and of_split(pattern, split) != pattern
    ]
    return lonely[0] if lonely and None in paths else None


def of_split(pattern: str, split: str) -> str:
    """Returns a pattern for the files of one split."""
    pattern = pattern.replace("INDEX_NAME", _INDEX_NAMES[split])
    return pattern.replace("SPLIT", f"(?:{SPLITS[split]})")


def matching(files: list[str], pattern: str) -> list[str]:
    """Returns the names that match."""
    return [file for file in files if _match(pattern, file)]


def only_match(data_dir: str, files: list[str], pattern: str) -> str | None:
    """Returns the path of the one file whose name matches, None without."""
    matches = matching(files, pattern)
    if len(matches) > 1:
        raise data_errors.DataError(
            data_dir, f"{' and '.join(matches)}", "only one of them"
        )
    return os.path.join(data_dir, matches[0]) if matches else None


def _parts(
    data_dir: str, files: list[str], pattern: str
) -> tuple[surveys.Piece, ...]:
    """Returns the one file that matches, or those that differ in a number."""
    matches = {file: m for file in files if (m := _match(pattern, file))}
    numbers = {
        file: _numbers(match.groupdict().get("part"))
        for file, match in matches.items()
    }
    names = {_without_number(file, match) for file, match in matches.items()}
    if len(names) > 1 or len(set(numbers.values())) < len(matches):
        raise data_errors.DataError(
            data_dir, f"{' and '.join(matches)}", "only one of them"
        )
    for file, match in matches.items():
        total = match.groupdict().get("total")
        if total is not None and int(total) != len(matches):
            raise data_errors.DataError(
                data_dir, f"{len(matches)} files like {file}", f"{int(total)}"
            )
    paths = sorted(matches, key=lambda file: numbers[file])
    return tuple((os.path.join(data_dir, file),) for file in paths)


def _match(pattern: str, file: str) -> re.Match | None:
    return re.fullmatch(pattern.replace("PART", _PART), file)


def _numbers(part: str | None) -> tuple[int, ...]:
    return tuple(map(int, re.findall("[0-9]+", part or "")))


def _without_number(file: str, match: re.Match) -> str:
    start, end = match.span("part") if "part" in match.groupdict() else (0, 0)
    if start == end:
        return file
    return file[:start] + re.sub("[0-9]+", "#", file[start:end]) + file[end:]
