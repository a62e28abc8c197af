"""Evaluates a model over a split: every instance once, under any strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from strategies import collective
from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import inputs as inputs_lib
from tfxml.data.feeding import pipeline
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.evaluation import metrics as metrics_lib
from tfxml.models import extreme_classifier as classifier_lib
from tfxml.models import row_forms

# n rows of a replica's batch, K candidates


def make_top_k(
    strategy: tf.distribute.Strategy,
    model: classifier_lib.ExtremeClassifier,
    k: int,
    by_head: bool = False,
) -> Callable:
    """Returns a function from a distributed batch to its best labels [n, K].

    Args:
        strategy: what the model lives under.
        model: what is evaluated.
        k: K.
        by_head: whether the head's ranking counts, without the re-ranker.
    """
    replica_step = labels_of_batch(model, k, by_head)

    @tf.function(autograph=False)
    def top_k(batch):
        return strategy.run(replica_step, args=(batch,))

    return top_k


def labels_of_batch(
    model: classifier_lib.ExtremeClassifier, k: int, by_head: bool
) -> Callable[[pipeline.Batch], tf.Tensor]:
    """Returns a function from a batch to its best labels [n, K].

    The arguments are those of `make_top_k`.
    """

    def labels(batch: pipeline.Batch):
        if by_head:
            return model.candidates(batch.inputs, k)
        return model.top_k(batch.inputs, k)[1]

    return labels


def make_batches(
    strategy: tf.distribute.Strategy,
    source: pipeline.Source,
    batch_size: int,
    is_padded: bool = False,
) -> tf.distribute.DistributedDataset | tf.data.Dataset:
    """Returns a split's distributed batches, which can be read many times.

    Args:
        strategy: what the model lives under.
        source: the split.
        batch_size: over all replicas.
        is_padded: whether the model takes padded rows.
    """
    return strategy.distribute_datasets_from_function(
        lambda context: pipeline.evaluation(
            source, batch_size, pipeline.shard_of(context), is_padded
        )
    )


def evaluate(
    strategy: tf.distribute.Strategy,
    top_k: Callable,
    batches: tf.distribute.DistributedDataset | tf.data.Dataset,
    metrics: metrics_lib.RankingMetrics,
    exclusions: exclusions_lib.Exclusions = exclusions_lib.NOTHING,
) -> None:
    """Adds every instance of a split to `metrics`.

    Args:
        strategy: what the model lives under.
        top_k: what `make_top_k` returns; its K is what `num_ranked` says.
        batches: what `make_batches` returns.
        metrics: what the instances are added to.
        exclusions: what is left out of the answers.
    """
    for label_ids, local_batch in _answers(strategy, top_k, batches):
        add_batch(metrics, label_ids, local_batch, exclusions)
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        _add_other_workers(strategy, metrics)


def candidates(
    strategy: tf.distribute.Strategy,
    top_k: Callable,
    batches: tf.distribute.DistributedDataset | tf.data.Dataset,
    shape: tuple[int, int],
) -> np.ndarray:
    """Returns the best labels of every instance of a split, [N, K] int32.

    Every worker returns all of them. `shape` is N and K; the other arguments
    are those of `evaluate`.
    """
    label_ids = by_instance(_answers(strategy, top_k, batches), shape)
    # Each row was answered by one worker; the others have zeros there.
    sum_over_workers = collective.make_sum_over_workers(strategy)
    return sum_over_workers(label_ids).astype(np.int32)


def cpu_candidates(
    model: cpu_predictor.CpuPredictor, source: pipeline.Source, k: int
) -> np.ndarray:
    """Returns the best labels of every instance of a split, [N, K].

    Ids have 16 bits where that is enough, else 32: they are many.
    """
    is_narrow = source.num_labels <= 1 << 16
    label_ids = np.zeros(
        (source.num_instances, k), np.uint16 if is_narrow else np.int32
    )
    for first in range(0, source.num_instances, cpu_predictor.ROWS_AT_ONCE):
        last = min(first + cpu_predictor.ROWS_AT_ONCE, source.num_instances)
        inputs, _ = source.rows(tf.range(first, last, dtype=tf.int64))
        label_ids[first:last] = model.candidates(row_arrays(inputs), k)
    return label_ids


def row_arrays(inputs: Mapping[str, tf.RaggedTensor]) -> row_forms.RaggedRows:
    """Returns the features of named inputs as the compiled loops read them."""
    ids = inputs[inputs_lib.FEATURE_IDS]
    return row_forms.RaggedRows(
        ids.flat_values.numpy().astype(np.uint32),
        inputs[inputs_lib.FEATURE_VALUES].flat_values.numpy(),
        ids.row_splits.numpy(),
    )


def by_instance(
    answers: Iterable[tuple[np.ndarray, pipeline.Batch]], shape: tuple[int, int]
) -> np.ndarray:
    """Returns batches' labels [n, K] in the split's order, [N, K] int32."""
    ordered = np.zeros(shape, np.int32)
    for label_ids, batch in answers:
        rows = batch.instances.numpy()
        ordered[rows[rows >= 0]] = label_ids[rows >= 0]
    return ordered


def _answers(
    strategy: tf.distribute.Strategy, top_k: Callable, batches
) -> Iterator[tuple[np.ndarray, pipeline.Batch]]:
    """Yields each local replica's labels [n, K] and its part of a batch."""
    for batch in batches:
        answers = zip(
            strategy.experimental_local_results(top_k(batch)),
            strategy.experimental_local_results(batch),
            strict=True,
        )
        for label_ids, local_batch in answers:
            yield label_ids.numpy(), local_batch


