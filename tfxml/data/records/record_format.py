"""Encodes instances as records and decodes them.

# n instances, E stored features, M stored labels, U units of ids, T tokens

An instance has a run of units, uint16, and a run of float32. The units are
integers of 15 bits per unit, the low ones first, the highest bit set in all but
the last unit: the number of labels, then label ids and feature ids, each list
as the differences of neighbours (the first from 0). The floats are the
features' values; if all are the same, only one is stored.

Bytes would be a twentieth smaller for text, but few differences of neighbours
need a second unit of 15 bits, and many a second one of 7.

Tokens, where instances have them, are a third run: ids in their order, all of
the same width, because differences of neighbours would not be smaller.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfxml.data import instances as instances_lib

_BITS = 15
_MAX_UNITS = 3  # of an int32


class Encoded(NamedTuple):
    """Instances as they are written."""

    unit_splits: np.ndarray  # [n + 1] int64, where each row's units are
    units: np.ndarray  # [U] uint16
    value_splits: np.ndarray  # [n + 1] int64, where each row's floats are
    values: np.ndarray  # [<= E] float32
    token_splits: np.ndarray | None  # [n + 1] int64, each row's tokens
    tokens: np.ndarray | None  # [T] uint16 or int32


def token_dtype(largest: int) -> np.dtype:
    """Returns the dtype of stored tokens, 1 to `largest`."""
    return np.dtype(np.uint16 if largest < 2**16 else np.int32)


def encode(
    run: instances_lib.Instances, tokens_as: np.dtype | None = None
) -> Encoded:
    """Returns instances as they are written.

    Args:
        run: the instances.
        tokens_as: what `token_dtype` returns; None leaves their tokens out.
    """
    num_labels = np.diff(run.label_splits)
    num_features = np.diff(run.feature_splits)
    # Of each instance: the number of labels, the labels, the features.
    number_splits = instances_lib.splits_from_lengths(
        1 + num_labels + num_features
    )
    numbers = np.empty(number_splits[-1], np.int64)
    numbers[number_splits[:-1]] = num_labels
    for splits, ids, starts in (
        (run.label_splits, run.label_ids, number_splits[:-1] + 1),
        (
            run.feature_splits,
            run.feature_ids,
            number_splits[:-1] + 1 + num_labels,
        ),
    ):
        shifts = np.repeat(starts - splits[:-1], np.diff(splits))
        numbers[shifts + np.arange(len(ids))] = _differences(splits, ids)
    units, sizes = _to_units(numbers)
    is_kept = _is_needed(run.feature_splits, run.feature_values)
    token_splits = token_ids = None
    if tokens_as is not None:
        token_splits, token_ids = run.tokens()
        token_ids = token_ids.astype(tokens_as)
    return Encoded(
        instances_lib.splits_from_lengths(sizes)[number_splits],
        units,
        instances_lib.splits_from_lengths(is_kept)[run.feature_splits],
        run.feature_values[is_kept],
        token_splits,
        token_ids,
    )


def decode(
    units: tf.Tensor,
    unit_lengths: tf.Tensor,
    values: tf.Tensor,
    value_lengths: tf.Tensor,
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Returns feature ids, feature values and label ids, ragged [n].

    Args:
        units: uint16 [U], of n instances one after the other.
        unit_lengths: int64 [n], how many units each row has.
        values: float32, as they are stored.
        value_lengths: int64 [n], how many of them each row has.
    """
    numbers, splits = _from_units(units, _splits(unit_lengths))
    totals = tf.cumsum(numbers)
    num_labels = tf.gather(numbers, splits[:-1])
    label_starts = splits[:-1] + 1
    label_entries = _expand(num_labels)
    label_ids = _sums(totals, label_starts, label_entries)
    feature_entries = _expand(splits[1:] - label_starts - num_labels)
    feature_ids = _sums(totals, label_starts + num_labels, feature_entries)
    # A single value stands for all: it is stepped over by 0 in place of 1.
    step = tf.cast(tf.equal(value_lengths, feature_entries.lengths), tf.int64)
    start = _splits(value_lengths)[:-1]
    positions = tf.gather(start, feature_entries.rows)
    positions += feature_entries.within * tf.gather(step, feature_entries.rows)
    feature_values = feature_ids.with_values(tf.gather(values, positions))
    return feature_ids, feature_values, label_ids


