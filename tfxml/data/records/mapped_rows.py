"""Reads rows out of files that TensorFlow's own operations map into memory.

No Python of ours runs when rows are read, so that workers which have none can.

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
    """What rows are read of: a file, and where its index tells their places."""

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

    One shard after the other is mapped, and only while its rows are taken.

    Args:
        shards: each one's files, by suffix.
        starts: the first row of each shard, and the end, [S + 1].
        columns: what is read.
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
        """Returns rows as they lie in the shards, and where each is, [n].

        The rows come as two tensors a column: what all of them hold, and how
        much each does, [n] int64.
        """
        shards = tf.searchsorted(
            tf.constant(self._starts[1:]), indices, side="right"
        )
        places = tf.dynamic_partition(
            tf.range(tf.size(indices)), shards, len(self._shards)
        )
        parts: list[list[tf.Tensor]] = []
        for number, shard in enumerate(self._shards):
            # The one before is no longer mapped.
            with tf.control_dependencies(parts[-1] if parts else []):
                start = int(self._starts[number])
                rows = tf.gather(indices, places[number]) - start
                parts.append(self._rows_of_shard(shard, rows))
        tensors = [tf.concat(part, 0) for part in zip(*parts, strict=True)]
        return tensors, tf.math.invert_permutation(tf.concat(places, 0))

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
    return _unfolded(array)


def _unfolded(array: tf.Tensor) -> tf.Tensor:
    """Returns a mapped array that TensorFlow does not take for a constant.

    It would copy each whole file into memory when a graph is made, to see
    whether it is small enough to fold: all of a data set, twice over. Nodes
    with this attribute are left alone, and without numbers it says no more.
    """
    if not tf.is_symbolic_tensor(array):
        return array
    nothing = attr_value_pb2.AttrValue.ListValue(i=[])
    array.op._set_attr(
        "_scoped_allocator", attr_value_pb2.AttrValue(list=nothing)
    )
    return array
