"""Word vectors that others have trained, read from their files.

# V words of a vocabulary, E dimensions

Text files have a word and its numbers a line: fastText's `.vec` after a line
with two sizes, GloVe's `.txt` without. Binary files are word2vec's: the two
sizes, then each word, a space and E little-endian float32.
"""

from __future__ import annotations

import gzip
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from tfxml.data import data_errors

_LONGEST_WORD = 4096  # bytes


def read(
    path: str | os.PathLike, words: Sequence[str], word_dim: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the vectors of words, [V, E] float32, and which are there, [V].

    Those of words that the file lacks are zeros. Of a word that stands there
    twice, the first counts. Files that end in `.bin` or `.bin.gz` are binary.

    Args:
        path: the file; gzip if its name ends in .gz.
        words: of the vocabulary.
        word_dim: E.

    Raises:
        DataError: if the file holds something else, or other dimensions.
    """
    path = pathlib.Path(path)
    numbers = {word.encode(): number for number, word in enumerate(words)}
    vectors = np.zeros((len(words), word_dim), np.float32)
    is_there = np.zeros(len(words), bool)
    is_binary = path.name.endswith((".bin", ".bin.gz"))
    entries = _binary if is_binary else _text
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for word, vector in entries(file, path, word_dim):
            number = numbers.get(word)
            if number is not None and not is_there[number]:
                vectors[number], is_there[number] = vector(), True
    if not np.isfinite(vectors).all():
        raise data_errors.DataError(
            path, "numbers that are not finite", "finite numbers"
        )
    return vectors, is_there


def _text(file: Any, path: pathlib.Path, word_dim: int) -> Iterator:
    """Yields each word and a function that returns its vector."""
    for line_number, line in enumerate(file, 1):
        # From the right: a word of GloVe can hold spaces.
        word, *values = line.rstrip().rsplit(b" ", word_dim)
        if line_number == 1 and len(line.split()) == 2:
            _check_dim(path, line.split()[1], word_dim)
            continue
        is_longer = any(_is_number(part) for part in word.split()[1:])
        if len(values) != word_dim or is_longer:
            raise data_errors.DataError(
                path,
                f"{len(line.split()) - 1} numbers",
                f"word_dim={word_dim}",
                line_number,
            )

        def vector(values=values, line_number=line_number):
            try:
                return np.array(values, np.float32)
            except ValueError as error:
                raise data_errors.DataError(
                    path, "a word among the numbers", "numbers", line_number
                ) from error

        yield word, vector


def _binary(file: Any, path: pathlib.Path, word_dim: int) -> Iterator:
    """Yields each word and a function that returns its vector."""
    sizes = file.readline(64).split()
    if len(sizes) != 2 or not all(size.isdigit() for size in sizes):
        raise data_errors.DataError(
            path, f"the first line {sizes}", "the numbers of words, dimensions"
        )
    _check_dim(path, sizes[1], word_dim)
    for number in range(int(sizes[0])):
        word = _word(file)
        content = file.read(4 * word_dim)
        if word is None or len(content) != 4 * word_dim:
            raise data_errors.DataError(
                path, f"an end after {number} words", f"{int(sizes[0])} words"
            )
        yield word, lambda content=content: np.frombuffer(content, "<f4")


def _word(file: Any) -> bytes | None:
    """Returns the bytes up to a space; None: there is no word."""
    word = bytearray()
    while len(word) < _LONGEST_WORD:
        byte = file.read(1)
        if byte == b" ":
            return bytes(word)
        if not byte:
            return None
        if byte != b"\n":  # some writers end each vector with one
            word += byte
    return None


def _is_number(part: bytes) -> bool:
    try:
        float(part)
    except ValueError:
        return False
    return True


def _check_dim(path: pathlib.Path, found: bytes, word_dim: int) -> None:
    if found != str(word_dim).encode():
        raise data_errors.DataError(
            path,
            f"vectors of {found.decode(errors='replace')} dimensions",
            f"word_dim={word_dim}",
        )
