"""Where a run happens: devices and processes, nothing of what is trained."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from absl import flags as absl_flags

from strategies import factory


@dataclasses.dataclass(frozen=True)
class Launch:
    """Which devices train or evaluate; see `strategies.factory.create`."""

    strategy: str = "default"
    devices: tuple[str, ...] = ()
    logical_cpus: int = 1
    tpu: str = ""

    def make_strategy(
        self, batch_size: int | None = None
    ) -> tf.distribute.Strategy:
        """Returns the strategy; call it before TensorFlow sees a device.

        Args:
            batch_size: over all replicas, to check that it can be divided.
        """
        if self.logical_cpus > 1:
            factory.logical_cpus(self.logical_cpus)
        return factory.create(
            self.strategy,
            devices=list(self.devices) or None,
            tpu_address=self.tpu or None,
            batch_size=batch_size,
        )


def define_flags() -> None:
    """Defines one flag for each field."""
    absl_flags.DEFINE_enum(
        "strategy", "default", list(factory.NAMES), "How devices are used."
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
    absl_flags.DEFINE_string(
        "tpu", "", "With --strategy=tpu: local, a name or grpc://host:port."
    )


def read_flags() -> Launch:
    """Returns what the flags say."""
    values = absl_flags.FLAGS
    return Launch(
        values.strategy,
        tuple(values.devices),
        values.logical_cpus,
        values.tpu,
    )
