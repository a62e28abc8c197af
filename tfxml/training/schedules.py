"""Learning rate schedules."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
import tensorflow as tf

from tfxml.training import training_options

Rate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable(package="tfxml")
class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly to `peak` in `warmup_steps`, then decays to 0.

    Args:
        peak: the highest rate.
        num_steps: of the training; the decay ends there.
        warmup_steps: how many steps the rise takes.
        decay: `constant`, `linear` or `cosine`.
    """

    def __init__(
        self,
        peak: float,
        num_steps: int,
        warmup_steps: int = 0,
        decay: str = "linear",
    ):
        if decay not in training_options.DECAYS:
            raise ValueError(
                f"`decay` must be one of {training_options.DECAYS}. "
                f"Received: {decay=}"
            )
        self.peak = peak
        self.num_steps = num_steps
        self.warmup_steps = warmup_steps
        self.decay = decay

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Returns the rate of a step, counted from 0."""
        step = tf.cast(step, tf.float32)
        warmup_factor = (step + 1) / max(self.warmup_steps, 1)
        decay_steps = max(self.num_steps - self.warmup_steps, 1)
        progress = tf.clip_by_value(
            (step - self.warmup_steps) / decay_steps, 0.0, 1.0
        )
        if self.decay == "linear":
            decay_factor = 1 - progress
        elif self.decay == "cosine":
            decay_factor = (1 + tf.cos(progress * 3.14159265)) / 2
        else:
            decay_factor = tf.ones_like(progress)
        return self.peak * tf.where(
            step < self.warmup_steps, warmup_factor, decay_factor
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "num_steps": self.num_steps,
            "warmup_steps": self.warmup_steps,
            "decay": self.decay,
        }


@keras.saving.register_keras_serializable(package="tfxml")
class Rising(keras.optimizers.schedules.LearningRateSchedule):
    """Rises from `low` to `high` by equal factors, for range tests.

    Args:
        low: the rate of the first step.
        high: the rate of the last step.
        num_steps: how many there are.
    """

    def __init__(self, low: float, high: float, num_steps: int):
        self.low = low
        self.high = high
        self.num_steps = num_steps

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Returns the rate of a step, counted from 0."""
        done = tf.cast(step, tf.float32) / max(self.num_steps - 1, 1)
        return self.low * tf.pow(self.high / self.low, done)

    def get_config(self) -> dict[str, Any]:
        return {
            "low": self.low,
            "high": self.high,
            "num_steps": self.num_steps,
        }
