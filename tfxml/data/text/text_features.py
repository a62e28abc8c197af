"""TF-IDF rows from raw text, as TensorFlow ops.

The same graph runs in the input pipeline and in the exported model. It
computes what scikit-learn's `TfidfVectorizer` does with its default analyzer:
counts of words and n-grams (see tokenizer.py) of texts brought into a Unicode
form or left as they are, 1 + ln of them if `sublinear_tf`, times a smooth
inverse document frequency, divided by the L2 norm of the row.

# n texts of a batch, N documents, D features, E stored features of a batch
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Sequence

import numpy as np
import tensorflow as tf

from tfxml.data import parallel
from tfxml.data.text import (
    text_features_files,
    tokenizer,
    unicode_forms,
    vocabulary,
)


class TextFeatures(tf.Module):
    """Maps texts to sparse rows of unit length (or none, without known terms).

    A term's feature is its place in `terms`; or, with `hash_buckets` in its
    stead, the bucket that it hashes to, which needs no table.
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
    ):
        """Builds the features of one of `terms` and `hash_buckets`.

        Args:
            terms: distinct words or n-grams.
            hash_buckets: D, where terms are hashed.
            idf: inverse document frequency of each feature, [D]; or None to
                leave it out.
            ngrams: the longest n-gram, in words.
            sublinear_tf: whether a count c weighs 1 + ln(c) in place of c.
            unicode_normalization: one of `unicode_forms.CHOICES`.
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
        _check_count("ngrams", ngrams)
        _check_count("hash_buckets", hash_buckets, may_be_none=True)
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
        # Arrays, because tf.Module would track each string of a list.
        self.terms = None if terms is None else np.array(terms, object)
        self.idf = None if idf is None else np.asarray(idf, np.float32)
        if self.idf is not None and self.idf.shape != (self.num_features,):
            raise ValueError(
                f"`idf` must have shape ({self.num_features},), one value a "
                f"feature. Received: idf.shape={self.idf.shape}"
            )
        with tf.device("CPU"):
            self._table = None if self.terms is None else _table(self.terms)
            self._idf = None if self.idf is None else tf.constant(self.idf)

    @property
    def num_tokens(self) -> int:
        """One more than the largest token id."""
        return self.num_features + 1

    def __call__(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns ids (ascending, int32) and values (float32), [n, None].

        Args:
            texts: string tensor [n], UTF-8.
        """
        with tf.device("CPU"):  # strings are nowhere else
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
        """Returns distinct terms and where they are; see `tokenizer.terms`."""
        return tokenizer.terms(self._normalize(texts), self.ngrams)

    def tokens(
        self, texts: tf.Tensor, max_tokens: int | None = None
    ) -> tf.RaggedTensor:
        """Returns the tokens of texts: their words' ids in order, [n, None].

        An id, int32, is one more than the word's feature: 0 is left for
        padding. Words without a feature are left out; hashed words have one.

        Args:
            texts: string tensor [n], UTF-8.
            max_tokens: the most tokens of a text, the first of it; None: all.
        """
        _check_count("max_tokens", max_tokens, may_be_none=True)
        with tf.device("CPU"):  # strings are nowhere else
            texts = tf.convert_to_tensor(texts, tf.string)
            words, occurrences = tokenizer.terms(self._normalize(texts), 1)
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
        text_features_files.write(folder, settings, self.terms, self.idf)

    def _features_of(self, terms: tf.Tensor) -> tf.Tensor:
        """Returns the feature of each term, int64; -1 where it has none."""
        if self._table is not None:
            return self._table.lookup(terms)
        return tf.strings.to_hash_bucket_fast(terms, self.hash_buckets)

    def _weigh(self, ids: tf.RaggedTensor, counts: tf.Tensor):
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
    """Returns what `TextFeatures.save` wrote.

    Raises DataError if a file is missing or is not as it was written.
    """
    settings, terms, idf = text_features_files.read(folder)
    return TextFeatures(**settings, terms=terms, idf=idf)


