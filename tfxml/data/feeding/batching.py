"""Cuts an epoch into batches, by instances or by their features.

# N instances, S steps per epoch, R replicas

A batch is a run of positions in the epoch's order, and a replica's part is a
run of the batch, so the starts of all parts describe an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

# From positions of an epoch to instances, both [n] int64.
Order = Callable[[tf.Tensor], tf.Tensor]
_CHUNK = 1 << 20  # positions handled together


class Batches(Protocol):
    """Cuts an epoch into S global batches, and each into R replicas' parts."""

    steps_per_epoch: int

    def edges(
        self, order: Callable[[tf.Tensor], tf.Tensor], num_replicas: int
    ) -> tf.Tensor:
        """Returns where each part begins, and the end, [S * R + 1] int64.

        Part r of step s is number s * R + r. `order` maps positions of the
        epoch to instances, both [n] int64.
        """

    def most_rows(self, num_replicas: int) -> int:
        """Returns the most instances of a part, for static shapes."""

    def arranged(self, order: Order, seed: int, epoch: tf.Tensor) -> Order:
        """Returns the order in which an epoch's instances are batched.

        `order` is the epoch's shuffled order; both map the positions of one
        share, [n] int64, to instances.
        """


class ByInstances:
    """Batches of `batch_size` instances; an epoch's last may be smaller."""

    def __init__(self, num_instances: int, batch_size: int):
        self._num_instances = num_instances
        self._batch_size = batch_size
        self.steps_per_epoch = -(-num_instances // batch_size)

    def edges(
        self, order: Callable[[tf.Tensor], tf.Tensor], num_replicas: int
    ) -> tf.Tensor:
        """See `Batches.edges`."""
        del order  # all instances weigh the same
        starts = self._batch_size * tf.range(
            self.steps_per_epoch, dtype="int64"
        )
        sizes = tf.minimum(self._num_instances - starts, self._batch_size)
        replicas = tf.range(num_replicas, dtype=tf.int64)
        offsets = sizes[:, None] * replicas // num_replicas  # [S, R]
        edges = tf.reshape(starts[:, None] + offsets, [-1])
        return tf.concat([edges, [self._num_instances]], 0)

    def most_rows(self, num_replicas: int) -> int:
        """See `Batches.most_rows`."""
        return -(-self._batch_size // num_replicas)

    def arranged(self, order: Order, seed: int, epoch: tf.Tensor) -> Order:
        """See `Batches.arranged`."""
        del seed, epoch
        return order


class ByLength(ByInstances):
    """Batches of instances of about the same length.

    The epoch's order is cut into windows of so many batches; within each the
    instances are sorted by length, and the batches of one length come in an
    order of their own. Each instance still comes once an epoch.

    Args:
        lengths: of the instances, [N].
        batch_size: instances of a batch.
        window: in how many batches instances of one length are looked for.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, window: int):
        super().__init__(len(lengths), batch_size)
        self._lengths = lengths.astype(np.int32)
        self._window = window

    def arranged(self, order: Order, seed: int, epoch: tf.Tensor) -> Order:
        """See `Batches.arranged`."""
        size, span = self._batch_size, self._batch_size * self._window

        def by_length(positions: tf.Tensor) -> tf.Tensor:
            first = tf.pad(positions, [[0, 1]])[0]  # of an empty share 0
            start = first // span * span
            end = tf.minimum(start + span, self._num_instances)
            members = order(tf.range(start, end))
            ranks = tf.argsort(tf.gather(self._lengths, members), stable=True)
            members = tf.gather(members, ranks)
            # Whole batches change places; a last one that is smaller stays.
            number, whole = (first - start) // size, (end - start) // size
            place = tf.random.experimental.index_shuffle(
                tf.minimum(number, tf.maximum(whole - 1, 0)),
                seed=tf.stack(
                    [
                        tf.constant(seed, tf.int64),
                        tf.cast(epoch, tf.int64) + start,
                    ]
                ),
                max_index=tf.maximum(whole - 1, 0),
            )
            place = tf.where(number < whole, place, number)
            return tf.gather(
                members, positions - start + (place - number) * size
            )

        return by_length


class ByNonzeros:
    """Batches with about the same number of features, and of bounded size.

    An instance weighs as much as it has features, but at least
    batch_nonzeros / batch_size, so that no batch holds more than `batch_size`.
    The epoch's order is cut where the sum of the weights passes each S-th of
    the total, and a batch into parts where it passes each R-th of the batch.
    So S depends on the sum alone, not on the order. A cut between instances
    may put one more into a batch: S is large enough that the batch still
    keeps to its budget.

    Args:
        row_lengths: how many features each instance has, [N].
        batch_size: the most instances of a batch.
        batch_nonzeros: the most features of a batch.
    """

    def __init__(
        self, row_lengths: np.ndarray, batch_size: int, batch_nonzeros: int
    ):
        if batch_size < 2:
            raise ValueError(
                "`batch_size` must be at least 2 with batch_nonzeros. "
                f"Received: {batch_size=}"
            )
        longest = int(row_lengths.max(initial=0))
        if batch_nonzeros < 2 * longest:
            raise ValueError(
                "`batch_nonzeros` must be at least twice the features of the "
                f"longest instance, which has {longest}. "
                f"Received: {batch_nonzeros=}"
            )
        min_weight = -(-batch_nonzeros // batch_size)
        weights = np.maximum(row_lengths, min_weight).astype(np.int32)
        self._total = int(weights.sum(dtype=np.int64))
        weight_per_step = batch_nonzeros + 1 - max(longest, min_weight)
        self.steps_per_epoch = -(-self._total // weight_per_step)
        with tf.device("CPU"):
            self._weights = tf.constant(weights)

    def edges(
        self, order: Callable[[tf.Tensor], tf.Tensor], num_replicas: int
    ) -> tf.Tensor:
        """See `Batches.edges`."""
        num_parts = self.steps_per_epoch * num_replicas
        part_numbers = tf.range(num_parts + 1, dtype=tf.int64)
        # part_numbers * total // num_parts, but the product could pass 2^63.
        quotient, remainder = divmod(self._total, num_parts)
        limits = part_numbers * quotient + part_numbers * remainder // num_parts
        size = tf.size(self._weights, tf.int64)

        def count_chunk(first, sum_before, edges):
            positions = tf.range(first, tf.minimum(first + _CHUNK, size))
            weights = tf.gather(self._weights, order(positions))
            sums = sum_before + tf.cumsum(tf.cast(weights, tf.int64))
            begins = tf.concat([[sum_before], sums[:-1]], 0)
            # How many instances begin before each limit.
            edges += tf.searchsorted(begins, limits, out_type=tf.int64)
            return first + _CHUNK, sums[-1], edges

        zero = tf.constant(0, tf.int64)
        with tf.device("CPU"):
            *_, edges = tf.while_loop(
                lambda first, *_: first < size,
                count_chunk,
                (zero, zero, tf.zeros_like(limits)),
                parallel_iterations=1,
            )
        return edges

    def most_rows(self, num_replicas: int) -> int:
        """Raises ValueError: the size of a batch depends on its rows."""
        raise ValueError(
            "`batch_nonzeros` must be 0 for padded rows, which a TPU needs: "
            "their shapes do not depend on the rows. Received: "
            f"batches of {self.steps_per_epoch} steps per epoch"
        )

    def arranged(self, order: Order, seed: int, epoch: tf.Tensor) -> Order:
        """See `Batches.arranged`."""
        del seed, epoch
        return order
