"""Sparse rows, a few at a time.

# E features of the rows of a chunk
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfxml.models import row_forms

_ROWS_OF_CHUNK = 32


class Chunk(NamedTuple):
    """A run of rows."""

    first: tf.Tensor  # scalar int32: number of the first row
    num_rows: tf.Tensor  # scalar int32
    feature_ids: tf.Tensor  # [E]
    values: tf.Tensor  # [E]
    splits: tf.Tensor  # [rows + 1] int64, from 0
    owners: tf.Tensor  # [E] int32: the row of each element

    def of(self, tensor: tf.Tensor) -> tf.Tensor:
        """Returns the part of a tensor [N, ...] for these rows."""
        return tensor[self.first : self.first + self.num_rows]


def map_chunks(
    function: Callable[[Chunk], tuple[tf.Tensor, ...]],
    rows: row_forms.RaggedRows,
    specs: tuple[tf.TensorSpec, ...],
) -> list[tf.Tensor]:
    """Applies a function to a few rows at a time; returns the joined results.

    This keeps intermediate results in the processor's caches.

    Args:
        function: takes a `Chunk` and returns tensors [rows of it, ...].
        rows: all rows.
        specs: of the tensors that `function` returns.
    """
    num_rows = tf.size(rows.splits, tf.int32) - 1
    num_chunks = tf.maximum(-(-num_rows // _ROWS_OF_CHUNK), 1)

    def map_chunk(chunk_number, *arrays):
        first_row = chunk_number * _ROWS_OF_CHUNK
        end_row = tf.minimum(first_row + _ROWS_OF_CHUNK, num_rows)
        splits = rows.splits[first_row : end_row + 1]
        entries = slice(splits[0], splits[-1])
        owners = tf.searchsorted(
            splits[1:],
            tf.range(splits[0], splits[-1]),
            side="right",
            out_type=tf.int32,
        )
        chunk = Chunk(
            first_row,
            end_row - first_row,
            rows.feature_ids[entries],
            rows.values[entries],
            splits - splits[0],
            owners,
        )
        results = function(chunk)
        return chunk_number + 1, *(
            array.write(chunk_number, result)
            for array, result in zip(arrays, results, strict=True)
        )

    arrays = [
        tf.TensorArray(
            spec.dtype,
            num_chunks,
            infer_shape=False,
            element_shape=spec.shape,
        )
        for spec in specs
    ]
    _, *arrays = tf.while_loop(
        lambda chunk_number, *_: chunk_number < num_chunks,
        map_chunk,
        (0, *arrays),
    )
    return [
        tf.ensure_shape(array.concat(), spec.shape)
        for array, spec in zip(arrays, specs, strict=True)
    ]
