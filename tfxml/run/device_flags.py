"""Flags for where a run happens: devices and processes, not the recipe."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

from absl import app
from absl import flags as absl_flags

from strategies import strategy_errors, strategy_options
from tfxml.run import placement as placement_lib

if TYPE_CHECKING:
    import tensorflow as tf

# A worker or a parameter server was lost: restart all tasks to resume.
LOST_EXIT_CODE = os.EX_TEMPFAIL
# The flags of the arguments of `strategies.factory.create`.
_FLAGS = {
    "name": "strategy",
    "devices": "devices",
    "tpu_address": "tpu",
    "connect_seconds": "connect_seconds",
}


@dataclasses.dataclass(frozen=True)
class Launch:
    """Which devices train or evaluate; see `strategies.factory.create`."""

    strategy: str = "default"
    devices: tuple[str, ...] = ()
    logical_cpus: int = 1
    tpu: str = ""
    repetition_group: str = "0/1"
    model_devices: tuple[str, ...] = ()
    model_partition: str = placement_lib.WIDTH
    connect_seconds: float = 600.0
    stall_seconds: float = 300.0
    data_service: str = ""
    tensor_float_32: bool = False

    def make_strategy(self) -> tf.distribute.Strategy:
        """Returns the strategy. Call it before TensorFlow sees any device."""
        # Here, so that flags are checked before TensorFlow is imported.
        from strategies import factory

        if self.logical_cpus > 1:
            factory.logical_cpus(self.logical_cpus)
        if self.tensor_float_32:
            import tensorflow as tf

            tf.config.experimental.enable_tensor_float_32_execution(True)
        name = "tpu" if self.tpu else self.strategy
        try:
            return factory.create(
                name,
                devices=list(self.devices) or None,
                tpu_address=self.tpu or None,
                communication=strategy_options.Communication(
                    connect_seconds=self.connect_seconds
                ),
            )
        except strategy_errors.StrategyError as error:
            if error.field not in _FLAGS:
                raise
            # Name the flag in place of the argument.
            raise strategy_errors.StrategyError(
                f"--{_FLAGS[error.field]}", error.needed, error.value
            ) from error

    def placement(self) -> placement_lib.Placement:
        """Returns which repetitions to train, and on which devices."""
        match = re.fullmatch(r"(\d+)/(\d+)", self.repetition_group)
        if not match:
            raise app.UsageError(
                "--repetition_group must be i/G, like 0/2. "
                f"Received: --repetition_group={self.repetition_group}"
            )
        group, num_groups = map(int, match.groups())
        return placement_lib.Placement(
            group, num_groups, self.model_devices, self.model_partition
        )


@contextlib.contextmanager
def explained_losses() -> Iterator[None]:
    """Ends the process with instructions if another task is lost."""
    import tensorflow as tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        end_as_lost(str(error).strip().splitlines()[0])


def end_as_lost(reason: str) -> NoReturn:
    """Ends the process with `LOST_EXIT_CODE` and tells the user to restart."""
    sys.stderr.write(
        f"FATAL a worker, a parameter server or the tf.data service is lost "
        f"({reason}). Start all tasks again: the run resumes from its last "
        "checkpoint.\n"
    )
    sys.stderr.flush()
    sys.stdout.flush()
    # A regular exit would wait for the rest of the cluster.
    os._exit(LOST_EXIT_CODE)


def define_flags() -> None:
    """Defines the flags that choose devices."""
    absl_flags.DEFINE_enum(
        "strategy",
        "default",
        strategy_options.NAMES,
        "The tf.distribute strategy. auto: chosen by the environment.",
    )
    absl_flags.DEFINE_list(
        "devices",
        [],
        "Devices to use, e.g. GPU:0,GPU:1. Empty: all GPUs, else the CPU.",
    )
    absl_flags.DEFINE_integer(
        "logical_cpus",
        1,
        "Split the CPU into this many devices, CPU:0, CPU:1, ...",
        lower_bound=1,
        upper_bound=1024,  # beyond it TensorFlow takes minutes to start
    )
    absl_flags.DEFINE_bool(
        "tensor_float_32",
        False,
        "Multiply matrices in TensorFloat-32 on NVIDIA GPUs since Ampere: "
        "faster for wide layers, with errors of 1e-3 instead of 1e-6.",
    )
    absl_flags.DEFINE_string(
        "tpu", "", "Use a TPU: local (Colab), its name, or grpc://host:port."
    )


def define_training_flags() -> None:
    """Defines the flags that only training has: groups and time limits."""
    absl_flags.DEFINE_float(
        "connect_seconds",
        600.0,
        "Seconds to wait for the other tasks of TF_CONFIG.",
        lower_bound=1.0,
        upper_bound=strategy_errors.WEEK,
    )
    absl_flags.DEFINE_float(
        "stall_seconds",
        300.0,
        "With parameter servers or a tf.data service: seconds without a step "
        "after which the run is taken to hang and ends.",
        lower_bound=1.0,
        upper_bound=strategy_errors.WEEK,
    )
    absl_flags.DEFINE_string(
        "repetition_group",
        "0/1",
        "i/G: train only group i (from 0) of G groups of MACH's repetitions; "
        "`python -m tfxml.merge` joins the groups.",
    )
    absl_flags.DEFINE_string(
        "data_service",
        "",
        "A tf.data service, grpc://host:port, that produces the batches of "
        "prepared or generated data; see `python -m tfxml.serve_data`. Batches "
        "stay the same, but may come in another order.",
    )
    absl_flags.DEFINE_list(
        "model_devices",
        [],
        "Devices to spread the model over, e.g. GPU:0,GPU:1. With several "
        "replicas: an equal run for each, its own device first.",
    )
    absl_flags.DEFINE_enum(
        "model_partition",
        placement_lib.WIDTH,
        placement_lib.PARTITIONS,
        "What lies where. width: label blocks, repetitions, encoders and table "
        "shards over all model_devices. layers: encoders on the first, the "
        "head over the others. replicas: encoders in each replica, the head's "
        "blocks over the replicas' own devices.",
    )


def read_flags() -> Launch:
    """Returns the values of the flags."""
    values = absl_flags.FLAGS
    arguments: dict[str, Any] = {
        field.name: values[field.name].value
        for field in dataclasses.fields(Launch)
        if field.name in values
    }
    arguments |= {
        k: tuple(v) for k, v in arguments.items() if isinstance(v, list)
    }
    return Launch(**arguments)
