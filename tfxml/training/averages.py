"""Averages of the weights over the steps, which are what is evaluated.

A run takes its steps with the weights themselves. Between the steps the model
holds the averages and `Averages` the weights, so that whatever evaluates, saves
or exports the model has the averages, and a checkpoint has both. (Keras
optimizers average too, but only what one replica alone assigns, and their
averages are lost on what reads the model between epochs.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import keras
import tensorflow as tf


class Rule(Protocol):
    """How far an average moves to the weights after a step."""

    def share(self, steps: tf.Tensor) -> tf.Tensor:
        """Returns the share of the way, in [0, 1], a float32 scalar.

        Args:
            steps: how many steps are done, int64.
        """

    def has_begun(self, steps: int) -> bool:
        """Tells whether there is an average after so many steps."""


class Exponential:
    """A moving average: a step's weights count by `decay` to their age.

    In the first steps the decay is lower, n / (n + 9) after n steps, so that
    the random first weights are forgotten soon.
    """

    def __init__(self, decay: float):
        self.decay = decay

    def share(self, steps: tf.Tensor) -> tf.Tensor:
        """See `Rule`."""
        before = tf.cast(steps - 1, tf.float32)
        return 1 - tf.minimum(self.decay, before / (before + 9))

    def has_begun(self, steps: int) -> bool:
        """See `Rule`."""
        return steps > 0


class ByEpoch:
    """The mean of the weights at the ends of epochs (stochastic averaging).

    Izmailov et al., "Averaging weights leads to wider optima and better
    generalization", UAI 2018.

    Args:
        steps_per_epoch: of the run.
        start: epochs before the first that counts.
    """

    def __init__(self, steps_per_epoch: int, start: int):
        self.steps_per_epoch = steps_per_epoch
        self.start = start

    def share(self, steps: tf.Tensor) -> tf.Tensor:
        """See `Rule`."""
        number = steps // self.steps_per_epoch - self.start
        is_one = (steps % self.steps_per_epoch == 0) & (number > 0)
        share = 1 / tf.cast(tf.maximum(number, 1), tf.float32)
        return tf.where(is_one, share, 0.0)

    def has_begun(self, steps: int) -> bool:
        """See `Rule`."""
        return steps // self.steps_per_epoch > self.start


class Averages:
    """An average of each weight; made inside the strategy's scope.

    Args:
        strategy: of the run.
        weights: those that are trained, by name.
        rule: how the averages move.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        weights: Mapping[str, keras.Variable],
        rule: Rule,
    ):
        self._strategy = strategy
        self.rule = rule
        self._weights = dict(weights)
        self.variables = {
            name: self._like(weight) for name, weight in weights.items()
        }

    @staticmethod
    def _like(weight: keras.Variable) -> tf.Variable:
        strategy = tf.distribute.get_strategy()
        with strategy.extended.colocate_vars_with(weight.value):
            return tf.Variable(
                tf.zeros(weight.shape, weight.dtype), trainable=False
            )

    def update(self, steps: tf.Tensor) -> None:
        """Moves the averages; called outside of replicas, after a step."""
        share = self.rule.share(steps)

        def move():
            for average, weight in self._pairs():
                self._update(average, _moved, weight, share)

        # Averages of epochs move once an epoch: other steps cost nothing.
        if tf.executing_eagerly():
            if share > 0:
                move()
            return
        tf.cond(share > 0, lambda: (move(), True)[1], lambda: True)

    def swap(self, steps: int) -> None:
        """Exchanges weights and averages, if there are any after the steps."""
        if not self.rule.has_begun(steps):
            return
        for average, weight in self._pairs():
            held = tf.identity(weight)
            self._update(weight, _assigned, average)
            self._update(average, _assigned, held)

    def restart(self) -> None:
        """Sets the averages to the weights."""
        for average, weight in self._pairs():
            self._update(average, _assigned, weight)

    def _pairs(self) -> list[tuple[tf.Variable, tf.Variable]]:
        return [
            (self.variables[name], weight.value)
            for name, weight in self._weights.items()
        ]

    def _update(self, variable: tf.Variable, function, *arguments) -> None:
        """Calls a function with each device's copy of a variable."""
        self._strategy.extended.update(
            variable, function, args=arguments, group=False
        )


def _assigned(variable, value) -> None:
    variable.assign(value)


def _moved(average, weight, share) -> None:
    average.assign_add((weight - average) * tf.cast(share, average.dtype))


class Loop(Protocol):
    """What takes the steps; see `loop.SynchronousLoop`."""

    @property
    def steps_done(self) -> int:
        """How many steps the run has made."""

    def train(self, num_steps: int) -> float:
        """Trains, and returns the mean loss."""

    def report(self) -> dict[str, float]:
        """Returns figures of the steps."""


class AveragedLoop:
    """A loop of steps after which the model holds the averages.

    Args:
        loop: one that updates the averages.
        averages: of the model's weights.
    """

    def __init__(self, loop: Loop, averages: Averages):
        self._loop = loop
        self._averages = averages

    @property
    def steps_done(self) -> int:
        """How many steps the run has made, earlier processes included."""
        return self._loop.steps_done

    def train(self, num_steps: int) -> float:
        """Trains `num_steps` steps and returns their mean loss."""
        self._averages.swap(self.steps_done)
        try:
            return self._loop.train(num_steps)
        finally:
            self._averages.swap(self.steps_done)

    def report(self) -> dict[str, float]:
        """Returns figures of the steps besides their loss."""
        return self._loop.report()
