"""Reads rows from files that TensorFlow's operations map into memory.

Reading runs none of our Python, so that workers without it can read.

# n rows of a batch, S shards
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2


class Column(NamedTuple):
    """A file to read rows from, and the column of its index file."""

    suffix: str
    dtype: tf.DType
    index_suffix: str
    place: int  # which of the index's columns
    num_places: int  # how many columns the index has


class MappedFile(NamedTuple):
    """A file of a shard."""

    path: str | os.PathLike
    num_bytes: int


class MappedReader:
    """Reads any rows of shards that are not empty.

    Maps one shard after the other, each only while its rows are read.

    Args:
        shards: the files of each, by suffix.
        starts: the first row of each shard, and the end, [S + 1].
        columns: the columns to read.
    """

    def __init__(
        self,
        shards: Sequence[Mapping[str, MappedFile]],
        starts: np.ndarray,
        columns: Sequence[Column],
    ):
        self._shards = shards
        self._starts = starts
        self._columns = columns

    def read(self, indices: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Returns rows in the order of the shards, and each one's position [n].

        There are two tensors per column: the entries of all rows, and the
        number of entries of each row, [n] int64.
        """
        shards = tf.searchsorted(
            tf.constant(self._starts[1:]), indices, side="right"
        )
        positions = tf.dynamic_partition(
            tf.range(tf.size(indices)), shards, len(self._shards)
        )
        shard_rows: list[list[tf.Tensor]] = []
        for number, shard in enumerate(self._shards):
            # Wait until the shard before is no longer mapped.
            with tf.control_dependencies(shard_rows[-1] if shard_rows else []):
                start = int(self._starts[number])
                rows = tf.gather(indices, positions[number]) - start
                shard_rows.append(self._rows_of_shard(shard, rows))
        tensors = [
            tf.concat(column, 0) for column in zip(*shard_rows, strict=True)
        ]
        return tensors, tf.math.invert_permutation(tf.concat(positions, 0))

    def _rows_of_shard(
        self, shard: Mapping[str, MappedFile], rows: tf.Tensor
    ) -> list[tf.Tensor]:
        tensors = []
        for column in self._columns:
            index = _map(shard[column.index_suffix], tf.int64)
            index = tf.reshape(index, [-1, column.num_places])
            starts = tf.gather(index, rows)[:, column.place]
            ends = tf.gather(index, rows + 1)[:, column.place]
            file = shard[column.suffix]
            if file.num_bytes:
                entries = tf.gather(
                    _map(file, column.dtype),
                    tf.ragged.range(starts, ends).values,
                )
            else:  # an empty file cannot be mapped
                entries = tf.zeros([0], column.dtype)
            tensors += [entries, ends - starts]
        return tensors


def _map(file: MappedFile, dtype: tf.DType) -> tf.Tensor:
    """Returns a file as one array, mapped while it is in use."""
    array = tf.raw_ops.ImmutableConst(
        dtype=dtype,
        shape=[file.num_bytes // dtype.size],
        memory_region_name=str(file.path),
    )
    return _not_folded(array)


def _not_folded(array: tf.Tensor) -> tf.Tensor:
    """Returns a mapped array that TensorFlow does not fold as a constant.

    To see whether a constant is small enough to fold, TensorFlow would copy
    each whole file into memory, twice, when it makes a graph. It leaves nodes
    with this attribute alone; with an empty list it has no other effect.
    """
    if not tf.is_symbolic_tensor(array):
        return array
    empty_list = attr_value_pb2.AttrValue.ListValue(i=[])
    array.op._set_attr(
        "_scoped_allocator", attr_value_pb2.AttrValue(list=empty_list)
    )
    return array
