"""Where a run happens: devices and processes, nothing of what is trained."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from absl import flags as absl_flags

from strategies import factory

# What the loop has been shown to train exactly. The factory makes others too.
STRATEGIES = ("default", "one_device", "mirrored", "multi_worker")


@dataclasses.dataclass(frozen=True)
class Launch:
    """Which devices train or evaluate; see `strategies.factory.create`."""

    strategy: str = "default"
    devices: tuple[str, ...] = ()
    logical_cpus: int = 1

    def make_strategy(self) -> tf.distribute.Strategy:
        """Returns the strategy; call it before TensorFlow sees a device."""
        if self.logical_cpus > 1:
            factory.logical_cpus(self.logical_cpus)
        return factory.create(self.strategy, devices=list(self.devices) or None)


def define_flags() -> None:
    """Defines one flag for each field."""
    absl_flags.DEFINE_enum(
        "strategy", "default", STRATEGIES, "How devices are used."
    )
    absl_flags.DEFINE_list(
        "devices",
        [],
        "Devices, e.g. GPU:0,GPU:1; none: all GPUs, or the CPU.",
    )
    absl_flags.DEFINE_integer(
        "logical_cpus",
        1,
        "Split the CPU into this many devices, CPU:0, CPU:1, ...",
        lower_bound=1,
    )


def read_flags() -> Launch:
    """Returns what the flags say."""
    values = absl_flags.FLAGS
    return Launch(values.strategy, tuple(values.devices), values.logical_cpus)
