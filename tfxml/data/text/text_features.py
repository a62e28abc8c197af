"""TF-IDF rows from raw text, in TensorFlow ops.

The same graph runs in the input pipeline and in exported models. It computes
what scikit-learn's `TfidfVectorizer` does with its default analyzer: it counts
words and n-grams (see `tokenizer`) of normalised texts, takes 1 + ln of the
counts if `sublinear_tf`, multiplies by a smooth inverse document frequency, and
divides by the L2 norm of the row.

# n texts of a batch, N documents, D features, E stored features of a batch
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfxml.data.text import (
    subwords,
    text_features_files,
    tokenizer,
    unicode_forms,
)


class TextFeatures(tf.Module):
    """Maps texts to sparse rows of unit length.

    A term's feature is its position in `terms` or, with `hash_buckets`, the
    bucket that it hashes to. A text without known terms gets an empty row.
    """

    def __init__(
        self,
        *,
        terms: Sequence[str] | None = None,
        hash_buckets: int | None = None,
        idf: np.ndarray | None = None,
        ngrams: int = 1,
        sublinear_tf: bool = True,
        unicode_normalization: str = "none",
        pieces: Sequence[str] | None = None,
    ):
        """Builds features from either `terms` or `hash_buckets`.

        Args:
            terms: distinct words or n-grams.
            hash_buckets: D, if terms are hashed.
            idf: inverse document frequency of each feature, [D]; None: 1.
            ngrams: the longest n-gram, in words.
            sublinear_tf: whether a count c weighs 1 + ln(c) instead of c.
            unicode_normalization: one of `text_options.UNICODE_FORMS`.
            pieces: of words, which are the tokens then; None: words are.
        """
        super().__init__()
        if terms is not None and hash_buckets is None:
            self.num_features = len(terms)
        elif terms is None and hash_buckets is not None:
            self.num_features = hash_buckets
        else:
            raise ValueError(
                "One of `terms` and `hash_buckets` must be given. Received: "
                + ("neither" if terms is None else "both")
            )
        check_count("ngrams", ngrams)
        check_count("hash_buckets", hash_buckets, may_be_none=True)
        if not isinstance(sublinear_tf, bool):
            raise ValueError(
                "`sublinear_tf` must be True or False. "
                f"Received: sublinear_tf={sublinear_tf!r}"
            )
        self.hash_buckets = hash_buckets
        self.ngrams = ngrams
        self.sublinear_tf = sublinear_tf
        self.unicode_normalization = unicode_normalization
        self._normalize = unicode_forms.normalizer(unicode_normalization)
        # An array: tf.Module would track each string of a list.
        self.terms = None if terms is None else np.array(terms, object)
        self.idf = None if idf is None else np.asarray(idf, np.float32)
        if self.idf is not None and self.idf.shape != (self.num_features,):
            raise ValueError(
                f"`idf` must have shape ({self.num_features},), one value per "
                f"feature. Received: idf.shape={self.idf.shape}"
            )
        self._subwords = None if pieces is None else subwords.Subwords(pieces)
        with tf.device("CPU"):
            self._table = None if self.terms is None else _table(self.terms)
            self._idf = None if self.idf is None else tf.constant(self.idf)

    @property
    def num_tokens(self) -> int:
        """One more than the largest token id."""
        if self._subwords is not None:
            return len(self._subwords.pieces) + 1
        return self.num_features + 1

    def __call__(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns ids (ascending, int32) and values (float32), [n, None].

        Args:
            texts: string tensor [n], UTF-8.
        """
        with tf.device("CPU"):  # the only device with strings
            ids, counts = self.count(tf.convert_to_tensor(texts, tf.string))
            values = self._weigh(ids, counts)
            return ids.with_values(tf.cast(ids.values, tf.int32)), values

    def count(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
        """Returns each row's features, [n, None], and their counts, [E]."""
        terms, occurrences = self.find_terms(texts)
        ids = self._features_of(terms)
        if self._table is not None:
            return tokenizer.count(_known(ids, occurrences))
        return tokenizer.count(
            occurrences.with_values(tf.gather(ids, occurrences.values))
        )

    def find_terms(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.RaggedTensor]:
        """Returns distinct terms and their positions; see `tokenizer.terms`."""
        return tokenizer.terms(self._normalize(texts), self.ngrams)

    def tokens(
        self, texts: tf.Tensor, max_tokens: int | None = None
    ) -> tf.RaggedTensor:
        """Returns the tokens of texts: their words' ids in order, [n, None].

        An id, int32, is the word's feature plus 1; 0 is left for padding. Words
        without a feature are left out; where words are hashed, all have one.
        With `pieces` the tokens are those of the words, numbered from 1.

        Args:
            texts: string tensor [n], UTF-8.
            max_tokens: the most tokens of a text, the first of it; None: all.
        """
        check_count("max_tokens", max_tokens, may_be_none=True)
        with tf.device("CPU"):  # the only device with strings
            texts = tf.convert_to_tensor(texts, tf.string)
            words, occurrences = tokenizer.terms(self._normalize(texts), 1)
            if self._subwords is not None:
                pieces = tf.gather(self._subwords(words), occurrences)
                ids = pieces.merge_dims(1, 2)
            else:
                ids = _known(self._features_of(words), occurrences)
            if max_tokens is not None:
                ids = ids[:, :max_tokens]
            return ids.with_values(tf.cast(ids.values + 1, tf.int32))

    def save(self, folder: str | os.PathLike) -> None:
        """Writes plain files that `load` reads back bit by bit."""
        settings = {
            "hash_buckets": self.hash_buckets,
            "ngrams": self.ngrams,
            "sublinear_tf": self.sublinear_tf,
            "unicode_normalization": self.unicode_normalization,
        }
        pieces = None if self._subwords is None else self._subwords.pieces
        text_features_files.write(
            folder, settings, self.terms, self.idf, pieces
        )

    def _features_of(self, terms: tf.Tensor) -> tf.Tensor:
        """Returns the feature of each term, int64; -1 where it has none."""
        if self._table is not None:
            return self._table.lookup(terms)
        return tf.strings.to_hash_bucket_fast(terms, self.hash_buckets)

    def _weigh(
        self, ids: tf.RaggedTensor, counts: tf.Tensor
    ) -> tf.RaggedTensor:
        """Returns the rows' TF-IDF values, of unit length, [n, None]."""
        rows = ids.value_rowids()
        values = tf.cast(counts, tf.float32)
        if self.sublinear_tf:
            values = 1.0 + tf.math.log(values)
        if self._idf is not None:
            values *= tf.gather(self._idf, ids.values)
        squares = tf.math.unsorted_segment_sum(
            tf.square(values), rows, ids.nrows()
        )
        return ids.with_values(values / tf.gather(tf.sqrt(squares), rows))


def load(folder: str | os.PathLike) -> TextFeatures:
    """Returns the features that `TextFeatures.save` wrote.

    Raises:
        DataError: if a file is missing or was changed.
    """
    settings, terms, idf, pieces = text_features_files.read(folder)
    return TextFeatures(**settings, terms=terms, idf=idf, pieces=pieces)


def _known(ids: tf.Tensor, occurrences: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the ids of the occurrences whose terms have one, [n, None]."""
    ids = tf.gather(ids, occurrences.values)
    positions = tf.where(ids >= 0)[:, 0]
    return tf.RaggedTensor.from_value_rowids(
        tf.gather(ids, positions),
        tf.gather(occurrences.value_rowids(), positions),
        occurrences.nrows(),
        validate=False,
    )


def _table(terms: np.ndarray) -> tf.lookup.StaticHashTable:
    """Returns a table from terms to their positions; -1: an unknown term."""
    positions = tf.range(len(terms), dtype=tf.int64)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(terms, tf.string), positions
        ),
        default_value=-1,
    )


def check_count(
    name: str, value: int | None, may_be_none: bool = False
) -> None:
    """Raises ValueError unless a value is a positive integer."""
    if value is None and may_be_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. "
            f"Received: {name}={value!r}"
        )
