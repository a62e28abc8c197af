"""Evaluates a model that is on parameter servers; the workers do the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from tfxml.data.feeding import batching, pipeline, worker_tensors
from tfxml.evaluation import evaluator
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.evaluation import metrics as metrics_lib
from tfxml.models import extreme_classifier as classifier_lib

_AT_ONCE = 256  # batches scheduled before their answers are fetched


class AsynchronousEvaluator:
    """Schedules the batches of a split on workers and scores the answers.

    Args:
        coordinator: of the strategy that the model was made under.
        model: what is evaluated.
        k: what `evaluator.num_ranked` returns.
        source: the split; its tensors are sent to each worker once.
        batch_size: how many instances a worker's batch has.
        is_padded: whether the model takes padded rows.
        exclusions: what is left out of the answers.
        beat: called whenever batches have been evaluated.
        by_head: whether the head's ranking counts, without the re-ranker.
    """

    def __init__(
        self,
        coordinator: tf.distribute.coordinator.ClusterCoordinator,
        model: classifier_lib.ExtremeClassifier,
        k: int,
        source: pipeline.Source,
        batch_size: int,
        is_padded: bool = False,
        exclusions: exclusions_lib.Exclusions = exclusions_lib.NOTHING,
        beat: Callable[[], None] = lambda: None,
        by_head: bool = False,
    ):
        self._coordinator = coordinator
        self._beat = beat
        self._exclusions = exclusions
        self._tensors = worker_tensors.send_tensors(coordinator, source)
        batches = batching.ByInstances(source.num_instances, batch_size)
        self._edges = batches.edges(tf.identity, 1).numpy()
        most_rows = batches.most_rows(1) if is_padded else None
        batch_at = pipeline.evaluation_batch(source, most_rows)
        labels = evaluator.labels_of_batch(model, k, by_head)

        @tf.function(autograph=False)
        def worker_top_k(iterator, edges):
            batch = batch_at(0, edges[0], edges[1], next(iterator)[1:])
            return labels(batch), batch.label_ids, batch.instances

        self._worker_top_k = worker_top_k

    def evaluate(self, metrics: metrics_lib.RankingMetrics) -> None:
        """Adds every instance of the split to `metrics`, once."""
        for top_ids, batch in self._answers():
            evaluator.add_batch(metrics, top_ids, batch, self._exclusions)

    def candidates(self, shape: tuple[int, int]) -> np.ndarray:
        """Returns the best labels of every instance, [N, K] int32.

        `shape` is N and K.
        """
        return evaluator.by_instance(self._answers(), shape)

    def _answers(self) -> Iterator[tuple[np.ndarray, pipeline.Batch]]:
        """Yields each batch's best labels, [n, K], and the batch.

        Without its inputs, which stay with the worker.
        """
        num_batches = len(self._edges) - 1
        for first in range(0, num_batches, _AT_ONCE):
            last = min(first + _AT_ONCE, num_batches)
            answers = [
                self._coordinator.schedule(
                    self._worker_top_k,
                    args=(
                        self._tensors,
                        tf.constant(self._edges[number : number + 2]),
                    ),
                )
                for number in range(first, last)
            ]
            self._coordinator.join()
            self._beat()
            for answer in answers:
                top_ids, label_ids, rows = answer.get()
                batch = pipeline.Batch({}, label_ids, None, rows)
                yield top_ids.numpy(), batch
