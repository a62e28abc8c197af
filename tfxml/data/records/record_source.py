"""A split on disk: any rows of it, in bounded memory.

# n rows of a batch, N instances, D features, L labels
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2

from tfxml.data import inputs
from tfxml.data.records import record_files, record_format, record_reader

_CHUNK = 4096  # instances at a time in a streaming pass


class RecordSource:
    """Gives any rows of a prepared split as ragged tensors.

    Files are read row by row, so that the process holds a batch and the
    operating system's cache holds what fits. A parameter server's worker runs
    TensorFlow's operations and no Python of ours: with `is_mapped` the files
    are mapped into memory by operations alone, one shard after the other and
    only while its rows are taken. The rows are the same.

    Args:
        folder: what preparing wrote, where every worker reaches it.
        split: one of its splits.
        is_mapped: whether rows are read without Python.

    Raises:
        DataError: if files are missing or cut.
    """

    def __init__(
        self, folder: str | os.PathLike, split: str, is_mapped: bool = False
    ):
        manifest = record_files.read_manifest(folder)
        facts = manifest["splits"][split]
        self._folder = pathlib.Path(folder).resolve()
        self._split = split
        # An empty file cannot be mapped.
        self._shards = [s for s in facts["shards"] if s["num_instances"]]
        sizes = [shard["num_instances"] for shard in self._shards]
        self._starts = np.cumsum([0, *sizes])
        self._max_lengths = facts["most_features"], facts["most_labels"]
        self.num_instances = facts["num_instances"]
        self.num_features = manifest["num_features"]
        self.num_labels = manifest["num_labels"]
        self.tensors = ()  # rows are read where they are needed
        self._reader = None
        if not is_mapped:
            paths = [
                [self._path(shard, suffix) for suffix in record_files.SUFFIXES]
                for shard in self._shards
            ]
            self._reader = record_reader.RecordReader(paths, self._starts)

    @tf.autograph.experimental.do_not_convert
    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the named inputs and the label ids, [n, None] each.

        `tensors` are none: rows are read, not held.
        """
        feature_ids, feature_values, label_ids = self._read(indices)
        return inputs.features(feature_ids, feature_values), label_ids

    def _read(self, indices: tf.Tensor):
        """Returns feature ids, feature values and label ids, [n, None]."""
        with tf.device("CPU"):
            if self._reader is None:
                return self._mapped_rows(indices)
            columns = tf.numpy_function(
                self._reader.read,
                [indices],
                [tf.uint16, tf.int64, tf.float32, tf.int64],
            )
            for column in columns:
                column.set_shape([None])
            return record_format.decode(*columns)

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        path = self._folder / f"{self._split}.label_counts.npy"
        return np.load(path, allow_pickle=False)

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32.

        The index tells it, but of rows whose values are all the same, which
        are read.
        """
        lengths = np.concatenate(
            [self._num_values(shard) for shard in self._shards]
        )
        alone = np.flatnonzero(lengths == 1)
        for first in range(0, len(alone), _CHUNK):
            rows = alone[first : first + _CHUNK]
            found, _ = self.rows(tf.constant(rows, tf.int64))
            feature_ids = found[inputs.FEATURE_IDS]
            lengths[rows] = feature_ids.row_lengths().numpy()
        return lengths

    def max_lengths(self) -> tuple[int, int]:
        """Returns the most features and the most labels of an instance."""
        return self._max_lengths

    def _path(self, shard: dict, suffix: str) -> pathlib.Path:
        return record_files.shard_path(self._folder, shard["name"], suffix)

    def _num_values(self, shard: dict) -> np.ndarray:
        """Returns how many values of each instance are kept, [n] int32."""
        index = np.fromfile(self._path(shard, "index"), np.int64)
        return np.diff(index.reshape(-1, 2)[:, 1]).astype(np.int32)

    def _mapped_rows(self, indices: tf.Tensor):
        """Returns the same as `_read`."""
        shards = tf.searchsorted(
            tf.constant(self._starts[1:]), indices, side="right"
        )
        numbers = range(len(self._shards))
        places = tf.dynamic_partition(
            tf.range(tf.size(indices)), shards, len(numbers)
        )
        parts = []
        for i in numbers:
            # The one before is no longer mapped.
            with tf.control_dependencies(parts[-1] if parts else []):
                rows = tf.gather(indices, places[i]) - int(self._starts[i])
                parts.append(self._map_rows(self._shards[i], rows))
        found = record_format.decode(
            *(tf.concat(columns, 0) for columns in zip(*parts, strict=True))
        )
        order = tf.math.invert_permutation(tf.concat(places, 0))
        return tuple(tf.gather(ragged, order) for ragged in found)

    def _map_rows(self, shard: dict, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns units, their lengths, values, their lengths, of rows."""
        index = self._map(shard, "index", tf.int64)
        index = tf.reshape(index, [shard["num_instances"] + 1, 2])
        starts = tf.gather(index, rows)
        limits = tf.gather(index, rows + 1)
        columns = []
        for place, suffix, dtype in (
            (0, "units", tf.uint16),
            (1, "values", tf.float32),
        ):
            start, limit = starts[:, place], limits[:, place]
            positions = tf.ragged.range(start, limit).values
            if shard["files"][suffix]["bytes"]:
                found = tf.gather(self._map(shard, suffix, dtype), positions)
            else:
                found = tf.zeros([0], dtype)
            columns += [found, limit - start]
        return tuple(columns)

    def _map(self, shard: dict, suffix: str, dtype: tf.DType) -> tf.Tensor:
        """Returns a file as one array, mapped while it is in use."""
        size = shard["files"][suffix]["bytes"] // dtype.size
        array = tf.raw_ops.ImmutableConst(
            dtype=dtype,
            shape=[size],
            memory_region_name=str(self._path(shard, suffix)),
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
