"""Options of optimisation: optimizer, learning rate, batches, epochs."""

from __future__ import annotations

import dataclasses

from tfxml import options

OPTIMIZERS = (
    "lazy_adam",
    "lazy_adagrad",
    "adam",
    "adamw",
    "adagrad",
    "sgd",
    "lamb",
)
AVERAGES = ("none", "ema", "swa")
DECAYS = ("constant", "linear", "cosine")


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """Options of training by gradient steps."""

    optimizer: str = options.option(
        "lazy_adam", "The optimizer.", choices=OPTIMIZERS
    )
    learning_rate: float = options.option(
        0.003, "The peak learning rate.", minimum=0
    )
    head_optimizer: str = options.option(
        "same",
        "Optimizer of the head. same: --optimizer; sgd: plain gradient steps "
        "at --head_learning_rate, which keep no moments.",
        choices=("same", "sgd"),
    )
    head_learning_rate: float = options.option(
        60.0,
        "Peak learning rate of head_optimizer=sgd, for a loss that is the mean "
        "over instances of the sum over labels.",
        minimum=0,
    )
    epsilon: float = options.option(
        1e-6,
        "Adam's and Adagrad's epsilon. Larger values damp weights with small "
        "gradients.",
        minimum=0,
    )
    momentum: float = options.option(
        0.0, "Momentum of optimizer=sgd.", minimum=0
    )
    weight_decay: float = options.option(
        0.0,
        "Times the learning rate, the share of every weight that a step takes "
        "off (decoupled; not of biases). Every row of a table is touched.",
        minimum=0,
    )
    l1: float = options.option(
        0.0,
        "L1 penalty of the weights, by proximal steps, so that weights become "
        "zeros; their share is printed. Every row of a table is touched.",
        minimum=0,
    )
    max_norm: float = options.option(
        0.0,
        "The largest length of a row of a weight matrix. 0: any.",
        minimum=0,
    )
    mixup: float = options.option(
        0.0,
        "In training each instance is mixed with another, by a share from "
        "Beta(mixup, mixup): the vectors of the encoder, and the labels. 0: "
        "none.",
        minimum=0,
    )
    warmup_steps: int = options.option(
        0, "Steps in which the learning rate rises from 0.", minimum=0
    )
    decay: str = options.option(
        "linear",
        "How the learning rate falls to 0 after the warm-up.",
        choices=DECAYS,
    )
    global_clipnorm: float = options.option(
        0.0, "Clip the global gradient norm. 0: no clipping.", minimum=0
    )
    batch_size: int = options.option(
        128, "Instances per step, over all replicas.", minimum=1
    )
    accumulate_steps: int = options.option(
        1,
        "Batches whose gradients are summed into one step: the step of a batch "
        "that many times larger, in the memory of one.",
        minimum=1,
    )
    batch_nonzeros: int = options.option(
        0,
        "The most features per step, over all replicas: steps then have about "
        "equally many features and at most batch_size instances. 0: steps of "
        "batch_size instances.",
        minimum=0,
    )
    length_window: int = options.option(
        0,
        "Batches hold instances with about equally many features, sorted "
        "within windows of this many batches, so that short texts are not "
        "padded to long ones. 0: as they come.",
        minimum=0,
    )
    weight_average: str = options.option(
        "none",
        "What is evaluated, saved and exported instead of the last weights. "
        "ema: their moving average; swa: their mean at the ends of epochs. "
        "Each update reads and writes all weights.",
        choices=AVERAGES,
    )
    average_decay: float = options.option(
        0.999, "Share that a step of weight_average=ema keeps.", minimum=0
    )
    swa_start: int = options.option(
        5,
        "Epochs before the first that weight_average=swa averages.",
        minimum=0,
    )
    num_epochs: int = options.option(
        10, "Passes over the training split.", minimum=1
    )

    def check_training(self) -> None:
        """Raises ValueError if the options of training contradict."""
        options.require(
            not (self.length_window and self.batch_nonzeros),
            "length_window",
            "0 with batch_nonzeros, which cuts epochs by itself",
            self,
        )
        options.require(self.momentum < 1, "momentum", "below 1", self)
        options.require(
            self.average_decay < 1, "average_decay", "below 1", self
        )
        options.require(
            self.weight_average != "swa" or self.swa_start < self.num_epochs,
            "swa_start",
            f"below num_epochs={self.num_epochs} with weight_average=swa",
            self,
        )
        options.require(
            self.head_optimizer == "same" or not self.global_clipnorm,
            "global_clipnorm",
            "0 with head_optimizer=sgd: a global norm covers all gradients",
            self,
        )
