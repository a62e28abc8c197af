"""Input pipelines: batches in an order that is a pure function.

# N instances, n rows of a replica's batch

The batch of a replica at a step depends on (seed, epoch, step, replica) alone:
resuming needs no saved state, and any number of workers reads the same global
batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.data.feeding import batching


class Source(Protocol):
    """Rows by index, as TensorFlow ops."""

    num_instances: int
    num_features: int
    num_labels: int
    tensors: tuple[tf.Tensor, ...]  # all that `rows` reads

    def rows(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
        """Returns the inputs by name, and the label ids, [n, None] each.

        `tensors` replace `self.tensors`: copies on another machine.
        """

    def weights(
        self, indices: tf.Tensor, tensors: tuple | None = None
    ) -> tf.Tensor:
        """Returns how much each instance counts in training, [n] float32."""

    def label_counts(self) -> np.ndarray:
        """Returns in how many instances each label occurs, [L] int64."""

    def row_lengths(self) -> np.ndarray:
        """Returns how many features each instance has, [N] int32."""

    def own_labels(self) -> np.ndarray | None:
        """Returns the label that each instance is named after, [N] int32.

        -1 where there is none; None where texts were not read with their
        labels' names.
        """

    def max_lengths(self) -> inputs_lib.MaxLengths:
        """Returns the most entries of an instance, or bounds on them."""


class Batch(NamedTuple):
    """One replica's part of a global batch."""

    inputs: dict[str, tf.RaggedTensor | tf.Tensor]  # by the names of `inputs`
    label_ids: tf.RaggedTensor | tf.Tensor  # [n, (L)] int32; padded: -1
    weights: tf.Tensor  # [n] float32, 1 in evaluation; 0: the row only pads
    instances: tf.Tensor  # [n] int64 index in the split; -1 if it pads


class Shard(NamedTuple):
    """The replicas that one input pipeline feeds."""

    num_replicas: int = 1
    first_replica: int = 0
    num_local_replicas: int = 1


WHOLE = Shard()


def shard_of(context: tf.distribute.InputContext) -> Shard:
    """Returns the shard of an input pipeline of a strategy."""
    local = context.num_replicas_in_sync // context.num_input_pipelines
    return Shard(
        context.num_replicas_in_sync,
        context.input_pipeline_id * local,
        local,
    )


def training(
    source: Source,
    batches: batching.Batches,
    seed: int,
    first_step: int,
    num_steps: int,
    shard: Shard = WHOLE,
    is_padded: bool = False,
) -> tf.data.Dataset:
    """Returns the batches of steps first_step .. num_steps - 1, shuffled.

    Each epoch holds every instance once, in an order of its own.

    Args:
        source: the training split.
        batches: how an epoch is cut, over all replicas.
        seed: of the order.
        first_step: where to start or resume.
        num_steps: the step after the last.
        shard: which replicas this pipeline feeds.
        is_padded: whether rows are padded to static shapes.
    """
    most_rows = batches.most_rows(shard.num_replicas) if is_padded else None
    return _dataset(
        training_batch(source, seed, most_rows, batches),
        lambda epoch: training_edges(
            source, batches, seed, epoch, shard.num_replicas
        ),
        batches.steps_per_epoch,
        range(first_step, num_steps),
        shard,
    )