def fit(
    batches: Iterable[Sequence[str]],
    *,
    unicode_normalization: str = "none",
    ngrams: int = 1,
    min_df: int | float = 1,
    max_features: int | None = None,
    sublinear_tf: bool = True,
    use_idf: bool = True,
    hash_buckets: int | None = None,
) -> TextFeatures:
    """Fits features to the documents of a training split, in one pass.

    Memory grows with the number of distinct terms and the longest batch.
    Without a vocabulary and without `use_idf` there is nothing to fit, and
    the documents are not read.

    Args:
        batches: runs of documents. About a megabyte a run is fastest.
        unicode_normalization: one of `unicode_forms.CHOICES`.
        ngrams: the longest n-gram, in words.
        min_df: the fewest documents of a term: a number, or a share in (0, 1).
        max_features: how many terms to keep, those of the largest total
            counts.
        sublinear_tf: whether a count c weighs 1 + ln(c) in place of c.
        use_idf: whether to weigh by inverse document frequency.
        hash_buckets: number of features to hash terms to, in place of a
            vocabulary; leaves `min_df` and `max_features` without a use.

    Raises:
        ValueError: for a bad argument, or documents that leave no feature.
    """
    _check_count("ngrams", ngrams)
    _check_count("max_features", max_features, may_be_none=True)
    _check_count("hash_buckets", hash_buckets, may_be_none=True)
    _check_min_df(min_df)
    create = functools.partial(
        TextFeatures,
        ngrams=ngrams,
        sublinear_tf=sublinear_tf,
        unicode_normalization=unicode_normalization,
    )
    if hash_buckets is None:
        normalize = unicode_forms.normalizer(unicode_normalization)
        counts = vocabulary.count(batches, ngrams, normalize=normalize)
        terms, document_counts = counts.select(min_df, max_features)
        idf = vocabulary.smooth_idf(document_counts, counts.num_documents)
        return create(terms=terms, idf=idf if use_idf else None)
    if min_df != 1 or max_features is not None:
        raise ValueError(
            "`min_df` and `max_features` choose the terms of a vocabulary and "
            "must be left out with `hash_buckets`. Received: "
            f"min_df={min_df}, max_features={max_features}"
        )
    plain = create(hash_buckets=hash_buckets)
    if not use_idf:
        return plain
    idf = _bucket_idf(plain, batches)
    return create(hash_buckets=hash_buckets, idf=idf)


def _bucket_idf(features: TextFeatures, batches) -> np.ndarray:
    graph = tokenizer.graph(features.count)

    def batch_counts(texts):
        ids, _ = graph(tokenizer.tensor(texts))
        return len(texts), ids.values.numpy()

    num_documents = 0
    document_counts = np.zeros(features.num_features, np.int64)
    for size, ids in parallel.in_order(batch_counts, batches):
        num_documents += size
        document_counts += np.bincount(ids, minlength=len(document_counts))
    if not document_counts.any():
        raise ValueError(
            "`batches` must hold a term (two or more letters or digits). "
            f"Received: {num_documents} documents without one"
        )
    return vocabulary.smooth_idf(document_counts, num_documents)


def _known(ids: tf.Tensor, occurrences: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the ids of those occurrences whose term has one, [n, None]."""
    ids = tf.gather(ids, occurrences.values)
    known = tf.where(ids >= 0)[:, 0]
    return tf.RaggedTensor.from_value_rowids(
        tf.gather(ids, known),
        tf.gather(occurrences.value_rowids(), known),
        occurrences.nrows(),
        validate=False,
    )


def _table(terms: np.ndarray) -> tf.lookup.StaticHashTable:
    positions = tf.range(len(terms), dtype=tf.int64)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(
            tf.constant(terms, tf.string), positions
        ),
        default_value=-1,
    )


def _check_count(name: str, value, may_be_none: bool = False) -> None:
    if value is None and may_be_none:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{name}` must be an integer of at least 1. "
            f"Received: {name}={value!r}"
        )


def _check_min_df(min_df) -> None:
    is_share = isinstance(min_df, float) and 0 < min_df < 1
    is_number = isinstance(min_df, int) and not isinstance(min_df, bool)
    if not (is_share or is_number and min_df >= 1):
        raise ValueError(
            "`min_df` must be an integer of at least 1 or a share in (0, 1). "
            f"Received: min_df={min_df!r}"
        )
