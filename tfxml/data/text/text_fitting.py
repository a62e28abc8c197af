"""Fits text features to the documents of a training split."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from tfxml.data import parallel
from tfxml.data.text import (
    subwords,
    text_features,
    tokenizer,
    unicode_forms,
    vocabulary,
)


def fit(
    batches: Iterable[Sequence[str]],
    *,
    unicode_normalization: str = "none",
    ngrams: int = 1,
    ngram_weight: float = 1.0,
    min_df: int | float = 1,
    max_features: int | None = None,
    sublinear_tf: bool = True,
    use_idf: bool = True,
    idf_power: float = 1.0,
    hash_buckets: int | None = None,
    num_subwords: int | None = None,
) -> text_features.TextFeatures:
    """Fits features to the documents of a training split, in one pass.

    Memory grows with the number of distinct terms and the longest batch.
    With `hash_buckets` and without `use_idf` there is nothing to fit, and the
    documents are not read.

    Args:
        batches: runs of documents. About a megabyte a run is fastest.
        unicode_normalization: one of `text_options.UNICODE_FORMS`.
        ngrams: the longest n-gram, in words.
        ngram_weight: multiplies the inverse document frequency of n-grams of
            two words and more, or their weight of 1 without `use_idf`; not
            with `hash_buckets`, which hold words and n-grams alike.
        min_df: the fewest documents of a term: a number, or a share in (0, 1).
        max_features: how many terms to keep, those of the largest total
            counts; None: all.
        sublinear_tf: whether a count c weighs 1 + ln(c) instead of c.
        use_idf: whether to weigh by inverse document frequency.
        idf_power: to which power.
        hash_buckets: how many features to hash terms into, instead of keeping
            a vocabulary; not with `min_df` or `max_features`.
        num_subwords: how many pieces of words are the tokens; None: words are.
            Not with `hash_buckets`.

    Raises:
        ValueError: for a bad argument, or documents that leave no feature.
    """
    text_features.check_count("ngrams", ngrams)
    text_features.check_count("max_features", max_features, may_be_none=True)
    text_features.check_count("hash_buckets", hash_buckets, may_be_none=True)
    text_features.check_count("num_subwords", num_subwords, may_be_none=True)
    _check_min_df(min_df)
    _check_ngram_weight(ngram_weight, hash_buckets)
    _check_positive("idf_power", idf_power)
    create = functools.partial(
        text_features.TextFeatures,
        ngrams=ngrams,
        sublinear_tf=sublinear_tf,
        unicode_normalization=unicode_normalization,
    )
    if hash_buckets is None:
        normalize = unicode_forms.normalizer(unicode_normalization)
        counts = vocabulary.count(batches, ngrams, normalize=normalize)
        terms, document_counts = counts.select(min_df, max_features)
        idf = None
        if use_idf:
            idf = vocabulary.smooth_idf(document_counts, counts.num_documents)
            idf = idf**idf_power
        if ngram_weight != 1:
            factors = vocabulary.ngram_factors(terms, ngram_weight)
            idf = factors if idf is None else idf * factors
        pieces = None
        if num_subwords is not None:
            pieces = subwords.learn(*counts.words(min_df), num_subwords)
        return create(terms=terms, idf=idf, pieces=pieces)
    if num_subwords is not None:
        raise ValueError(
            "`num_subwords` must be left out with `hash_buckets`, which counts "
            f"no words. Received: num_subwords={num_subwords}"
        )
    if min_df != 1 or max_features is not None:
        raise ValueError(
            "`min_df` and `max_features` choose the terms of a vocabulary and "
            "must be left out with `hash_buckets`. Received: "
            f"min_df={min_df}, max_features={max_features}"
        )
    plain = create(hash_buckets=hash_buckets)
    if not use_idf:
        return plain
    idf = _bucket_idf(plain, batches) ** idf_power
    return create(hash_buckets=hash_buckets, idf=idf)


def _bucket_idf(
    features: text_features.TextFeatures, batches: Iterable[Sequence[str]]
) -> np.ndarray:
    """Returns the inverse document frequency of each bucket, [D]."""
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


def _check_min_df(min_df: int | float) -> None:
    """Raises ValueError unless it is a number or a fraction of documents."""
    is_share = isinstance(min_df, float) and 0 < min_df < 1
    is_number = isinstance(min_df, int) and not isinstance(min_df, bool)
    if not (is_share or is_number and min_df >= 1):
        raise ValueError(
            "`min_df` must be an integer of at least 1 or a share in (0, 1). "
            f"Received: min_df={min_df!r}"
        )


def _check_positive(name: str, value: float) -> None:
    """Raises ValueError unless a number is positive and finite."""
    if not 0 < value < float("inf"):
        raise ValueError(
            f"`{name}` must be a finite number above 0. "
            f"Received: {name}={value!r}"
        )


def _check_ngram_weight(weight: float, hash_buckets: int | None) -> None:
    """Raises ValueError unless the weight is positive, and 1 for buckets."""
    _check_positive("ngram_weight", weight)
    if weight != 1 and hash_buckets is not None:
        raise ValueError(
            "`ngram_weight` must be 1 with `hash_buckets`, which hold words "
            f"and n-grams alike. Received: ngram_weight={weight!r}"
        )
