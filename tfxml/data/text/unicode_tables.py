"""Tables for normalisation from Python's `unicodedata`, as arrays.

# E entries of a table
"""

from __future__ import annotations

import functools
import itertools
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

_ALL = range(sys.maxunicode + 1)  # surrogates too, which have no data
_HANGUL = range(0xAC00, 0xD7A4)
_NUM_VOWELS, _NUM_TAILS = 21, 28
_LEAD, _VOWEL, _TAIL = 0x1100, 0x1161, 0x11A7


# Each form, and the form with the same decomposition and no composition.
_FORMS: dict[str, tuple[Literal["NFC", "NFKC"], Literal["NFD", "NFKD"]]] = {
    "NFC": ("NFC", "NFD"),
    "NFKC": ("NFKC", "NFKD"),
}


class Tables(NamedTuple):
    """Data on characters for one form."""

    unsettled: str  # the inside of a regular expression's class
    decomposed: np.ndarray  # [E] int32, ascending
    part_splits: np.ndarray  # [E + 1] int32
    parts: np.ndarray  # int32, full decompositions, concatenated
    marks: np.ndarray  # [E] int32, ascending, all that are not starters
    classes: np.ndarray  # [E] int32, their canonical combining classes
    pairs: np.ndarray  # [E] int64, ascending, see `pair_key`
    composites: np.ndarray  # [E] int32
    seconds: np.ndarray  # int32, seconds of pairs, ascending


def pair_key(first: Any, second: Any) -> Any:
    """Returns one number for two characters, in 64 bits.

    Args:
        first, second: code points: integers, or tensors of int64.
    """
    return first * 2**21 + second


@functools.cache
def read(name: str) -> Tables:
    """Returns the tables of NFC or NFKC."""
    form, decomposed_form = _FORMS[name]
    composed = list(_decomposable())
    marks = {
        code: combining_class
        for code in _ALL
        if (combining_class := unicodedata.combining(chr(code)))
    }
    decompositions = {
        code: [ord(part) for part in text]
        for code in composed
        if (text := unicodedata.normalize(decomposed_form, chr(code)))
        != chr(code)
    }
    pairs = dict(sorted(_pairs(composed)))
    seconds = {key % 2**21 for key in pairs}
    # Characters that change on their own, or after another one.
    unsettled = {
        code
        for code in composed
        if unicodedata.normalize(form, chr(code)) != chr(code)
        or ord(unicodedata.normalize("NFD", chr(code))[0]) in seconds
    }
    lengths = [0, *map(len, decompositions.values())]
    return Tables(
        _class(unsettled | marks.keys() | seconds),
        np.array(list(decompositions), np.int32),
        np.cumsum(lengths, dtype=np.int32),
        np.array(list(itertools.chain(*decompositions.values())), np.int32),
        np.array(list(marks), np.int32),
        np.array(list(marks.values()), np.int32),
        np.array(list(pairs), np.int64),
        np.array(list(pairs.values()), np.int32),
        np.array(sorted(seconds), np.int32),
    )


def _decomposable() -> Iterator[int]:
    """Yields the characters that have a decomposition, ascending."""
    for code in _ALL:
        # Hangul syllables are decomposed by arithmetic.
        if code in _HANGUL or unicodedata.decomposition(chr(code)):
            yield code


def _pairs(composed: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yields the key of each pair that composes, and its composite."""
    for code in composed:
        if code in _HANGUL:
            yield pair_key(*_hangul_pair(code)), code
            continue
        words = unicodedata.decomposition(chr(code)).split()
        # Some are never composed, such as decompositions to one character.
        is_kept = unicodedata.normalize("NFC", chr(code)) == chr(code)
        if len(words) == 2 and is_kept and not words[0].startswith("<"):
            first, second = (int(word, 16) for word in words)
            yield pair_key(first, second), code


def _hangul_pair(syllable: int) -> tuple[int, int]:
    """Returns the two characters that compose a syllable."""
    syllable_index = syllable - _HANGUL.start
    pair, tail = divmod(syllable_index, _NUM_TAILS)
    if tail:
        return syllable - tail, _TAIL + tail
    lead, vowel = divmod(pair, _NUM_VOWELS)
    return _LEAD + lead, _VOWEL + vowel


def _class(codes: Iterable[int]) -> str:
    """Returns the inside of a character class for RE2."""
    runs: list[list[int]] = []
    for code in sorted(codes):
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(rf"\x{{{a:x}}}-\x{{{b:x}}}" for a, b in runs)
