"""Splits raw text into words and n-grams, in TensorFlow string ops.

The terms are those of scikit-learn's text vectorizers with their default
settings: Unicode lower case, then runs of two or more letters, digits or
underscores (`(?u)\\b\\w\\w+\\b`), then n-grams of neighbouring words joined by
one space. Characters newer than TensorFlow's Unicode tables (RE2 15, ICU 13) or
Python's may be classified or lower-cased differently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

# N texts, T occurrences of terms in a batch, U distinct terms in a batch

_MIN_WORD_LENGTH = 2  # characters

# Replaced first, because tf.strings.lower(encoding="utf-8") cuts a text at a
# zero byte, and follows the locale of the process: the same exported model
# would read "TITLE" and "İ" differently under a Turkish locale, and "Í" under
# a Lithuanian one.
_BEFORE_LOWER = (
    ("\\x00", " "),
    ("İ", "i\u0307"),
    ("Ì", "ì"),
    ("Í", "í"),
    ("Ĩ", "ĩ"),
)

# Without white space, since the split accepts any run of it: this makes the
# slowest step three times faster.
_NEITHER_WORD_NOR_SPACE = r"[^\p{L}\p{N}_\s]+"


def tensor(texts: Sequence[str]) -> tf.Tensor:
    """Returns a run of texts as a string tensor [N], UTF-8."""
    if isinstance(texts, str):
        raise ValueError(
            "`batches` must be runs of texts, such as [['one', 'two']]. "
            f"Received: the text {texts[:40]!r} as a run"
        )
    # A lone surrogate, which JSON can hold and UTF-8 cannot, becomes "?".
    encoded = [text.encode("utf-8", "replace") for text in texts]
    return tf.constant(encoded, tf.string, shape=[len(encoded)])


def graph(function: Callable[[tf.Tensor], Any]) -> Callable[[tf.Tensor], Any]:
    """Returns a function of a string tensor [N], any N, as a CPU graph."""

    def on_cpu(texts):
        with tf.device("CPU"):  # the only device with strings
            return function(texts)

    return tf.function(
        on_cpu,
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    ).get_concrete_function()


def terms(texts: tf.Tensor, ngrams: int) -> tuple[tf.Tensor, tf.RaggedTensor]:
    """Returns the distinct terms of N texts and where they occur.

    Args:
        texts: string tensor [N], UTF-8.
        ngrams: the longest n-gram, in words; 1 keeps single words.

    Returns:
        The distinct terms, string [U], and the occurrences in each text as
        positions among them, int64 [N, None]: shorter n-grams first, then in
        the order of the text.
    """
    num_rows = tf.size(texts, tf.int64)
    words, rows, ids = _words(texts)
    by_length = [(words, _ragged(ids, rows, num_rows))]
    grams = last_words = words
    for _ in range(ngrams - 1):
        grams, last_words, rows, ids = _extend_by_word(
            grams, last_words, rows, ids
        )
        by_length.append((grams, _ragged(ids, rows, num_rows)))
    return _join_lengths(by_length)


def count(ids: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Counts each distinct id in each row.

    Args:
        ids: int64 [N, None], none negative.

    Returns:
        The distinct ids of each row, ascending, int64 [N, None], and how often
        each occurs there, int64, one flat tensor.
    """
    # Add an empty row: the op refuses a batch without rows.
    splits = tf.concat([ids.row_splits, ids.row_splits[-1:]], axis=0)
    counts = tf.raw_ops.RaggedCountSparseOutput(
        splits=splits,
        values=ids.values,
        weights=tf.zeros([0], tf.int64),
        binary_output=False,
    )
    rows, distinct = tf.unstack(counts.output_indices, axis=1)
    return _ragged(distinct, rows, ids.nrows()), counts.output_values


def _words(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns distinct words [U], and each occurrence's row and word id [T]."""
    for pattern, rewrite in _BEFORE_LOWER:
        texts = tf.strings.regex_replace(texts, pattern, rewrite)
    texts = tf.strings.lower(texts)  # ASCII: "I" follows the locale below
    texts = tf.strings.lower(texts, encoding="utf-8")
    texts = tf.strings.regex_replace(texts, _NEITHER_WORD_NOR_SPACE, " ")
    # The raw op: tf.strings.split, which wraps it, takes twice as long.
    split = tf.raw_ops.StringSplitV2(input=texts, sep="")
    # Distinct strings first: the rest works on integers, and each word is
    # measured and looked up once per batch.
    words, ids = tf.unique(split.values, tf.int64)
    is_long = tf.strings.length(words, "UTF8_CHAR") >= _MIN_WORD_LENGTH
    positions = tf.where(tf.gather(is_long, ids))[:, 0]
    return (
        words,
        tf.gather(split.indices[:, 0], positions),
        tf.gather(ids, positions),
    )


def _extend_by_word(grams, last_words, rows, ids):
    """Joins overlapping n-grams to (n+1)-grams, in the order of the text.

    Args:
        grams, last_words: the distinct n-grams and the last word of each, [U].
        rows, ids: the row and position in `grams` of each occurrence, [T].

    Returns:
        The same four for the (n+1)-grams.
    """
    num_grams = tf.size(grams, tf.int64)
    starts = tf.where(rows[1:] == rows[:-1])[:, 0]
    # U is at most T, so the product is far below 2^63.
    pairs = tf.gather(ids, starts) * num_grams + tf.gather(ids, starts + 1)
    distinct, pair_ids = tf.unique(pairs, tf.int64)
    last_words = tf.gather(last_words, distinct % num_grams)
    grams = tf.strings.join(
        [tf.gather(grams, distinct // num_grams), last_words], " "
    )
    return grams, last_words, tf.gather(rows, starts), pair_ids


def _join_lengths(
    by_length: list[tuple[tf.Tensor, tf.RaggedTensor]],
) -> tuple[tf.Tensor, tf.RaggedTensor]:
    """Returns the terms and occurrences of all lengths of n-grams."""
    shifted, num_terms = [], tf.constant(0, tf.int64)
    for grams, occurrences in by_length:
        shifted.append(occurrences + num_terms)
        num_terms += tf.size(grams, tf.int64)
    all_grams = tf.concat([grams for grams, _ in by_length], axis=0)
    return all_grams, tf.concat(shifted, axis=1)


def _ragged(values, rows, num_rows) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_value_rowids(
        values, rows, num_rows, validate=False
    )
