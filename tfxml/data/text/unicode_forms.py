"""Unicode's normalisation forms NFC and NFKC, as TensorFlow operations.

Unicode Standard Annex 15: full decomposition, canonical ordering of marks,
canonical composition. The tables are those of Python's `unicodedata`, so an
answer is that of `unicodedata.normalize` of the Python that made them, and
they go into the graph: TensorFlow's core has no such operation.

Nearly all text is in both forms already. Characters that are so whatever
stands beside them are called settled; a text of settled characters alone is
told by one regular expression. Elsewhere only the pieces around the others are
looked at: an unsettled run and the settled character before it, for nothing
reaches over a settled character. Each distinct piece of a batch is normalised
once.

# N texts, P distinct pieces, C characters of all pieces, E entries of a table
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfxml.data.text import unicode_tables

CHOICES = ("none", "NFC", "NFKC")

# A byte that no UTF-8 has marks where pieces begin and end.
_EDGE = b"\xff"
# Before each piece: a starter that no table has.
_HEAD = -1


def normalizer(form: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function of string tensors [N] for one of `CHOICES`."""
    if form not in CHOICES:
        raise ValueError(
            f"`unicode_normalization` must be one of {CHOICES}. "
            f"Received: unicode_normalization={form!r}"
        )
    return tf.identity if form == "none" else Normalizer(form)