def num_ranked(
    ks: tuple[int, ...],
    num_labels: int,
    exclusions: exclusions_lib.Exclusions,
) -> int:
    """Returns K: the largest k, and as many more as may be left out."""
    return min(max(ks) + exclusions.most, num_labels)


def _add_other_workers(
    strategy: tf.distribute.Strategy, metrics: metrics_lib.RankingMetrics
) -> None:
    """Adds the other workers' counts, so that each worker has the total."""
    counts = metrics.state()
    # All counts in one vector: one exchange.
    totals = collective.make_sum_over_workers(strategy)(
        np.concatenate([np.ravel(count) for count in counts.values()])
    )
    other_counts, start = {}, 0
    for name, count in counts.items():
        total = totals[start : start + count.size].reshape(count.shape)
        other_counts[name] = total - count
        start += count.size
    metrics.merge(other_counts)


def add_batch(
    metrics: metrics_lib.RankingMetrics,
    top_ids: np.ndarray,
    batch: pipeline.Batch,
    exclusions: exclusions_lib.Exclusions,
) -> None:
    """Adds a batch's labels, [n, K], to the metrics; see `evaluate`."""
    row_ids = batch.instances.numpy()
    is_row = row_ids >= 0
    if not is_row.any():
        return
    splits, label_ids = _true_labels(batch.label_ids, is_row)
    top_ids = top_ids[is_row]
    max_k = int(metrics.ks[-1])
    if top_ids.shape[1] < max_k:  # fewer labels than k
        missing = max_k - top_ids.shape[1]
        top_ids = np.pad(top_ids, [(0, 0), (0, missing)], constant_values=-1)
    start = int(row_ids[0])
    if exclusions.most:
        top_ids = exclusions.from_predictions(top_ids, max_k, start)
    splits, label_ids = exclusions.from_labels(splits, label_ids, start)
    metrics.update(top_ids, splits, label_ids)


def _true_labels(
    label_ids: tf.RaggedTensor | tf.Tensor, is_row: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the splits and the ids of ragged or padded label ids."""
    if isinstance(label_ids, tf.RaggedTensor):
        return label_ids.row_splits.numpy(), label_ids.flat_values.numpy()
    padded = label_ids.numpy()[is_row]
    splits = np.concatenate([[0], np.cumsum((padded >= 0).sum(axis=1))])
    return splits, padded[padded >= 0]
