"""Finds the labels that a bucket of one repetition shares with one of another.

# L labels, R repetitions, B buckets, p their hashes' prime, J slots of a
# bucket, I opened buckets

The slots of bucket c in repetition r are y = c + j B, j = 0 .. J - 1, and hold
the labels x = (y - b) / a mod p; see `hashing`. In repetition r' the same
labels have the slots g (c - b) + b' + j g B mod p with g = a' / a. So the j-th
member of every bucket of r lies j g B further than the first, and where that
leads modulo B is the same for all buckets of the two repetitions. So one small
table per pair of repetitions, [J] sorted by (j g B mod p) mod B, gives the
members that any two buckets share without reading the others: about L / B^2 of
them, where a bucket has L / B.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfxml.mach import hashing
from tfxml.topk import dropping

# Slots without a label are searched in vain.
_MOST_SLOTS_PER_LABEL = 4
_BITS = 31  # of a place in the tables


class Crossings(NamedTuple):
    """The tables of R repetitions that share B and p, as constants."""

    num_labels: int
    num_buckets: int
    prime: int
    a: tf.Tensor  # [R] int64
    b: tf.Tensor  # [R] int64
    inverses: tf.Tensor  # [R] int64: 1 / a
    ratios: tf.Tensor  # [R, R] int64: a' / a of repetition r' and repetition r
    tables: tf.Tensor  # [R * R] int32: where a pair's table begins in `starts`
    strides: tf.Tensor  # [R * R] int64: g B mod p
    starts: tf.Tensor  # int32: a table has the B + 1 starts of runs in `places`
    places: tf.Tensor  # int32: the j of a run
    dropped: np.ndarray  # labels that are left out, ascending


class Items(NamedTuple):
    """Opened buckets."""

    instances: tf.Tensor  # int32
    repetitions: tf.Tensor  # int32
    buckets: tf.Tensor  # int32


def can_serve(hashes: Sequence[hashing.UniversalHash], num_labels: int) -> bool:
    """Tells whether the hashes share B and p, and p is little more than L."""
    shapes = {
        (label_hash.num_buckets, label_hash.prime) for label_hash in hashes
    }
    if len(shapes) > 1 or len(hashes) < 2:
        return False
    return hashes[0].prime <= _MOST_SLOTS_PER_LABEL * num_labels


def make(
    hashes: Sequence[hashing.UniversalHash],
    num_labels: int,
    dropped: Sequence[int] | np.ndarray = (),
) -> Crossings:
    """Returns the tables of each repetition with all later ones.

    Raises:
        ValueError: if the hashes do not allow it, see `can_serve`, or a dropped
            label does not exist.
    """
    if not can_serve(hashes, num_labels):
        raise ValueError(
            "`hashes` must be two or more of one prime, at most "
            f"{_MOST_SLOTS_PER_LABEL} times `num_labels`, and one number of "
            f"buckets. Received: {hashes=}, {num_labels=}"
        )
    num_buckets, prime = hashes[0].num_buckets, hashes[0].prime
    ratios = np.array(
        [
            [to_hash.a * label_hash.inverse % prime for to_hash in hashes]
            for label_hash in hashes
        ]
    )
    strides = ratios * num_buckets % prime
    num_slots = -(-prime // num_buckets)
    tables = np.zeros(ratios.shape, np.int32)
    starts: list[np.ndarray] = []
    places: list[np.ndarray] = []
    for first, second in zip(*np.triu_indices(len(hashes), 1), strict=True):
        tables[first, second] = len(starts) * (num_buckets + 1)
        steps = np.arange(num_slots) * strides[first, second] % prime
        runs = (steps % num_buckets).astype(np.int32)
        sizes = np.bincount(runs, minlength=num_buckets)
        run_starts = np.concatenate([[0], np.cumsum(sizes)])
        starts.append((len(starts) * num_slots + run_starts).astype(np.int32))
        places.append(np.argsort(runs, kind="stable").astype(np.int32))
    return Crossings(
        num_labels,
        num_buckets,
        prime,
        tf.constant([label_hash.a for label_hash in hashes], tf.int64),
        tf.constant([label_hash.b for label_hash in hashes], tf.int64),
        tf.constant([label_hash.inverse for label_hash in hashes], tf.int64),
        tf.constant(ratios, tf.int64),
        tf.constant(tables.ravel()),
        tf.constant(strides.ravel(), tf.int64),
        tf.constant(np.concatenate(starts)),
        tf.constant(np.concatenate(places)),
        dropping.checked(dropped, num_labels),
    )


def num_bytes(num_repetitions: int, num_buckets: int, prime: int) -> int:
    """Returns the size of the tables, in bytes."""
    num_slots = -(-prime // num_buckets)
    return (
        num_repetitions
        * (num_repetitions - 1)
        // 2
        * (num_buckets + 1 + num_slots)
        * 4
    )


def labels_in_two(
    tables: Crossings, items: Items, ends: tf.Tensor, lasts: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the labels of pairs of opened buckets, with their instances.

    A label in m opened buckets of an instance is returned m (m - 1) / 2 times.

    Args:
        tables: of the repetitions.
        items: opened buckets by instance, then by repetition.
        ends: for each item the first item of the instance's next repetition.
        lasts: for each item the first item of the next instance.

    Returns:
        int32 instances and int64 labels, unordered.
    """
    bases = _first_slots(tables, items)
    first_items, second_items = _pairs(ends, lasts)
    first_items, slots = _common_slots(
        tables, items, bases, first_items, second_items
    )
    labels = _labels_of_slots(
        tables, slots, tf.gather(items.repetitions, first_items)
    )
    is_label = labels < tables.num_labels
    if len(tables.dropped):
        is_label &= ~dropping.is_among(labels, tables.dropped)
    return (
        tf.boolean_mask(tf.gather(items.instances, first_items), is_label),
        tf.boolean_mask(labels, is_label),
    )