class Normalizer(tf.Module):
    """Brings texts into a normalisation form.

    Bytes that are not UTF-8 become U+FFFD.

    Args:
        form: NFC or NFKC.
    """

    def __init__(self, form: str):
        super().__init__()
        found = unicode_tables.read(form)
        self._settled = f"[^{found.unsettled}]*"
        self._piece = f"[^{found.unsettled}]?[{found.unsettled}]+"
        with tf.device("CPU"):  # strings are nowhere else
            self._decomposed = tf.constant(found.decomposed)
            self._part_splits = tf.constant(found.part_splits)
            self._parts = tf.constant(found.parts)
            self._marks = tf.constant(found.marks)
            self._classes = tf.constant(found.classes)
            self._pairs = tf.constant(found.pairs)
            self._composites = tf.constant(found.composites)
            self._seconds = tf.constant(found.seconds)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns the texts normalised, string [N].

        Args:
            texts: string tensor [N], UTF-8.
        """
        is_settled = tf.strings.regex_full_match(texts, self._settled)

        def replaced():
            places = tf.where(~is_settled)
            others = self._by_pieces(tf.gather_nd(texts, places))
            return tf.tensor_scatter_nd_update(texts, places, others)

        return tf.cond(
            tf.reduce_all(is_settled), lambda: tf.identity(texts), replaced
        )

    def _by_pieces(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns texts normalised that are worth a look, string [N]."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8")
        marked = tf.strings.regex_replace(
            texts, self._piece, _EDGE + rb"\0" + _EDGE
        )
        # The raw operation: tf.strings.split takes twice as long to wrap it.
        split = tf.raw_ops.StringSplitV2(input=marked, sep=_EDGE)
        rows, columns = tf.unstack(split.indices, axis=1)
        # Each edge ends one and begins another, so every second is a piece.
        places = tf.where(columns % 2 == 1)
        pieces, ids = tf.unique(tf.gather_nd(split.values, places))
        strings = tf.tensor_scatter_nd_update(
            split.values, places, tf.gather(self._normalize(pieces), ids)
        )
        return tf.strings.unsorted_segment_join(
            strings, rows, tf.size(texts, tf.int64)
        )

    def _normalize(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns texts normalised, character by character, string [P]."""
        codes = tf.strings.unicode_decode(texts, "UTF-8")
        heads = tf.fill([codes.nrows(), 1], _HEAD)
        codes = tf.concat([heads, codes], axis=1).flat_values
        codes = self._compose(self._order(self._decompose(codes)))
        is_head = codes == _HEAD
        kept = tf.where(~is_head)[:, 0]
        rows = tf.cumsum(tf.cast(is_head, tf.int64)) - 1
        return tf.strings.unicode_encode(
            tf.RaggedTensor.from_value_rowids(
                tf.gather(codes, kept),
                tf.gather(rows, kept),
                tf.size(texts, tf.int64),
                validate=False,
            ),
            "UTF-8",
        )

    def _decompose(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns each character's full decomposition, int32 [C]."""
        places, is_found = _look_up(self._decomposed, codes)
        # A character that has none is its own: they lie behind the table.
        table = tf.concat([self._parts, codes], axis=0)
        own = tf.size(self._parts) + tf.range(tf.size(codes))
        firsts = tf.where(is_found, tf.gather(self._part_splits, places), own)
        limits = tf.where(
            is_found, tf.gather(self._part_splits, places + 1), own + 1
        )
        return tf.gather(table, tf.ragged.range(firsts, limits).flat_values)

    def _order(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns the marks behind each starter by their classes, [C]."""
        classes = tf.cast(self._classes_of(codes), tf.int64)
        runs = tf.cumsum(tf.cast(classes == 0, tf.int64))
        size = tf.size(codes, tf.int64)
        # Of one class they stay as they are; C is far below 2^27.
        keys = (runs * 256 + classes) * size + tf.range(size)
        return tf.gather(codes, tf.argsort(keys))

    def _compose(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns the characters composed where they can be, int32 [C].

        A starter that is no second of a pair begins a segment of its own. In
        each segment the first pair that there is becomes one character, and
        what was passed over before it is passed for good; and so on until no
        segment has one, which are as many times as a starter takes marks.
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
            # The place up to which each segment is done.
            done = tf.math.unsorted_segment_max(
                seconds, tf.gather(segments, seconds), segments[-1] + 1
            )
            is_passed |= tf.range(tf.size(codes)) <= tf.gather(done, segments)
            is_kept = tf.tensor_scatter_nd_update(
                tf.fill([tf.size(codes)], True),
                seconds[:, None],
                tf.fill([tf.size(seconds)], False),
            )
            kept = tf.where(is_kept)[:, 0]
            return (
                tf.gather(codes, kept),
                tf.gather(segments, kept),
                tf.gather(is_passed, kept),
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
        """Returns each segment's first pair: places of both, composites.

        Args:
            codes: characters, int32 [C].
            segments: the segment of each, ascending.
            is_passed: whether it can be no second of a pair any more.
        """
        classes = self._classes_of(codes)
        is_starter = classes == 0
        numbers = tf.cumsum(tf.cast(is_starter, tf.int32), exclusive=True)
        # Of the last starter before each; the first of all has none.
        starters = tf.gather(
            tf.concat([[0], tf.cast(tf.where(is_starter)[:, 0], tf.int32)], 0),
            numbers,
        )
        keys = unicode_tables.pair_key(
            tf.cast(tf.gather(codes, starters), tf.int64),
            tf.cast(codes, tf.int64),
        )
        found, is_pair = _look_up(self._pairs, keys)
        # What stands between must be of a lower class, or nothing.
        before = tf.concat([[0], classes[:-1]], axis=0)
        is_beside = starters == tf.range(tf.size(codes)) - 1
        is_free = is_beside | (before < classes)
        places = tf.cast(
            tf.where(is_pair & is_free & ~is_passed)[:, 0], tf.int32
        )
        owners = tf.gather(segments, places)
        earlier = tf.concat([[-1], owners[:-1]], axis=0)
        places = tf.gather(places, tf.where(owners != earlier)[:, 0])
        composites = tf.gather(self._composites, tf.gather(found, places))
        return tf.gather(starters, places), places, composites

    def _classes_of(self, codes: tf.Tensor) -> tf.Tensor:
        """Returns canonical combining classes, int32 [C]; a starter's is 0."""
        places, is_mark = _look_up(self._marks, codes)
        return tf.where(is_mark, tf.gather(self._classes, places), 0)


def _look_up(table: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns places in an ascending table [E], and whether it has the keys.

    The place of one that it has not is any.
    """
    places = tf.searchsorted(table, keys)
    places = tf.minimum(places, tf.size(table) - 1)
    return places, tf.gather(table, places) == keys
