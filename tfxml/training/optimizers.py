"""Optimizers that are right, and cheap, for sparse gradients.

# U distinct rows of a gradient, H units of a row
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from tfxml.training import gradients

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class Adam(gradients.SummedGradients, keras.optimizers.Adam):
    """Keras Adam; moves every row of a table at every step."""


class AdamW(gradients.SummedGradients, keras.optimizers.AdamW):
    """Keras AdamW; moves every row of a table at every step."""


class Adagrad(gradients.SummedGradients, keras.optimizers.Adagrad):
    """Keras Adagrad."""


class SGD(gradients.SummedGradients, keras.optimizers.SGD):
    """Keras SGD, with or without momentum."""

    def update_step(
        self,
        gradient: gradients.Gradient,
        variable: keras.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        if self.momentum or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        # One pass over the weights where Keras takes two.
        tf.raw_ops.ResourceApplyGradientDescent(
            var=variable.handle,
            alpha=tf.cast(learning_rate, variable.dtype),
            delta=gradient,
        )


class LazyAdam(gradients.SummedGradients, keras.optimizers.Optimizer):
    """Adam that touches only the rows that have a gradient.

    A row without a gradient keeps its weights and its moments, so the cost of
    a table follows the rows of the batch. (Where shapes are static, the
    gradient is dense and a row of zeros counts as none.) Other variables take
    TensorFlow's fused kernel. Kingma and Ba, ICLR 2015; the bias correction
    counts all steps, as in TensorFlow Addons' LazyAdam.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
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
        momentum = self._momentums[index].value.handle
        velocity = self._velocities[index].value.handle
        learning_rate = tf.cast(learning_rate, variable.dtype)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1_power = tf.pow(tf.cast(self.beta_1, variable.dtype), step)
        beta_2_power = tf.pow(tf.cast(self.beta_2, variable.dtype), step)
        if index not in self._tables:
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=momentum,
                v=velocity,
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
        values = gradient
        if isinstance(gradient, tf.IndexedSlices):
            values = gradient.values
        m = _moving_average(momentum, gradient, values, self.beta_1)
        v = _moving_average(velocity, gradient, values * values, self.beta_2)
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


class LazyAdagrad(gradients.SummedGradients, keras.optimizers.Optimizer):
    """Adagrad in TensorFlow's fused kernels, which touch only needed rows.

    Duchi, Hazan and Singer, JMLR 2011.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
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


class ByLayer(tf.Module):
    """Several optimizers as one: some layers' own, and all others'.

    A label's positives are rare, so that Adam's moments of its weights are
    mostly those of tiny negative gradients; plain steps keep the proportion
    (Jain et al., "Renee", MLSys 2023, train the classifier so).

    Args:
        others: moves what no layer's own optimizer does.
        own: by a layer's name, under which checkpoints keep it, its optimizer
            and its variables.
    """

    def __init__(
        self,
        others: keras.optimizers.Optimizer,
        **own: tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]],
    ):
        super().__init__()
        self.others = others
        self._names = ("others", *own)
        name_of: dict[int, str] = {}
        for name, (optimizer, variables) in own.items():
            setattr(self, name, optimizer)
            name_of |= {id(one): name for one in variables}
        # A function, for checkpoints would look into a dictionary.
        self._name_of = lambda one: name_of.get(id(one), "others")

    @property
    def parts(self) -> dict[str, keras.optimizers.Optimizer]:
        return {name: getattr(self, name) for name in self._names}

    def build(self, variables: Sequence[keras.Variable]) -> None:
        for optimizer, chosen in self._split(variables, variables):
            optimizer.build([variable for _, variable in chosen])

    def apply(
        self,
        grads: Sequence[gradients.Gradient],
        trainable_variables: Sequence[keras.Variable],
    ) -> None:
        for optimizer, chosen in self._split(grads, trainable_variables):
            if chosen:
                optimizer.apply(*zip(*chosen, strict=True))

    @property
    def variables(self) -> list[keras.Variable]:
        return [one for part in self.parts.values() for one in part.variables]

    def _split(self, values, variables) -> list[tuple]:
        pairs = list(zip(values, variables, strict=True))
        return [
            (
                optimizer,
                [pair for pair in pairs if self._name_of(pair[1]) == name],
            )
            for name, optimizer in self.parts.items()
        ]


OPTIMIZERS = {
    "lazy_adam": LazyAdam,
    "lazy_adagrad": LazyAdagrad,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "sgd": SGD,
}


def create(
    name: str,
    learning_rate: Rate,
    global_clipnorm: float | None = None,
    epsilon: float = 1e-7,
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of that name; see `OPTIMIZERS`.

    `epsilon` is what it adds to its divisor; SGD has none.
    """
    if name not in OPTIMIZERS:
        raise ValueError(
            f"`name` must be one of {tuple(OPTIMIZERS)}. Received: {name=}"
        )
    has_divisor = name != "sgd"
    return OPTIMIZERS[name](
        learning_rate=learning_rate,
        global_clipnorm=global_clipnorm,
        **({"epsilon": epsilon} if has_divisor else {}),
    )


def set_iterations(
    optimizer: keras.optimizers.Optimizer | ByLayer, step: int | tf.Tensor
) -> None:
    """Sets how many steps an optimizer has made, which its rate follows."""
    parts = [optimizer]
    if isinstance(optimizer, ByLayer):
        parts = list(optimizer.parts.values())
    for one in parts:
        one.iterations.value.assign(step)


def _has_gradient(gradient: tf.Tensor) -> tf.Tensor:
    """Returns which rows of a table have a gradient, [D, 1], if it is dense."""
    return tf.reduce_any(tf.not_equal(gradient, 0), axis=1, keepdims=True)


def _moving_average(resource, gradient, values, decay: float) -> tf.Tensor:
    """Moves a slot towards `values` where there is a gradient; returns it.

    Of sparse gradients it returns the rows that they have.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        old = tf.raw_ops.ReadVariableOp(resource=resource, dtype=values.dtype)
        new = old + (values - old) * (1 - decay)
        new = tf.where(_has_gradient(gradient), new, old)
        tf.raw_ops.AssignVariableOp(resource=resource, value=new)
        return new
    rows = gradient.indices
    old = tf.raw_ops.ResourceGather(
        resource=resource, indices=rows, dtype=values.dtype
    )
    new = old + (values - old) * (1 - decay)
    tf.raw_ops.ResourceScatterUpdate(
        resource=resource, indices=rows, updates=new
    )
    return new
