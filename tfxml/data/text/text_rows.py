"""Turns a stream of texts into rows, as arrays.

# n texts of a batch, E stored features, T stored tokens
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfxml.data import parallel
from tfxml.data.text import text_features, tokenizer


def stream(
    features: text_features.TextFeatures,
    batches: Iterable[Sequence[str]],
    with_tokens: bool = False,
    max_tokens: int | None = None,
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields the rows of each batch of texts, in order.

    They are feature splits [n + 1], feature ids [E] and feature values [E];
    then, with tokens, token splits [n + 1] and token ids [T].

    Args:
        features: turn texts into rows.
        batches: runs of texts. About a megabyte per run is fastest; memory
            grows with the longest.
        with_tokens: whether to yield the texts' tokens too.
        max_tokens: the most tokens of a text; see `TextFeatures.tokens`.
    """

    def rows(texts: tf.Tensor) -> list[tf.Tensor]:
        ids, values = features(texts)
        arrays = [ids.row_splits, ids.values, values.values]
        if with_tokens:
            # Splits the texts again, but only once in effect: TensorFlow
            # merges equal operations of a graph.
            tokens = features.tokens(texts, max_tokens)
            arrays += [tokens.row_splits, tokens.values]
        return arrays

    graph = tokenizer.graph(rows)

    def batch_arrays(texts: Sequence[str]) -> tuple[np.ndarray, ...]:
        return tuple(x.numpy() for x in graph(tokenizer.tensor(texts)))

    return parallel.in_order(batch_arrays, batches)