def training_epoch(
    source: Source,
    batches: batching.Batches,
    seed: int,
    first_step: int,
    num_steps: int,
    shard: Shard = WHOLE,
    is_padded: bool = False,
) -> tf.data.Dataset:
    """Returns the batches of steps of one epoch; see `training`.

    They are made from a list, which the tf.data service can split.
    """
    most_rows = batches.most_rows(shard.num_replicas) if is_padded else None
    batch = training_batch(source, seed, most_rows, batches)
    epoch = first_step // batches.steps_per_epoch
    replica_ranges = _replica_ranges(
        training_edges(source, batches, seed, epoch, shard.num_replicas),
        tf.constant(epoch, tf.int64),
        batches.steps_per_epoch,
        range(first_step, num_steps),
        shard,
    )
    return (
        tf.data.Dataset.from_tensor_slices(replica_ranges)
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def evaluation(
    source: Source,
    batch_size: int,
    shard: Shard = WHOLE,
    is_padded: bool = False,
) -> tf.data.Dataset:
    """Returns batches that hold every instance once, in the split's order."""
    batches = batching.ByInstances(source.num_instances, batch_size)
    most_rows = batches.most_rows(shard.num_replicas) if is_padded else None
    return _dataset(
        evaluation_batch(source, most_rows),
        lambda _: batches.edges(tf.identity, shard.num_replicas),
        batches.steps_per_epoch,
        range(batches.steps_per_epoch),
        shard,
    )


def training_edges(
    source: Source,
    batches: batching.Batches,
    seed: int,
    epoch: int | tf.Tensor,
    num_replicas: int = 1,
) -> tf.Tensor:
    """Returns where each replica's part begins; see `Batches.edges`."""
    return batches.edges(shuffled(source, seed, epoch), num_replicas)


def training_batch(
    source: Source,
    seed: int,
    most_rows: int | None = None,
    batches: batching.Batches | None = None,
) -> Callable[..., Batch]:
    """Returns a function (epoch, first, limit[, tensors]) -> Batch.

    The batch has the positions first .. limit - 1 of an epoch. `tensors` are
    copies of the source's tensors to read; see `Source.tensors`. With
    `most_rows`, the most rows of any batch, rows are padded. `batches` may
    arrange the shuffled instances; None: as they come.
    """

    def order(epoch, positions):
        found = shuffled(source, seed, epoch)
        if batches is not None:
            found = batches.arranged(found, seed, epoch)
        return found(positions)

    return _batch_at(
        source,
        order,
        most_rows,
        source.weights,
    )


def evaluation_batch(
    source: Source, most_rows: int | None = None
) -> Callable[..., Batch]:
    """Returns a function like that of `training_batch`, without shuffling.

    All instances count the same, as the metrics are defined.
    """
    return _batch_at(
        source,
        lambda _, positions: positions,
        most_rows,
        lambda indices, _: tf.ones(tf.shape(indices), tf.float32),
    )


def shuffled(
    source: Source, seed: int, epoch: int | tf.Tensor
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the order of an epoch: a function of positions, [n] int64."""

    def order(positions):
        # The op refuses an empty input, so add a position and remove it again.
        return tf.random.experimental.index_shuffle(
            tf.pad(positions, [[0, 1]]),
            seed=tf.stack(
                [tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)]
            ),
            max_index=tf.constant(source.num_instances - 1, tf.int64),
        )[:-1]

    return order


def _batch_at(source, order, most_rows, weights_of):
    lengths = source.max_lengths() if most_rows else None

    @tf.autograph.experimental.do_not_convert  # which takes seconds
    def batch(epoch, first, limit, tensors=None):
        tensors = source.tensors if tensors is None else tensors
        indices = order(epoch, tf.range(first, limit))
        inputs, label_ids = source.rows(indices, tensors)
        batch = Batch(inputs, label_ids, weights_of(indices, tensors), indices)
        return _pad(batch, most_rows, lengths) if lengths else batch

    return batch


def _dataset(batch, edges, steps_per_epoch: int, steps: range, shard: Shard):
    """Returns the replicas' batches one after the other, step by step."""
    epochs = tf.data.Dataset.range(
        steps.start // steps_per_epoch, -(-steps.stop // steps_per_epoch)
    )

    @tf.autograph.experimental.do_not_convert  # which takes seconds
    def replica_ranges(epoch):
        return _replica_ranges(
            edges(epoch), epoch, steps_per_epoch, steps, shard
        )

    return (
        epochs.map(replica_ranges)
        .prefetch(1)  # the next epoch is cut while this one is read
        .flat_map(lambda *parts: tf.data.Dataset.from_tensor_slices(parts))
        .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _replica_ranges(
    edges: tf.Tensor, epoch, steps_per_epoch: int, steps: range, shard: Shard
):
    """Returns epoch, start and end of replicas' parts, for the given steps."""
    rows = slice(
        tf.maximum(steps.start - epoch * steps_per_epoch, 0),
        tf.minimum(steps.stop - epoch * steps_per_epoch, steps_per_epoch),
    )
    end = shard.first_replica + shard.num_local_replicas
    columns = slice(shard.first_replica, end)
    starts, ends = (
        tf.reshape(
            tf.reshape(edges_of_parts, [steps_per_epoch, shard.num_replicas])[
                rows, columns
            ],
            [-1],
        )
        for edges_of_parts in (edges[:-1], edges[1:])
    )
    return tf.fill(tf.shape(starts), epoch), starts, ends


def _pad(batch: Batch, num_rows: int, lengths) -> Batch:
    """Returns the batch in static shapes [num_rows, most entries]."""
    missing = num_rows - tf.shape(batch.instances)[0]
    padding = [[0, missing]]

    def dense(ragged, default, width: int):
        rows = ragged.to_tensor(default, shape=[None, max(width, 1)])
        return tf.ensure_shape(
            tf.pad(rows, [[0, missing], [0, 0]], constant_values=default),
            [num_rows, max(width, 1)],
        )

    weights = tf.pad(batch.weights, padding)
    indices = tf.pad(batch.instances, padding, constant_values=-1)
    return Batch(
        {
            name: dense(rows, inputs_lib.PADDING[name], lengths.of_input(name))
            for name, rows in batch.inputs.items()
        },
        dense(batch.label_ids, -1, lengths.labels),
        tf.ensure_shape(weights, [num_rows]),
        tf.ensure_shape(indices, [num_rows]),
    )
