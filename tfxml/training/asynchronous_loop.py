"""The loop of parameter servers: each worker takes steps at its own pace.

The coordinator distributes step numbers, and a worker makes its step's batch
itself, so an epoch has every instance once, whichever worker is fast. A step's
gradients may belong to weights that are some steps old; this staleness is
measured. Failed steps are repeated: each is applied at least once.

Li et al., "Scaling distributed machine learning with the parameter server",
OSDI 2014.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfxml.data.feeding import batching, pipeline, worker_tensors
from tfxml.models import extreme_classifier as classifier_lib
from tfxml.training import optimizers, replica_step

_POLL_SECONDS = 0.01


class AsynchronousLoop:
    """Steps that a `ClusterCoordinator` gives to whichever worker is free.

    Args:
        coordinator: of the strategy that the rest was made under.
        model, optimizer, step: made inside the strategy's scope.
        source: the training split; its tensors are sent to each worker once.
        batches: how an epoch is cut; one worker makes a whole step.
        seed: of the order and the dropout.
        is_padded: whether rows are padded to static shapes.
        beat: called whenever steps have been applied.
        num_pieces: of a batch; see `replica_step`.
    """

    def __init__(
        self,
        coordinator: tf.distribute.coordinator.ClusterCoordinator,
        model: classifier_lib.ExtremeClassifier,
        optimizer: keras.optimizers.Optimizer,
        step: tf.Variable,
        source: pipeline.Source,
        batches: batching.Batches,
        seed: int,
        is_padded: bool = False,
        beat: Callable[[], None] = lambda: None,
        num_pieces: int = 1,
    ):
        self._coordinator = coordinator
        self._beat = beat
        self._step = step
        self._tensors = worker_tensors.send_tensors(coordinator, source)
        strategy = coordinator.strategy
        num_replicas = strategy.num_replicas_in_sync
        with strategy.scope():
            # A Keras variable reads, adds and writes: if two workers do so at
            # once, one addition is lost. This variable adds in place.
            self._applied = tf.Variable(0, trainable=False, dtype=tf.int64)
        self._scheduled = 0
        self._in_flight = 0
        self._staleness: list[int] = []
        self._replica_edges = _ReplicaEdges(source, batches, seed, num_replicas)
        most_rows = batches.most_rows(num_replicas) if is_padded else None
        batch_at = pipeline.training_batch(source, seed, most_rows, batches)
        steps_per_epoch = batches.steps_per_epoch

        take_step = replica_step.make_replica_step(
            model, optimizer, seed, num_pieces
        )

        def replica(step, edges, tensors):
            context = tf.distribute.get_replica_context()
            replica_id = context.replica_id_in_sync_group
            batch = batch_at(
                step // steps_per_epoch,
                edges[replica_id],
                edges[replica_id + 1],
                tensors[1:],
            )
            return take_step(batch, step)

        @tf.function(autograph=False)
        def worker_step(iterator, step, edges):
            applied_before = self._applied.read_value()
            # Keras' own step counter loses some steps; the learning rate must
            # follow the step's number.
            optimizers.set_iterations(optimizer, step)
            with tf.control_dependencies([applied_before]):
                loss = strategy.run(replica, args=(step, edges, next(iterator)))
                loss = strategy.reduce("SUM", loss, axis=None)
            with tf.control_dependencies([loss]):
                applied = self._applied.assign_add(1)
            return loss, applied - 1 - applied_before

        self._worker_step = worker_step

    @property
    def steps_done(self) -> int:
        """How many steps the run has made, earlier processes included."""
        return int(self._step.numpy())

    def train(self, num_steps: int) -> float:
        """Trains `num_steps` steps and returns their mean loss.

        All are applied when it returns, so no gradient belongs to weights
        older than `num_steps` steps.

        Raises:
            tf.errors.UnavailableError: if a parameter server is lost.
        """
        first = self.steps_done
        results = [
            self._coordinator.schedule(
                self._worker_step,
                args=(
                    self._tensors,
                    tf.constant(step, tf.int64),
                    tf.constant(self._replica_edges.of(step)),
                ),
            )
            for step in range(first, first + num_steps)
        ]
        self._scheduled += num_steps
        self._wait()
        losses, staleness = zip(
            *(result.fetch() for result in results), strict=True
        )
        self._staleness += map(int, staleness)
        self._step.assign(first + num_steps)
        return float(sum(losses)) / num_steps

    def _wait(self) -> None:
        """Waits for all steps; calls `beat` as they are applied."""
        last_applied = None
        while not self._coordinator.done():
            applied = int(self._applied.numpy())
            in_flight = self._scheduled - applied
            self._in_flight = max(self._in_flight, in_flight)
            if applied != last_applied:
                last_applied = applied
                self._beat()
            time.sleep(_POLL_SECONDS)
        self._coordinator.join()
        self._beat()

    def report(self) -> dict[str, float]:
        """Returns how many steps were scheduled, applied and in flight.

        Steps in flight are scheduled and not yet applied; `_max` is the most
        seen at once. A step's staleness is how many others were applied
        between its reading of the weights and its update. In flight and
        staleness cover the steps since the last report.
        """
        staleness, self._staleness = self._staleness or [0], []
        in_flight, self._in_flight = self._in_flight, 0
        return {
            "steps_scheduled": self._scheduled,
            "steps_applied": int(self._applied.numpy()),
            "steps_in_flight_max": in_flight,
            "staleness_mean": sum(staleness) / len(staleness),
            "staleness_max": max(staleness),
        }


class _ReplicaEdges:
    """Where the replicas' parts of a step begin, and the end, [R + 1]."""

    def __init__(
        self,
        source: pipeline.Source,
        batches: batching.Batches,
        seed: int,
        num_replicas: int,
    ):
        self._edges_of = lambda epoch: pipeline.training_edges(
            source, batches, seed, epoch, num_replicas
        ).numpy()
        self._steps_per_epoch = batches.steps_per_epoch
        self._num_replicas = num_replicas
        self._epoch = -1  # none
        self._edges = np.zeros(0, np.int64)  # of that epoch

    def of(self, step: int) -> np.ndarray:
        epoch, step = divmod(step, self._steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._edges = epoch, self._edges_of(epoch)
        first = step * self._num_replicas
        return self._edges[first : first + self._num_replicas + 1]
