"""The optimizers by name, with gradients summed before they are clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfxml.training import gradients, lazy_optimizers, schedules


@keras.saving.register_keras_serializable(package="tfxml")
class Adam(gradients.SummedGradients, keras.optimizers.Adam):
    """Keras Adam: every step updates every row of a table."""


@keras.saving.register_keras_serializable(package="tfxml")
class AdamW(gradients.SummedGradients, keras.optimizers.AdamW):
    """Keras AdamW: every step updates every row of a table."""


@keras.saving.register_keras_serializable(package="tfxml")
class Adagrad(gradients.SummedGradients, keras.optimizers.Adagrad):
    """Keras Adagrad."""


@keras.saving.register_keras_serializable(package="tfxml")
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
        # One pass over the weights; Keras takes two.
        tf.raw_ops.ResourceApplyGradientDescent(
            var=variable.handle,
            alpha=tf.cast(learning_rate, variable.dtype),
            delta=gradient,
        )


@keras.saving.register_keras_serializable(package="tfxml")
class Lamb(gradients.SummedGradients, keras.optimizers.Lamb):
    """Keras LAMB, for large batches: each step moves every row of a table."""

    def update_step(
        self,
        gradient: gradients.Gradient,
        variable: keras.Variable,
        learning_rate: tf.Tensor,
    ) -> None:
        # Its ratio of norms is over all of a variable.
        super().update_step(
            tf.convert_to_tensor(gradient), variable, learning_rate
        )


class ByLayer(tf.Module):
    """Several optimizers as one: some layers have their own.

    A label's positives are rare, so Adam's moments of its weights are mostly
    those of tiny negative gradients. Plain SGD keeps the proportions, so Jain
    et al. train the classifier with it ("Renee", MLSys 2023).

    Args:
        others: the optimizer of all other variables.
        layers: the optimizer and the variables of a layer, by the name that
            checkpoints use.
    """

    def __init__(
        self,
        others: keras.optimizers.Optimizer,
        **layers: tuple[keras.optimizers.Optimizer, Sequence[keras.Variable]],
    ):
        super().__init__()
        self.others = others
        self._names = ("others", *layers)
        name_of: dict[int, str] = {}
        for name, (optimizer, variables) in layers.items():
            setattr(self, name, optimizer)
            name_of |= {id(variable): name for variable in variables}
        # A function: tf.Module would track a dictionary for checkpoints.
        self._name_of = lambda variable: name_of.get(id(variable), "others")

    @property
    def parts(self) -> dict[str, keras.optimizers.Optimizer]:
        """Returns the optimizers by name."""
        return {name: getattr(self, name) for name in self._names}

    @property
    def gathers_rows(self) -> bool:
        """Whether replicas gather rows of gradients, as soon as it is known."""
        return any(part.gathers_rows for part in self.parts.values())

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the slots of all variables."""
        for optimizer, pairs in self._split(variables, variables):
            optimizer.build([variable for _, variable in pairs])

    def apply(
        self,
        grads: Sequence[gradients.Gradient],
        trainable_variables: Sequence[keras.Variable],
    ) -> None:
        """Updates each variable with its optimizer."""
        for optimizer, pairs in self._split(grads, trainable_variables):
            if pairs:
                optimizer.apply(*zip(*pairs, strict=True))

    @property
    def variables(self) -> list[keras.Variable]:
        """Returns the variables of all optimizers."""
        return [
            variable
            for part in self.parts.values()
            for variable in part.variables
        ]

    def _split(self, values, variables) -> list[tuple]:
        pairs = list(zip(values, variables, strict=True))
        return [
            (
                optimizer,
                [pair for pair in pairs if self._name_of(pair[1]) == name],
            )
            for name, optimizer in self.parts.items()
        ]


# `training_options.OPTIMIZERS` has the same names, without TensorFlow.
OPTIMIZERS = {
    "lazy_adam": lazy_optimizers.LazyAdam,
    "lazy_adagrad": lazy_optimizers.LazyAdagrad,
    "adam": Adam,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "sgd": SGD,
    "lamb": Lamb,
}


def create(
    name: str,
    learning_rate: schedules.Rate,
    global_clipnorm: float | None = None,
    epsilon: float = 1e-7,
    momentum: float = 0.0,
    penalties: gradients.Penalties = gradients.Penalties(),  # noqa: B008
) -> keras.optimizers.Optimizer:
    """Returns the optimizer of that name.

    Args:
        name: a key of `OPTIMIZERS`.
        learning_rate: a rate or a schedule.
        global_clipnorm: the largest norm of all gradients together; None: any.
        epsilon: added to the divisor; SGD has none.
        momentum: of SGD; others have their own moments.
        penalties: what holds weights small.

    Raises:
        ValueError: if there is no optimizer of that name.
    """
    if name not in OPTIMIZERS:
        raise ValueError(
            f"`name` must be one of {tuple(OPTIMIZERS)}. Received: {name=}"
        )
    words: dict[str, Any] = {"epsilon": epsilon}
    if name == "sgd":
        words = {"momentum": momentum}
    if penalties.weight_decay:
        words["weight_decay"] = penalties.weight_decay
    optimizer = OPTIMIZERS[name](
        learning_rate=learning_rate, global_clipnorm=global_clipnorm, **words
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.penalties = penalties
    return optimizer


def set_iterations(
    optimizer: keras.optimizers.Optimizer | ByLayer, step: int | tf.Tensor
) -> None:
    """Sets an optimizer's step count, which determines its learning rate."""
    parts = [optimizer]
    if isinstance(optimizer, ByLayer):
        parts = list(optimizer.parts.values())
    for part in parts:
        part.iterations.value.assign(step)
