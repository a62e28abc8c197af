"""How a `Trainer` goes through a data set, under each kind of strategy.

# M metrics and the loss
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfxml.training import optimizers, trainer_replica


class Steps(NamedTuple):
    """What some steps of training have come to."""

    number: int
    loss: float  # the sum of the instances' losses
    weight: float  # the sum of their weights


def create(replica: trainer_replica.Replica) -> Synchronous | Asynchronous:
    """Returns the loop of the replica's strategy."""
    is_remote = isinstance(
        replica.strategy, tf.distribute.ParameterServerStrategy
    )
    return Asynchronous(replica) if is_remote else Synchronous(replica)


class Synchronous:
    """All replicas take each step together."""

    # One call, which costs about as much as a step of a small model, takes so
    # many steps where nobody asks for each.
    _STEPS_PER_CALL = 32

    def __init__(self, replica: trainer_replica.Replica):
        strategy = self._strategy = replica.strategy

        def step(batch):
            loss, weight = strategy.run(replica.step, args=(batch,))
            weight = strategy.reduce("SUM", weight, axis=None)
            return strategy.reduce("SUM", loss, axis=None) * weight, weight

        # Like Keras' own training, without AutoGraph, which takes longer to
        # rewrite a model than TensorFlow to trace it.
        @tf.function(autograph=False)
        def train_steps(iterator, number):
            def is_left(done, loss_sum, weight_sum):
                del loss_sum, weight_sum
                return done < number

            def next_step(done, loss_sum, weight_sum):
                loss, weight = step(next(iterator))
                return done + 1, loss_sum + loss, weight_sum + weight

            start = (tf.constant(0), tf.constant(0.0), tf.constant(0.0))
            return tf.while_loop(is_left, next_step, start)[1:]

        @tf.function(reduce_retracing=True, autograph=False)
        def sums(batch):
            return strategy.reduce(
                "SUM",
                strategy.run(replica.sums, args=(batch,)),
                axis=None,
            )

        self.train_step = tf.function(
            step, reduce_retracing=True, autograph=False
        )
        self.sums = sums
        self._train_steps = train_steps

    def train(
        self, dataset: tf.data.Dataset, is_each_told: bool
    ) -> Iterable[Steps]:
        """Trains on each batch once; yields what steps have come to.

        `is_each_told` says whether each step is yielded by itself.
        """
        left = int(dataset.cardinality())
        is_one_by_one = (
            is_each_told
            or left < 0  # nobody knows how many there are
            # In one graph, gradients that replicas gather must have the same
            # shape in all steps.
            or self._strategy.num_replicas_in_sync > 1
        )
        batches = iter(self._distributed(dataset))
        if is_one_by_one:
            for batch in batches:
                loss, weight = self.train_step(batch)
                yield Steps(1, float(loss), float(weight))
            return
        while left:
            number = min(left, self._STEPS_PER_CALL)
            loss, weight = self._train_steps(batches, tf.constant(number))
            yield Steps(number, float(loss), float(weight))
            left -= number

    def evaluate(self, dataset: tf.data.Dataset) -> Iterable[np.ndarray]:
        """Yields what each batch adds to loss and metrics, [M, 2]."""
        for batch in self._distributed(dataset):
            yield self.sums(batch).numpy().astype(np.float64)

    def _distributed(self, dataset: tf.data.Dataset):
        if self._strategy.num_replicas_in_sync > 1:
            options = tf.data.Options()
            # Shards of files would be uneven; a worker skips what is others'.
            options.experimental_distribute.auto_shard_policy = (
                tf.data.experimental.AutoShardPolicy.DATA
            )
            dataset = dataset.with_options(options)
        return self._strategy.experimental_distribute_dataset(dataset)


class Asynchronous:
    """Workers of parameter servers take the batches that are handed out.

    The coordinator reads the batches and sends them, so that each is trained
    on once, whatever the data set is made of.
    """

    _AT_ONCE = 256  # batches that may wait on the workers

    def __init__(self, replica: trainer_replica.Replica):
        self._replica = replica
        self._step = 0
        self._functions: dict[str, Callable] = {}
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(
            replica.strategy
        )

    def train(
        self, dataset: tf.data.Dataset, is_each_told: bool
    ) -> Iterable[Steps]:
        """Trains on each batch once; yields what each step has come to."""
        del is_each_told  # steps are told in any case
        replica = self._replica

        def step(batch, number):
            # Keras counts in a variable that loses counts of two workers at
            # once; the rate of a step follows from its number.
            optimizers.set_iterations(replica.optimizer, number)
            loss, weight = replica.strategy.run(
                replica.step, args=(batch, number)
            )
            weight = replica.strategy.reduce("SUM", weight, axis=None)
            loss = replica.strategy.reduce("SUM", loss, axis=None)
            return loss * weight, weight

        for loss, weight in self._scheduled("train", dataset, step):
            yield Steps(1, float(loss), float(weight))

    def evaluate(self, dataset: tf.data.Dataset) -> Iterable[np.ndarray]:
        """Yields what each batch adds to loss and metrics, [M, 2]."""
        replica = self._replica

        def sums(batch, number):
            del number
            return replica.strategy.reduce(
                "SUM",
                replica.strategy.run(replica.sums, args=(batch,)),
                axis=None,
            )

        for of_batch in self._scheduled("evaluate", dataset, sums):
            yield of_batch.astype(np.float64)

    def _scheduled(
        self, name: str, dataset: tf.data.Dataset, step: Callable
    ) -> Iterable[Any]:
        """Yields what the workers return for each batch."""
        spec = dataset.element_spec
        if name not in self._functions:
            parts = tf.nest.flatten(spec, expand_composites=True)
            signature = [tf.TensorSpec([], tf.int64), *parts]

            @tf.function(input_signature=signature, autograph=False)
            def function(number, *tensors):
                batch = tf.nest.pack_sequence_as(
                    spec, tensors, expand_composites=True
                )
                return step(batch, number)

            self._functions[name] = function
        waiting: list = []
        for batch in dataset:
            tensors = tf.nest.flatten(batch, expand_composites=True)
            number = tf.constant(self._step, tf.int64)
            self._step += name == "train"
            waiting.append(
                self._coordinator.schedule(
                    self._functions[name], args=(number, *tensors)
                )
            )
            if len(waiting) == self._AT_ONCE:
                yield from self._fetched(waiting)
                waiting = []
        yield from self._fetched(waiting)

    def _fetched(self, waiting: list) -> Iterable[Any]:
        self._coordinator.join()
        for value in waiting:
            yield value.fetch()