def _first_slots(tables: Crossings, items: Items) -> tf.Tensor:
    """Returns the slots in each repetition of buckets' first members, [I, R].

    That is g (c - b) + b' mod p, see the head of this file.
    """
    first = (
        tables.prime
        + tf.cast(items.buckets, tf.int64)
        - tf.gather(tables.b, items.repetitions)
    )
    ratios = tf.gather(tables.ratios, items.repetitions)
    return tf.math.floormod(ratios * first[:, None] + tables.b, tables.prime)


def _common_slots(
    tables: Crossings, items: Items, bases: tf.Tensor, first_items, second_items
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the slots that pairs of opened buckets have in common.

    Args:
        tables: of the repetitions.
        items: opened buckets.
        bases: [I, R], as `_first_slots` returns them.
        first_items, second_items: of each pair; the second is of the later
            repetition.

    Returns:
        The first item of the pair and the slot in its repetition, below p.
    """
    num_repetitions = tables.b.shape[0]
    later_repetitions = tf.gather(items.repetitions, second_items)
    base_positions = first_items * num_repetitions + later_repetitions
    pair_numbers = (
        tf.gather(items.repetitions, first_items) * num_repetitions
        + later_repetitions
    )
    flat_bases = tf.reshape(bases, [-1])
    base_buckets = tf.cast(
        tf.math.floormod(flat_bases, tables.num_buckets), tf.int32
    )
    runs = tf.gather(items.buckets, second_items) - tf.gather(
        base_buckets, base_positions
    )
    runs = tf.where(runs < 0, runs + tables.num_buckets, runs)
    # Steps that pass p lead p mod B further.
    runs_past = runs + tables.prime % tables.num_buckets
    runs_past = tf.where(
        runs_past >= tables.num_buckets,
        runs_past - tables.num_buckets,
        runs_past,
    )
    table_starts = tf.gather(tables.tables, pair_numbers)
    pairs, places = _hits(tables, table_starts + runs)
    pairs_past, places_past = _hits(tables, table_starts + runs_past)
    is_past = tf.concat(
        [tf.zeros_like(pairs, tf.bool), tf.ones_like(pairs_past, tf.bool)], 0
    )
    pairs = tf.concat([pairs, pairs_past], 0)
    places = tf.concat([places, places_past], 0)
    steps = tf.math.floormod(
        places * tf.gather(tables.strides, tf.gather(pair_numbers, pairs)),
        tables.prime,
    )
    base = tf.gather(flat_bases, tf.gather(base_positions, pairs))
    first_items = tf.gather(first_items, pairs)
    slots = (
        tf.cast(tf.gather(items.buckets, first_items), tf.int64)
        + places * tables.num_buckets
    )
    is_hit = (is_past == (base + steps >= tables.prime)) & (
        slots < tables.prime
    )
    return tf.boolean_mask(first_items, is_hit), tf.boolean_mask(slots, is_hit)


def _labels_of_slots(tables: Crossings, slots, repetitions) -> tf.Tensor:
    """Returns the labels in slots of repetitions, (y - b) / a mod p, int64."""
    return tf.math.floormod(
        (slots - tf.gather(tables.b, repetitions) + tables.prime)
        * tf.gather(tables.inverses, repetitions),
        tables.prime,
    )


def _pairs(starts, stops) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns all i, j with starts[i] <= j < stops[i], sorted, int32."""
    shifted = tf.range(tf.size(starts, tf.int64)) * 2**_BITS
    packed = tf.raw_ops.RaggedRange(
        starts=shifted + tf.cast(starts, tf.int64),
        limits=shifted + tf.cast(stops, tf.int64),
        deltas=tf.constant(1, tf.int64),
    ).rt_dense_values
    i = tf.bitwise.right_shift(packed, tf.constant(_BITS, tf.int64))
    j = tf.bitwise.bitwise_and(packed, tf.constant(2**_BITS - 1, tf.int64))
    return tf.cast(i, tf.int32), tf.cast(j, tf.int32)


def _hits(tables: Crossings, runs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the members of runs: the run of each, and its j, int64."""
    starts = tf.gather(tables.starts, runs)
    sizes = tf.gather(tables.starts, runs + 1) - starts
    nonempty = tf.where(sizes > 0)[:, 0]
    sizes = tf.gather(sizes, nonempty)
    starts = tf.gather(starts, nonempty)
    run_numbers, positions = _pairs(starts, starts + sizes)
    return tf.gather(nonempty, run_numbers), tf.cast(
        tf.gather(tables.places, positions), tf.int64
    )
