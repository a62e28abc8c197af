"""Reads weights from TensorFlow's checkpoint files, without TensorFlow.

A checkpoint is an index, a table of LevelDB's format sorted by key, and files
of data. A key's value is a protocol buffer that says where a tensor lies
(`tensorflow/core/protobuf/tensor_bundle.proto`). The index that TensorFlow
writes is not compressed.
"""

from __future__ import annotations

import math
import pathlib
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tfxml.data import data_errors

_FOOTER = 48
_MAGIC = 0xDB4775248B80FB57
# By the numbers of tensorflow/core/framework/types.proto.
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 9: "int64"}
_KEY = "model/{}/.ATTRIBUTES/VARIABLE_VALUE"


class Tensor(NamedTuple):
    """Where a tensor lies."""

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int


class Bundle:
    """The weights of a checkpoint, by the names of the model's.

    Args:
        prefix: of its files, as `step_00000010/model`.

    Raises:
        DataError: for an index of another format.
    """

    def __init__(self, prefix: pathlib.Path):
        self._prefix = prefix
        self._path = prefix.with_name(f"{prefix.name}.index")
        content = self._path.read_bytes()
        if len(content) < _FOOTER or _magic(content) != _MAGIC:
            raise self._wrong("no index of a checkpoint")
        self._tensors: dict[str, Tensor] = {}
        self._num_shards = 1
        # The footer has the places of the table's own facts, and of its index.
        _, place = _handle(content, len(content) - _FOOTER)
        index, _ = _handle(content, place)
        for _, handle in self._entries(content, *index):
            block, _ = _handle(handle, 0)
            for key, value in self._entries(content, *block):
                if key:
                    self._tensors[key.decode()] = _tensor(value)
                else:  # the header
                    self._num_shards = dict(_fields(value)).get(1, 1)

    def read(self, name: str) -> np.ndarray:
        """Returns a weight of the model.

        Raises:
            DataError: if there is none of that name.
        """
        escaped = name.replace(".", "..").replace("/", ".S")
        key = _KEY.format(escaped)
        if key not in self._tensors:
            raise self._wrong(f"no weight {name}")
        tensor = self._tensors[key]
        if not tensor.dtype:
            raise self._wrong(f"a weight {name} of another type")
        path = self._prefix.with_name(
            f"{self._prefix.name}.data-{tensor.shard:05d}-of-"
            f"{self._num_shards:05d}"
        )
        size = np.dtype(tensor.dtype).itemsize
        if tensor.size != size * math.prod(tensor.shape):
            raise self._wrong(f"a weight {name} in slices")
        if tensor.offset + tensor.size > path.stat().st_size:
            raise self._wrong(f"a weight {name} beyond the end of {path.name}")
        values = np.fromfile(
            path, tensor.dtype, tensor.size // size, offset=tensor.offset
        )
        return values.reshape(tensor.shape)

    def _entries(
        self, content: bytes, offset: int, size: int
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yields the keys and values of a block."""
        if content[offset + size] != 0:
            raise self._wrong("a compressed block")
        block = content[offset : offset + size]
        (num_restarts,) = struct.unpack_from("<I", block, size - 4)
        end = size - 4 * (num_restarts + 1)
        place, key = 0, b""
        while place < end:
            shared, place = _varint(block, place)
            unshared, place = _varint(block, place)
            length, place = _varint(block, place)
            key = key[:shared] + block[place : place + unshared]
            place += unshared
            yield key, block[place : place + length]
            place += length

    def _wrong(self, found: str) -> data_errors.DataError:
        return data_errors.DataError(
            self._path, found, "a checkpoint that training wrote"
        )


def _magic(content: bytes) -> int:
    return struct.unpack_from("<Q", content, len(content) - 8)[0]


def _handle(content: bytes, place: int) -> tuple[tuple[int, int], int]:
    """Returns offset and size of a block, and where its handle ends."""
    offset, place = _varint(content, place)
    size, place = _varint(content, place)
    return (offset, size), place


def _varint(content: bytes, place: int) -> tuple[int, int]:
    """Returns a number, and where it ends."""
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yields the fields of a protocol buffer: numbers and values."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(message, place)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if length is None:
            length, place = _varint(message, place)
        yield tag >> 3, message[place : place + length]
        place += length


def _tensor(entry: bytes) -> Tensor:
    """Returns what a BundleEntryProto says."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0}
    shape: list[int] = []
    for field, value in _fields(entry):
        if field == 2:
            shape += [
                dict(_fields(dim)).get(1, 0)
                for number, dim in _fields(value)
                if number == 2
            ]
        elif field in numbers:
            numbers[field] = value
    dtype = _DTYPES.get(numbers[1], "")
    return Tensor(dtype, tuple(shape), numbers[3], numbers[4], numbers[5])
