"""Pieces of words: learnt by merging pairs, read longest first.

The pieces are those of byte-pair encoding over characters (Sennrich, Haddow and
Birch, ACL 2016); a word is read as WordPiece does, the longest piece first. A
piece that does not begin a word starts with `##`. Rare and unseen words are
then read in parts that the training texts had.

# U words of a batch, A of them that are not read to their end, M lengths
"""

from __future__ import annotations

import collections
import heapq
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

CONTINUED = "##"
_LONGEST = 16  # characters of a piece
_MOST_WORDS = 100_000  # that pieces are learnt from

_Pair = tuple[str, str]
_Word = list[str | None]  # its pieces; None: a character that has none


def learn(
    words: Sequence[str], counts: np.ndarray, num_pieces: int
) -> list[str]:
    """Returns pieces, sorted: the characters, and what merging them gives.

    Args:
        words: distinct ones of the training texts.
        counts: how often each occurs.
        num_pieces: the most pieces.
    """
    order = sorted(range(len(words)), key=lambda i: (-counts[i], words[i]))
    order = order[:_MOST_WORDS]
    weights = [int(counts[i]) for i in order]
    split = [_characters(words[i]) for i in order]
    alphabet = collections.Counter[str]()
    for symbols, weight in zip(split, weights, strict=True):
        for symbol in symbols:
            alphabet[symbol] += weight
    ranked = sorted(alphabet, key=lambda one: (-alphabet[one], one))
    pieces = set(ranked[:num_pieces])
    merges = _Merges(
        [[s if s in pieces else None for s in symbols] for symbols in split],
        weights,
    )
    while len(pieces) < num_pieces:
        pair = merges.best()
        if pair is None:
            break
        pieces.add(_joined(*pair))
        merges.merge(pair)
    return sorted(pieces)


class _Merges:
    """The pairs of neighbours in words, and how often each occurs."""

    def __init__(self, words: list[_Word], weights: list[int]):
        self._words = words
        self._weights = weights
        self._counts = collections.Counter[_Pair]()
        self._places: dict[_Pair, set[int]] = collections.defaultdict(set)
        for number in range(len(words)):
            self._count(number, 1)
        # Of equal counts the first pair in the alphabet.
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapq.heapify(self._heap)

    def best(self) -> _Pair | None:
        """Returns the most frequent pair; None if none occurs twice."""
        while self._heap:
            count, pair = self._heap[0]
            if self._counts[pair] == -count:
                return pair if -count > 1 else None
            heapq.heappop(self._heap)  # it has changed since
        return None

    def merge(self, pair: _Pair) -> None:
        """Makes one piece of a pair, wherever it occurs."""
        changed: set[_Pair] = set()
        for number in self._places.pop(pair):
            changed.update(_pairs(self._words[number]))
            self._count(number, -1)
            self._words[number] = _merged(self._words[number], pair)
            self._count(number, 1)
            changed.update(_pairs(self._words[number]))
        for other in changed:
            if self._counts[other] > 0:
                heapq.heappush(self._heap, (-self._counts[other], other))
            else:
                del self._counts[other]

    def _count(self, number: int, sign: int) -> None:
        for pair in _pairs(self._words[number]):
            self._counts[pair] += sign * self._weights[number]
            if sign > 0:
                self._places[pair].add(number)


def _characters(word: str) -> list[str]:
    return [word[0], *(CONTINUED + one for one in word[1:])]


def _joined(first: str, second: str) -> str:
    return first + second.removeprefix(CONTINUED)


def _pairs(word: _Word) -> Iterable[_Pair]:
    """Yields the neighbours that may become one piece."""
    for first, second in itertools.pairwise(word):
        if first is None or second is None:
            continue
        length = len(_joined(first, second).removeprefix(CONTINUED))
        if length <= _LONGEST:
            yield first, second


def _merged(word: _Word, pair: _Pair) -> _Word:
    """Returns a word with the pair as one piece, from left to right."""
    merged: _Word = []
    place = 0
    while place < len(word):
        if tuple(word[place : place + 2]) == pair:
            merged.append(_joined(*pair))
            place += 2
        else:
            merged.append(word[place])
            place += 1
    return merged


class Subwords(tf.Module):
    """Splits words into pieces, in TensorFlow ops.

    Args:
        pieces: distinct ones, such as `learn` returns.
    """

    def __init__(self, pieces: Sequence[str]):
        super().__init__()
        # An array: tf.Module would track each string of a list.
        self.pieces = np.array(pieces, object)
        lengths = [len(one.removeprefix(CONTINUED)) for one in pieces]
        # The longest is looked up first.
        self._lengths = np.arange(max(lengths), 0, -1).astype(np.int32)
        with tf.device("CPU"):
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(self.pieces, tf.string),
                    tf.range(len(pieces), dtype=tf.int64),
                ),
                default_value=-1,
            )

    def __call__(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Returns the pieces of words [U] by their numbers, [U, None] int64.

        A character without a piece is left out.
        """
        sizes = tf.strings.length(words, "UTF8_CHAR")
        numbers = tf.range(tf.size(words, tf.int64))
        none = tf.zeros([0], tf.int64)

        def read(active, starts, owners, found):
            ids, lengths = self._longest(
                tf.gather(words, active),
                starts,
                tf.gather(sizes, active) - starts,
            )
            is_piece = ids >= 0
            owners = tf.concat([owners, active[is_piece]], axis=0)
            found = tf.concat([found, ids[is_piece]], axis=0)
            starts += lengths
            is_left = starts < tf.gather(sizes, active)
            return active[is_left], starts[is_left], owners, found

        shape = tf.TensorShape([None])
        active = numbers[sizes > 0]
        _, _, owners, found = tf.while_loop(
            lambda active, *_: tf.size(active) > 0,
            read,
            (active, tf.zeros_like(active, tf.int32), none, none),
            shape_invariants=(shape, shape, shape, shape),
        )
        order = tf.argsort(owners, stable=True)
        return tf.RaggedTensor.from_value_rowids(
            tf.gather(found, order),
            tf.gather(owners, order),
            tf.size(words, tf.int64),
            validate=False,
        )

    def _longest(
        self, words: tf.Tensor, starts: tf.Tensor, left: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the longest pieces that begin at places of words, and how
        many characters each covers, [A]; -1 and 1 where there is none.

        Args:
            words: [A].
            starts: [A], of characters.
            left: [A], how many characters follow.
        """
        shape = tf.stack([tf.size(words), len(self._lengths)])
        parts = tf.strings.substr(
            tf.broadcast_to(words[:, None], shape),
            tf.broadcast_to(starts[:, None], shape),
            tf.broadcast_to(self._lengths[None, :], shape),
            unit="UTF8_CHAR",
        )
        marks = tf.where(starts > 0, CONTINUED, "")
        ids = self._table.lookup(
            tf.strings.join([tf.broadcast_to(marks[:, None], shape), parts])
        )
        place = tf.argmax(tf.cast(ids >= 0, tf.int32), axis=1)
        best = tf.gather(ids, place, axis=1, batch_dims=1)
        lengths = tf.minimum(tf.gather(self._lengths, place), left)
        return best, tf.where(best >= 0, lengths, 1)