def decode_tokens(
    tokens: tf.Tensor, token_lengths: tf.Tensor, largest: int
) -> tf.RaggedTensor:
    """Returns token ids, ragged [n] int32.

    Args:
        tokens: uint16 or int32 [T], of n instances one after the other.
        token_lengths: int64 [n], how many tokens each row has.
        largest: the largest id.

    Raises:
        tf.errors.InvalidArgumentError: if an id is out of range, because the
            file is damaged.
    """
    token_ids = tf.cast(tokens, tf.int32)
    is_damaged = (token_ids < 1) | (token_ids > largest)
    check = tf.debugging.Assert(
        ~tf.reduce_any(is_damaged),
        [
            "prepared data are damaged: token ids must be in "
            f"[1, {largest}]. Received:",
            tf.boolean_mask(token_ids, is_damaged),
        ],
    )
    with tf.control_dependencies([check]):
        return tf.RaggedTensor.from_row_splits(
            tf.identity(token_ids), _splits(token_lengths), validate=False
        )


def _differences(splits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Returns ids minus the one before in their row; the first unchanged."""
    differences = np.diff(ids.astype(np.int64), prepend=0)
    starts = splits[:-1][np.diff(splits) > 0]
    differences[starts] = ids[starts]
    return differences


def _to_units(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the units of int32 numbers, and how many each has."""
    sizes = np.ones(len(numbers), np.int64)
    for size in range(1, _MAX_UNITS):
        sizes += numbers >= 1 << (_BITS * size)
    starts = instances_lib.splits_from_lengths(sizes)
    units = np.empty(starts[-1], np.uint16)
    for unit in range(_MAX_UNITS):
        number_ids = np.flatnonzero(sizes > unit)
        low = (numbers[number_ids] >> (_BITS * unit)) % (1 << _BITS)
        has_more = (sizes[number_ids] > unit + 1).astype(np.int64)
        units[starts[number_ids] + unit] = low | has_more << _BITS
    return units, sizes


def _is_needed(splits: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns which values to store, [E] bool: one of a row of equal ones."""
    lengths = np.diff(splits)
    starts = splits[:-1][lengths > 0]
    if not len(starts):
        return np.zeros(0, bool)
    bits = values.view(np.uint32)  # 0.0 and -0.0 are not the same
    lowest = np.minimum.reduceat(bits, starts)
    highest = np.maximum.reduceat(bits, starts)
    is_kept = np.repeat(lowest != highest, lengths[lengths > 0])
    is_kept[starts] = True
    return is_kept


def _from_units(
    units: tf.Tensor, unit_splits: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the numbers, int64, and each instance's splits, [n + 1]."""
    units = tf.cast(units, tf.int64)
    low = tf.bitwise.bitwise_and(units, (1 << _BITS) - 1)
    has_more = units >= 1 << _BITS
    ends = tf.where(~has_more)[:, 0]
    starts = tf.concat([[0], ends + 1], 0)[:-1]
    splits = tf.searchsorted(starts, unit_splits, out_type=tf.int64)
    numbers = tf.gather(low, starts)
    long_numbers = tf.where(ends > starts)[:, 0]
    for unit in range(1, _MAX_UNITS):
        positions = tf.gather(starts, long_numbers) + unit
        last_units = tf.gather(ends, long_numbers)
        high_bits = tf.gather(low, tf.minimum(positions, last_units))
        high_bits *= tf.cast(positions <= last_units, tf.int64) * 2 ** (
            _BITS * unit
        )
        numbers = tf.tensor_scatter_nd_add(
            numbers, long_numbers[:, None], high_bits
        )
    return numbers, splits


class _Expanded(NamedTuple):
    """The entries of rows with given lengths."""

    lengths: tf.Tensor  # [n] int64
    splits: tf.Tensor  # [n + 1] int64
    rows: tf.Tensor  # [E] int64, each entry's row
    within: tf.Tensor  # [E] int64, each entry's position in its row


def _expand(lengths: tf.Tensor) -> _Expanded:
    """Returns the entries, several times as fast as `tf.repeat` would."""
    starts = tf.range(tf.size(lengths, tf.int64)) * 2**32
    entries = tf.ragged.range(starts, starts + lengths)
    return _Expanded(
        lengths,
        entries.row_splits,
        tf.bitwise.right_shift(entries.values, tf.constant(32, tf.int64)),
        tf.bitwise.bitwise_and(
            entries.values, tf.constant(2**32 - 1, tf.int64)
        ),
    )


def _sums(totals, first, entries: _Expanded) -> tf.RaggedTensor:
    """Returns ids from the running totals of differences from `first` on."""
    positions = tf.gather(first, entries.rows) + entries.within
    totals_before = tf.gather(tf.gather(totals, first - 1), entries.rows)
    ids = tf.gather(totals, positions) - totals_before
    return tf.RaggedTensor.from_row_splits(
        tf.cast(ids, tf.int32), entries.splits, validate=False
    )


def _splits(lengths: tf.Tensor) -> tf.Tensor:
    return tf.concat([[0], tf.cumsum(lengths)], 0)
