"""Normalises text to Unicode's forms NFC and NFKC, in TensorFlow ops.

Unicode Standard Annex 15: full decomposition, canonical ordering of marks,
canonical composition. TensorFlow has no such op, so tables of Python's
`unicodedata` become part of the graph; the result is that of
`unicodedata.normalize` in the Python that built it.

Nearly all text is in both forms already. A character is called settled if it
is normalised whatever its neighbours are. One regular expression recognises
texts of settled characters alone. In other texts only pieces are normalised:
each run of unsettled characters with the settled character before it, because
nothing composes across a settled character. Each distinct piece of a batch is
normalised once.

# N texts, P distinct pieces, C characters of all pieces, E entries of a table
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfxml.data.text import text_options, unicode_tables

# Marks where pieces begin and end: a byte that UTF-8 never has.
_EDGE = b"\xff"
# Put before each piece: a starter that is in no table.
_HEAD = -1


def normalizer(form: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function of string tensors [N] for a form of text_options."""
    if form not in text_options.UNICODE_FORMS:
        raise ValueError(
            f"`unicode_normalization` must be one of "
            f"{text_options.UNICODE_FORMS}. "
            f"Received: unicode_normalization={form!r}"
        )
    return tf.identity if form == "none" else Normalizer(form)


class Normalizer(tf.Module):
    """Normalises texts to one form.

    Bytes that are not UTF-8 become U+FFFD.

    Args:
        form: NFC or NFKC.
    """

    def __init__(self, form: str):
        super().__init__()
        tables = unicode_tables.read(form)
        self._settled = f"[^{tables.unsettled}]*"
        self._piece = f"[^{tables.unsettled}]?[{tables.unsettled}]+"
        with tf.device("CPU"):  # the only device with strings
            self._decomposed = tf.constant(tables.decomposed)
            self._part_splits = tf.constant(tables.part_splits)
            self._parts = tf.constant(tables.parts)
            self._marks = tf.constant(tables.marks)
            self._classes = tf.constant(tables.classes)
            self._pairs = tf.constant(tables.pairs)
            self._composites = tf.constant(tables.composites)
            self._seconds = tf.constant(tables.seconds)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns the texts normalised, string [N].

        Args:
            texts: string tensor [N], UTF-8.
        """
        is_settled = tf.strings.regex_full_match(texts, self._settled)

        def with_normalized():
            positions = tf.where(~is_settled)
            normalized = self._by_pieces(tf.gather_nd(texts, positions))
            return tf.tensor_scatter_nd_update(texts, positions, normalized)

        return tf.cond(
            tf.reduce_all(is_settled),
            lambda: tf.identity(texts),
            with_normalized,
        )

    def _by_pieces(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalises the pieces of texts that need it, string [N]."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        marked = tf.strings.regex_replace(
            texts, self._piece, _EDGE + rb"\0" + _EDGE
        )
        # The raw op: tf.strings.split, which wraps it, takes twice as long.
        split = tf.raw_ops.StringSplitV2(input=marked, sep=_EDGE)
        rows, columns = tf.unstack(split.indices, axis=1)
        # Text and pieces alternate, so every second part is a piece.
        positions = tf.where(columns % 2 == 1)
        pieces, ids = tf.unique(tf.gather_nd(split.values, positions))
        strings = tf.tensor_scatter_nd_update(
            split.values, positions, tf.gather(self._normalize(pieces), ids)
        )
        return tf.strings.unsorted_segment_join(
            strings, rows, tf.size(texts, tf.int64)
        )

    def _normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Normalises pieces character by character, string [P]."""
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        heads = tf.fill([codes.nrows(), 1], _HEAD)
        codes = tf.concat([heads, codes], axis=1).flat_values
        codes = self._compose(self._order(self._decompose(codes)))
        is_head = codes == _HEAD
        positions = tf.where(~is_head)[:, 0]
        rows = tf.cumsum(tf.cast(is_head, tf.int64)) - 1
        return tf.strings.unicode_encode(
            tf.RaggedTensor.from_value_rowids(
                tf.gather(codes, positions),
                tf.gather(rows, positions),
                tf.size(texts, tf.int64),
                validate=False,
            ),
            "UTF-8",
        )

    def _decompose(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns each character's full decomposition, int32 [C]."""
        entries, is_found = _look_up(self._decomposed, codes)
        # Characters without one map to themselves: they follow the table.
        table = tf.concat([self._parts, codes], axis=0)
        own_position = tf.size(self._parts) + tf.range(tf.size(codes))
        starts = tf.where(
            is_found, tf.gather(self._part_splits, entries), own_position
        )
        limits = tf.where(
            is_found,
            tf.gather(self._part_splits, entries + 1),
            own_position + 1,
        )
        return tf.gather(table, tf.ragged.range(starts, limits).flat_values)

    def _order(self, codes: tf.Tensor) -> tf.Tensor:
        """Sorts the marks after each starter by their classes, int32 [C]."""
        classes = tf.cast(self._classes_of(codes), tf.int64)
        runs = tf.cumsum(tf.cast(classes == 0, tf.int64))
        size = tf.size(codes, tf.int64)
        # Marks of one class keep their order. C is far below 2^27.
        keys = (runs * 256 + classes) * size + tf.range(size)
        return tf.gather(codes, tf.argsort(keys))

    def _compose(self, codes: tf.Tensor) -> tf.Tensor:
        """Composes pairs of characters where possible, int32 [C].

        A starter that is never the second of a pair begins a segment. In each
        segment the first pair becomes one character, and the characters before
        its second are finished. This repeats until no segment has a pair, as
        often as a starter has marks.
        """
        is_second = _look_up(self._seconds, codes)[1]
        is_starter = self._classes_of(codes) == 0
        segments = tf.cumsum(tf.cast(is_starter & ~is_second, tf.int32))

        def step(codes, segments, is_passed, _):
            firsts, seconds, composites = self._first_pairs(
                codes, segments, is_passed
            )
            codes = tf.tensor_scatter_nd_update(
                codes, firsts[:, None], composites
            )
            # Each segment is finished up to here.
            last_seconds = tf.math.unsorted_segment_max(
                seconds, tf.gather(segments, seconds), segments[-1] + 1
            )
            is_passed |= tf.range(tf.size(codes)) <= tf.gather(
                last_seconds, segments
            )
            is_kept = tf.tensor_scatter_nd_update(
                tf.fill([tf.size(codes)], True),
                seconds[:, None],
                tf.fill([tf.size(seconds)], False),
            )
            positions = tf.where(is_kept)[:, 0]
            return (
                tf.gather(codes, positions),
                tf.gather(segments, positions),
                tf.gather(is_passed, positions),
                tf.size(seconds) > 0,
            )

        is_passed = tf.fill([tf.size(codes)], False)
        vector = tf.TensorShape([None])
        return tf.while_loop(
            lambda *state: state[-1],
            step,
            (codes, segments, is_passed, tf.size(codes) > 0),
            shape_invariants=(vector, vector, vector, tf.TensorShape([])),
        )[0]

    def _first_pairs(self, codes, segments, is_passed):
        """Returns each segment's first pair: positions of both, composites.

        Args:
            codes: characters, int32 [C].
            segments: the segment of each, ascending.
            is_passed: whether each can no longer be the second of a pair.
        """
        classes = self._classes_of(codes)
        is_starter = classes == 0
        starter_numbers = tf.cumsum(
            tf.cast(is_starter, tf.int32), exclusive=True
        )
        # The last starter before each character; the very first has none.
        starters = tf.gather(
            tf.concat([[0], tf.cast(tf.where(is_starter)[:, 0], tf.int32)], 0),
            starter_numbers,
        )
        keys = unicode_tables.pair_key(
            tf.cast(tf.gather(codes, starters), tf.int64),
            tf.cast(codes, tf.int64),
        )
        pair_entries, is_pair = _look_up(self._pairs, keys)
        # Marks between the two must be of a lower class.
        class_before = tf.concat([[0], classes[:-1]], axis=0)
        is_adjacent = starters == tf.range(tf.size(codes)) - 1
        is_free = is_adjacent | (class_before < classes)
        seconds = tf.cast(
            tf.where(is_pair & is_free & ~is_passed)[:, 0], tf.int32
        )
        second_segments = tf.gather(segments, seconds)
        segment_before = tf.concat([[-1], second_segments[:-1]], axis=0)
        seconds = tf.gather(
            seconds, tf.where(second_segments != segment_before)[:, 0]
        )
        composites = tf.gather(
            self._composites, tf.gather(pair_entries, seconds)
        )
        return tf.gather(starters, seconds), seconds, composites

    def _classes_of(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns canonical combining classes, int32 [C]; a starter's is 0."""
        entries, is_mark = _look_up(self._marks, codes)
        return tf.where(is_mark, tf.gather(self._classes, entries), 0)


def _look_up(table: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the entries of keys in an ascending table [E], and which exist.

    The entry of a key that does not exist is arbitrary.
    """
    entries = tf.searchsorted(table, keys)
    entries = tf.minimum(entries, tf.size(table) - 1)
    return entries, tf.gather(table, entries) == keys
