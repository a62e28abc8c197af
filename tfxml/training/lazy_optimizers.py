"""Optimizers whose step touches only the rows of a table that have a gradient.

# D rows of a table
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfxml.training import gradients, host_tables, schedules


@keras.saving.register_keras_serializable(package="tfxml")
class LazyAdam(gradients.SummedGradients, keras.optimizers.Optimizer):
    """Adam that touches only the rows of a table that have a gradient.

    A row without a gradient keeps its weights and moments, so a step costs as
    much as the rows of the batch. Where shapes are static the gradient is
    dense, and a row of zeros counts as one without a gradient. Other variables
    use TensorFlow's fused kernel. Inside `HostTables.used` compiled loops take
    the steps of tables, with the same results. Kingma and Ba, ICLR 2015; the
    bias correction counts all steps, as in TensorFlow Addons' LazyAdam.
    """

    def __init__(
        self,
        learning_rate: schedules.Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        name: str = "lazy_adam",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(
        self,
        gradient: gradients.Gradient,
        variable: keras.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        index = self._get_variable_index(variable)
        momentum = self._momentums[index].value
        velocity = self._velocities[index].value
        learning_rate = tf.cast(learning_rate, variable.dtype)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1_power = tf.pow(tf.cast(self.beta_1, variable.dtype), step)
        beta_2_power = tf.pow(tf.cast(self.beta_2, variable.dtype), step)
        if index not in self._tables:
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=momentum.handle,
                v=velocity.handle,
                beta1_power=beta_1_power,
                beta2_power=beta_2_power,
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )
            return
        rate = learning_rate * tf.sqrt(1 - beta_2_power) / (1 - beta_1_power)
        tables = host_tables.updating()
        if tables is not None and isinstance(gradient, tf.IndexedSlices):
            tables.lazy_adam(
                gradient,
                (variable, momentum, velocity),
                (rate, 1 - self.beta_1, 1 - self.beta_2, self.epsilon),
            )
            return
        values = gradient
        if isinstance(gradient, tf.IndexedSlices):
            values = gradient.values
        m = _moving_average(momentum.handle, gradient, values, self.beta_1)
        v = _moving_average(
            velocity.handle, gradient, values * values, self.beta_2
        )
        change = rate * m / (tf.sqrt(v) + self.epsilon)
        if isinstance(gradient, tf.IndexedSlices):
            tf.raw_ops.ResourceScatterSub(
                resource=variable.handle,
                indices=gradient.indices,
                updates=change,
            )
        else:
            tf.raw_ops.AssignSubVariableOp(
                resource=variable.handle,
                value=tf.where(_has_gradient(gradient), change, 0.0),
            )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


@keras.saving.register_keras_serializable(package="tfxml")
class LazyAdagrad(gradients.SummedGradients, keras.optimizers.Optimizer):
    """Adagrad that touches only the rows of a table that have a gradient.

    In TensorFlow's fused kernels. Duchi, Hazan and Singer, JMLR 2011.
    """

    def __init__(
        self,
        learning_rate: schedules.Rate = 0.01,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        name: str = "lazy_adagrad",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(
            variables,
            "accumulator",
            initializer=keras.initializers.Constant(
                self.initial_accumulator_value
            ),
        )

    def update_step(
        self,
        gradient: gradients.Gradient,
        variable: keras.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        index = self._get_variable_index(variable)
        arguments = {
            "var": variable.handle,
            "accum": self._accumulators[index].value.handle,
            "lr": tf.cast(learning_rate, variable.dtype),
            "epsilon": tf.cast(self.epsilon, variable.dtype),
        }
        if isinstance(gradient, tf.IndexedSlices):
            tf.raw_ops.ResourceSparseApplyAdagradV2(
                grad=gradient.values, indices=gradient.indices, **arguments
            )
        else:
            tf.raw_ops.ResourceApplyAdagradV2(grad=gradient, **arguments)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


def _has_gradient(gradient: tf.Tensor) -> tf.Tensor:
    """Returns which rows of a dense gradient are not zeros, [D, 1, ...]."""
    axes = list(range(1, gradient.shape.rank))
    return tf.reduce_any(tf.not_equal(gradient, 0), axis=axes, keepdims=True)


def _moving_average(
    resource: tf.Tensor,
    gradient: gradients.Gradient,
    values: tf.Tensor,
    decay: float,
) -> tf.Tensor:
    """Moves a slot towards `values` where there is a gradient.

    Returns the slot's new values: all of them, or a sparse gradient's rows.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        old_values = tf.raw_ops.ReadVariableOp(
            resource=resource, dtype=values.dtype
        )
        new_values = old_values + (values - old_values) * (1 - decay)
        new_values = tf.where(_has_gradient(gradient), new_values, old_values)
        tf.raw_ops.AssignVariableOp(resource=resource, value=new_values)
        return new_values
    rows = gradient.indices
    old_values = tf.raw_ops.ResourceGather(
        resource=resource, indices=rows, dtype=values.dtype
    )
    new_values = old_values + (values - old_values) * (1 - decay)
    tf.raw_ops.ResourceScatterUpdate(
        resource=resource, indices=rows, updates=new_values
    )
    return new_values
