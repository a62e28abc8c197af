"""The synchronous loop: all replicas take each step together."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from tfxml.data.feeding import batching, on_device, pipeline, service_batches
from tfxml.models import extreme_classifier as classifier_lib
from tfxml.training import averages as averages_lib
from tfxml.training import host_steps
from tfxml.training import replica_step as replica_step_lib


def new_step_counter() -> tf.Variable:
    """Returns the number of steps done; made inside the strategy's scope."""
    return tf.Variable(
        0,
        trainable=False,
        dtype=tf.int64,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        name="step",
    )


class SynchronousLoop:
    """All replicas take each step together; many steps are one graph.

    (Where replicas exchange sparse gradients, each step is a separate call.)

    Args:
        strategy: any that is not a parameter server's.
        model, optimizer, step: made inside the strategy's scope.
        source: the training split.
        batches: how an epoch is cut, over all replicas.
        num_steps: how many steps the whole run has.
        seed: of the order and the dropout.
        is_padded: whether rows are padded to static shapes.
        data_service: the tf.data service that makes the batches; empty: this
            process does.
        num_pieces: of a batch; see `replica_step`.
        averages: of the weights; None: there are none.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: classifier_lib.ExtremeClassifier,
        optimizer: keras.optimizers.Optimizer,
        step: tf.Variable,
        source: pipeline.Source,
        batches: batching.Batches,
        num_steps: int,
        seed: int,
        is_padded: bool = False,
        data_service: str = "",
        num_pieces: int = 1,
        averages: averages_lib.Averages | None = None,
    ):
        self._step = step
        self._data_service = data_service
        self._make_train_steps = functools.partial(
            make_train_steps,
            strategy,
            model,
            optimizer,
            step,
            seed,
            num_pieces,
            averages,
        )
        self._host = host_steps.create(
            model, optimizer, strategy, averages is not None
        )
        self._train_steps = self._make_train_steps(self._host)
        self._optimizer = optimizer
        # Whether a step was traced, after which `gathers_rows` is known.
        self._is_traced = strategy.num_replicas_in_sync == 1
        self._iterator, self._iterator_end = None, 0

        def make_iterator(first: int, last: int):
            def dataset(context):
                shard = pipeline.shard_of(context)
                arguments = (
                    source,
                    batches,
                    seed,
                    first,
                    last,
                    shard,
                    is_padded,
                )
                if not data_service:
                    return pipeline.training(*arguments)
                return service_batches.through(
                    pipeline.training_epoch(*arguments), data_service
                )

            return iter(on_device.distribute(strategy, dataset))

        self._make_iterator = make_iterator
        self._num_steps = num_steps
        self._steps_per_epoch = batches.steps_per_epoch

    @property
    def steps_done(self) -> int:
        """How many steps the run has made, earlier processes included."""
        return int(self._step.numpy())

    def train(self, num_steps: int) -> float:
        """Trains `num_steps` steps and returns their mean loss.

        Raises:
            RuntimeError: if the tf.data service lost a worker.
        """
        if self.steps_done == self._iterator_end or self._iterator is None:
            first, self._iterator_end = self.steps_done, self._num_steps
            if self._data_service:
                # The service keeps no order, so request each epoch separately.
                self._iterator_end = (
                    first
                    - first % self._steps_per_epoch
                    + self._steps_per_epoch
                )
            self._iterator = self._make_iterator(first, self._iterator_end)
        tables = self._host and self._host.tables
        if tables and not tables.are_in_place():
            self._host = host_steps.HostSteps(tables=None)
            self._train_steps = self._make_train_steps(self._host)
        loss_sum, left = tf.constant(0.0), num_steps
        try:
            while left:
                # Inside one graph the gather of sparse gradients over replicas
                # must have the same shape in every step, and batches differ.
                is_one_by_one = (
                    not self._is_traced or self._optimizer.gathers_rows
                )
                number = 1 if is_one_by_one else left
                loss_sum += number * self._train_steps(
                    self._iterator, tf.constant(number)
                )
                self._is_traced = True
                left -= number
        except tf.errors.OutOfRangeError as error:
            if not self._data_service:
                raise
            raise RuntimeError(
                f"the epoch's batches ended before step {self._iterator_end}: "
                "a worker of the tf.data service was lost. Rerun the same "
                "command to resume from the last checkpoint."
            ) from error
        return float(loss_sum) / num_steps

    def report(self) -> dict[str, float]:
        """Returns figures of the steps besides their loss: none."""
        return {}


def make_train_steps(
    strategy: tf.distribute.Strategy,
    model: classifier_lib.ExtremeClassifier,
    optimizer: keras.optimizers.Optimizer,
    step: tf.Variable,
    seed: int,
    num_pieces: int = 1,
    averages: averages_lib.Averages | None = None,
    host: host_steps.HostSteps | None = None,
) -> Callable:
    """Returns a function (iterator, num_steps) -> the mean loss of a step.

    The iterator is over what `on_device.distribute` returns. `num_steps` is a
    tensor, so that one graph serves every number of steps.

    Args:
        strategy: any that is not a parameter server's.
        model, optimizer, step: made inside the strategy's scope.
        seed: of the dropout.
        num_pieces: of a batch; see `replica_step`.
        averages: of the weights; None: there are none.
        host: what compiled loops do; None: nothing.
    """
    whole_batch_step = replica_step_lib.make_replica_step(
        model, optimizer, seed, num_pieces
    )

    def replica_step(batch, step):
        with contextlib.nullcontext() if host is None else host.used():
            return whole_batch_step(on_device.whole(batch), step)

    # AutoGraph takes longer to rewrite a model than TensorFlow to trace it.
    @tf.function(autograph=False)
    def train_steps(iterator, num_steps):
        def is_left(number, total):
            del total
            return number < num_steps

        def train_step(number, total):
            loss = strategy.run(replica_step, args=(next(iterator), step))
            total += strategy.reduce(
                tf.distribute.ReduceOp.SUM, loss, axis=None
            )
            step.assign_add(1)
            if averages is not None:
                averages.update(step.read_value())
            return number + 1, total

        start = (tf.constant(0), tf.constant(0.0))
        total = tf.while_loop(is_left, train_step, start)[1]
        return total / tf.cast(num_steps, total.dtype)

    return train_steps
