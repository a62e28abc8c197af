"""Sums over the workers of a synchronous strategy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf


def make_sum_over_workers(
    strategy: tf.distribute.Strategy,
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function from a worker's values to the sum of all workers'.

    Every worker must call it at the same points with values of the same
    shape. All get the same float64 sum: whole numbers are exact up to 2^53.
    Under a strategy of one process the sum is the values. Make the function
    once: each new one is compiled again.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return lambda values: np.asarray(values, np.float64)

    @tf.function(autograph=False)
    def total(worker_values):
        def add_up(replica_values):
            replica = tf.distribute.get_replica_context()
            # A new tensor, which is on the device of the replica.
            replica_values = tf.identity(replica_values)
            return replica.all_reduce(
                tf.distribute.ReduceOp.SUM, replica_values
            )

        return strategy.run(add_up, args=(worker_values,))

    def sum_over_workers(values: np.ndarray) -> np.ndarray:
        values = np.asarray(values, np.float64)
        # One replica of each worker adds its values, the others zeros.
        num_local = len(strategy.extended.worker_devices)
        local_values = [values] + [np.zeros_like(values)] * (num_local - 1)
        worker_values = strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(local_values.pop())
        )
        replica_totals = strategy.experimental_local_results(
            total(worker_values)
        )
        return replica_totals[0].numpy()

    return sum_over_workers
