"""Optimizers that are right, and cheap, for sparse gradients.

# U distinct rows of a gradient, H units of a row

Keras 3 hands an `IndexedSlices` with repeated indices to its optimizers as it
is, and clips before gradients are summed over replicas; both give other
weights than a dense gradient on one device. Here gradients are first summed
over replicas, then over repeated indices, then clipped.
"""

from __future__ import annotations

import keras
import tensorflow as tf


class _SummedGradients:
    """Sums gradients over replicas and repeated rows before all else."""

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        pairs = super()._all_reduce_sum_gradients(
            list(zip(grads, trainable_variables, strict=True))
        )
        grads = [sum_repeated_rows(gradient) for gradient, _ in pairs]
        super().apply(grads, [variable for _, variable in pairs])

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars  # done before clipping


class Adam(_SummedGradients, keras.optimizers.Adam):
    """Keras Adam; moves every row of a table at every step."""


class AdamW(_SummedGradients, keras.optimizers.AdamW):
    """Keras AdamW; moves every row of a table at every step."""


class Adagrad(_SummedGradients, keras.optimizers.Adagrad):
    """Keras Adagrad."""


class SGD(_SummedGradients, keras.optimizers.SGD):
    """Keras SGD, with or without momentum."""


class LazyAdam(_SummedGradients, keras.optimizers.Optimizer):
    """Adam that touches only the rows that have a gradient.

    A row without a gradient keeps its weights and its moments, so the cost of
    a table follows the rows of the batch. Dense gradients take TensorFlow's
    fused kernel. Kingma and Ba, ICLR 2015; the bias correction counts all
    steps, as in TensorFlow Addons' LazyAdam.
    """

    def __init__(
        self,
        learning_rate=0.001,
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

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def update_step(self, gradient, variable, learning_rate):
        index = self._get_variable_index(variable)
        momentum = self._momentums[index].value.handle
        velocity = self._velocities[index].value.handle
        learning_rate = tf.cast(learning_rate, variable.dtype)
        step = tf.cast(self.iterations + 1, variable.dtype)
        beta_1_power = tf.pow(tf.cast(self.beta_1, variable.dtype), step)
        beta_2_power = tf.pow(tf.cast(self.beta_2, variable.dtype), step)
        if not isinstance(gradient, tf.IndexedSlices):
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
        rows, values = gradient.indices, gradient.values
        m = _moving_average(momentum, rows, values, self.beta_1)
        v = _moving_average(velocity, rows, values * values, self.beta_2)
        rate = learning_rate * tf.sqrt(1 - beta_2_power) / (1 - beta_1_power)
        tf.raw_ops.ResourceScatterSub(
            resource=variable.handle,
            indices=rows,
            updates=rate * m / (tf.sqrt(v) + self.epsilon),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }


class LazyAdagrad(_SummedGradients, keras.optimizers.Optimizer):
    """Adagrad in TensorFlow's fused kernels, which touch only needed rows.

    Duchi, Hazan and Singer, JMLR 2011.
    """

    def __init__(
        self,
        learning_rate=0.01,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        name: str = "lazy_adagrad",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables):
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

    def update_step(self, gradient, variable, learning_rate):
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

    def get_config(self):
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


OPTIMIZERS = {
    "lazy_adam": LazyAdam,
    "lazy_adagrad": LazyAdagrad,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "sgd": SGD,
}


class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `peak` in `warmup_steps`, then decays to 0.

    Args:
        peak: the highest rate.
        num_steps: where the decay ends.
        warmup_steps: how many steps the rise takes.
        decay: `constant`, `linear` or `cosine`.
    """

    DECAYS = ("constant", "linear", "cosine")

    def __init__(
        self,
        peak: float,
        num_steps: int,
        warmup_steps: int = 0,
        decay: str = "linear",
    ):
        if decay not in self.DECAYS:
            raise ValueError(
                f"`decay` must be one of {self.DECAYS}. Received: {decay=}"
            )
        self.peak = peak
        self.num_steps = num_steps
        self.warmup_steps = warmup_steps
        self.decay = decay

    def __call__(self, step):
        step = tf.cast(step, tf.float32)
        warm = (step + 1) / max(self.warmup_steps, 1)
        decaying = max(self.num_steps - self.warmup_steps, 1)
        done = tf.clip_by_value((step - self.warmup_steps) / decaying, 0.0, 1.0)
        if self.decay == "linear":
            left = 1 - done
        elif self.decay == "cosine":
            left = (1 + tf.cos(done * 3.14159265)) / 2
        else:
            left = tf.ones_like(done)
        return self.peak * tf.where(step < self.warmup_steps, warm, left)

    def get_config(self):
        return {
            "peak": self.peak,
            "num_steps": self.num_steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
        }


def create(
    name: str,
    learning_rate,
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


def sum_repeated_rows(gradient):
    """Returns the gradient with each row once; dense ones as they are."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    rows, places = tf.unique(gradient.indices)
    values = tf.cond(
        # A compact batch on one replica repeats no row: nothing to add up.
        tf.equal(tf.size(rows), tf.size(gradient.indices)),
        lambda: gradient.values,
        lambda: tf.math.unsorted_segment_sum(
            gradient.values, places, tf.size(rows)
        ),
    )
    return tf.IndexedSlices(values, rows, gradient.dense_shape)


def _moving_average(resource, rows, values, decay: float) -> tf.Tensor:
    """Moves the rows of a slot variable towards `values`; returns them."""
    old = tf.raw_ops.ResourceGather(
        resource=resource, indices=rows, dtype=values.dtype
    )
    new = old + (values - old) * (1 - decay)
    tf.raw_ops.ResourceScatterUpdate(
        resource=resource, indices=rows, updates=new
    )
    return new
