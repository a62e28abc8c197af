"""Reads any rows of a split on disk, in bounded memory.

# n rows of a batch, N instances, D features, L labels, S shards
"""

from __future__ import annotations

import os
import pathlib

import numpy as np
import tensorflow as tf

from tfxml.data import data_errors, inputs
from tfxml.data.records import (
    mapped_rows,
    record_checks,
    record_files,
    record_format,
    record_reader,
)

_CHUNK = 4096  # instances at a time in a streaming pass


class RecordSource:
    """Returns any rows of a prepared split as ragged tensors.

    Files are read row by row: only a batch is in memory, besides the operating
    system's cache. A parameter server's worker runs TensorFlow operations but
    none of our Python: with `is_mapped`, operations map the files into memory,
    one shard after the other and only while its rows are read. The rows are the
    same.

    Args:
        folder: a prepared folder, which every worker can read.
        split: one of its splits.
        is_mapped: whether rows are read without Python.
        with_tokens: whether rows have `token_ids` too.

    Raises:
        DataError: if files are missing or damaged.
        ValueError: if tokens are requested but were not prepared.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str,
        is_mapped: bool = False,
        with_tokens: bool = False,
    ):
        manifest = record_files.read_manifest(folder)
        facts = manifest["splits"][split]
        self._folder = pathlib.Path(folder).resolve()
        self._split = split
        self._tokens_as = None
        if with_tokens:
            self._tokens_as = _token_dtype(self._folder, manifest)
        # An empty file cannot be mapped.
        self._shards = [s for s in facts["shards"] if s["num_instances"]]
        sizes = [shard["num_instances"] for shard in self._shards]
        self._starts = np.cumsum([0, *sizes])
        self._max_lengths = inputs.MaxLengths(
            facts["most_features"],
            facts["most_labels"],
            facts["most_tokens"] if with_tokens else 0,
        )
        self.num_instances = facts["num_instances"]
        self.num_features = manifest["num_features"]
        self._largest_token = manifest.get("largest_token", self.num_features)
        self.num_labels = manifest["num_labels"]
        self.tensors = ()  # rows are read where they are needed
        record_checks.check_shards(self._folder, self._shards)
        for shard in self._shards:
            self._check_places(shard)
        self._reader: mapped_rows.MappedReader | record_reader.RecordReader
        if is_mapped:
            self._reader = self._make_mapped_reader()
        else:
            suffixes = record_files.suffixes(with_tokens)
            paths = [
                [self._path(shard, suffix) for suffix in suffixes]
                for shard in self._shards
            ]
            self._reader = record_reader.RecordReader(
                paths, self._starts, self._tokens_as
            )

    @tf.autograph.experimental.do_not_convert
    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the inputs by name, and the label ids, [n, None] each.

        `tensors` is unused: the rows are on disk.
        """
        with tf.device("CPU"):
            order = None
            if isinstance(self._reader, mapped_rows.MappedReader):
                columns, order = self._reader.read(indices)
            else:
                columns = self._read(self._reader, indices)
            rows = [*record_format.decode(*columns[:4])]
            if self._tokens_as is not None:
                tokens, lengths = columns[4:]
                rows.append(
                    record_format.decode_tokens(
                        tokens, lengths, self._largest_token
                    )
                )
            if order is not None:
                rows = [tf.gather(ragged, order) for ragged in rows]
        feature_ids, feature_values, label_ids, *token_ids = rows
        features = inputs.features(feature_ids, feature_values)
        if token_ids:
            (features[inputs.TOKEN_IDS],) = token_ids
        return features, label_ids

    def weights(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tf.Tensor:
        """Returns how much each instance counts in training: 1 each, [n]."""
        del tensors
        return tf.ones(tf.shape(indices), tf.float32)

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""
        path = self._folder / f"{self._split}.label_counts.npy"
        return np.load(path, allow_pickle=False)

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32.

        From the index; but rows whose values are all the same are read.
        """
        lengths = np.concatenate(
            [
                np.diff(self._places(shard, "index", 2)[:, 1])
                for shard in self._shards
            ]
        ).astype(np.int32)
        single_valued = np.flatnonzero(lengths == 1)
        for first in range(0, len(single_valued), _CHUNK):
            rows = single_valued[first : first + _CHUNK]
            features, _ = self.rows(tf.constant(rows, tf.int64))
            lengths[rows] = features[inputs.FEATURE_IDS].row_lengths().numpy()
        return lengths

    def own_labels(self) -> np.ndarray | None:
        """Returns None: what rows are named after is not known."""
        return None

    def max_lengths(self) -> inputs.MaxLengths:
        """Returns the most features, labels and tokens of an instance."""
        return self._max_lengths

    def _path(self, shard: dict, suffix: str) -> pathlib.Path:
        return record_files.shard_path(self._folder, shard["name"], suffix)

    def _places(self, shard: dict, suffix: str, width: int) -> np.ndarray:
        """Returns an index, [n + 1, width] int64."""
        index = np.fromfile(self._path(shard, suffix), np.int64)
        return index.reshape(-1, width)

    def _check_places(self, shard: dict) -> None:
        """Raises unless each index tells runs that lie in their files."""
        contents = {"index": {"units": 2, "values": 4}}  # bytes of an entry
        if self._tokens_as is not None:
            contents["token_index"] = {"tokens": self._tokens_as.itemsize}
        for suffix, sizes in contents.items():
            size = 8 * len(sizes) * (shard["num_instances"] + 1)
            if shard["files"][suffix]["bytes"] != size:
                raise self._wrong_places(shard, suffix)
            places = self._places(shard, suffix, len(sizes))
            ends = [
                shard["files"][name]["bytes"] // size
                for name, size in sizes.items()
            ]
            lengths = np.diff(places, axis=0)
            is_whole = (
                not places[0].any()
                and (places[-1] == ends).all()
                and (lengths >= 0).all()
            )
            if suffix == "token_index" and is_whole:
                is_whole = lengths.max() <= self._max_lengths.tokens
            if not is_whole:
                raise self._wrong_places(shard, suffix)

    def _wrong_places(self, shard: dict, suffix: str) -> data_errors.DataError:
        return data_errors.DataError(
            self._path(shard, suffix),
            "places that are not those of the shard's rows",
            "the index that preparing wrote; prepare the data again",
        )

    def _make_mapped_reader(self) -> mapped_rows.MappedReader:
        columns = [
            mapped_rows.Column("units", tf.uint16, "index", 0, 2),
            mapped_rows.Column("values", tf.float32, "index", 1, 2),
        ]
        if self._tokens_as is not None:
            dtype = tf.as_dtype(self._tokens_as)
            columns.append(
                mapped_rows.Column("tokens", dtype, "token_index", 0, 1)
            )
        files = [
            {
                suffix: mapped_rows.MappedFile(
                    self._path(shard, suffix), file["bytes"]
                )
                for suffix, file in shard["files"].items()
            }
            for shard in self._shards
        ]
        return mapped_rows.MappedReader(files, self._starts, columns)

    def _read(
        self, reader: record_reader.RecordReader, indices: tf.Tensor
    ) -> list[tf.Tensor]:
        dtypes = [tf.uint16, tf.int64, tf.float32, tf.int64]
        if self._tokens_as is not None:
            dtypes += [tf.as_dtype(self._tokens_as), tf.int64]
        columns = tf.numpy_function(reader.read, [indices], dtypes)
        for column in columns:
            column.set_shape([None])
        return columns


def _token_dtype(folder: pathlib.Path, manifest: dict) -> np.dtype:
    """Returns the dtype of stored tokens."""
    if manifest["version"] != record_files.TOKENS_VERSION:
        raise ValueError(
            "`with_tokens` must be False for data that were prepared without "
            f"tokens. Received: with_tokens=True, folder={folder}"
        )
    return np.dtype(manifest["token_dtype"])
