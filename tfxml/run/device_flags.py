"""Where a run happens: devices and processes, nothing of what is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import tensorflow as tf
from absl import app
from absl import flags as absl_flags

from strategies import factory, strategy_errors, strategy_options
from tfxml.run import placement as placement_lib

# A worker or a parameter server is lost: restart all, and the run goes on.
LOST_EXIT_CODE = os.EX_TEMPFAIL
# The flags of what `strategies.factory.create` takes.
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
    repetition_devices: tuple[str, ...] = ()
    connect_seconds: float = 600.0
    stall_seconds: float = 300.0
    data_service: str = ""

    def make_strategy(self) -> tf.distribute.Strategy:
        """Returns the strategy; call it before TensorFlow sees a device."""
        if self.logical_cpus > 1:
            factory.logical_cpus(self.logical_cpus)
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
            # In the words of the command line.
            raise strategy_errors.StrategyError(
                f"--{_FLAGS[error.field]}", error.needed, error.value
            ) from error

    def placement(self) -> placement_lib.Placement:
        """Returns which repetitions are trained, and where."""
        match = re.fullmatch(r"(\d+)/(\d+)", self.repetition_group)
        if not match:
            raise app.UsageError(
                "--repetition_group must be i/G, like 0/2. "
                f"Received: --repetition_group={self.repetition_group}"
            )
        group, num_groups = map(int, match.groups())
        return placement_lib.Placement(
            group, num_groups, self.repetition_devices
        )


@contextlib.contextmanager
def explained_losses() -> Iterator[None]:
    """Ends the process with a word on what to do if another task is lost."""
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        end_as_lost(str(error).strip().splitlines()[0])


def end_as_lost(reason: str) -> NoReturn:
    """Ends the process with `LOST_EXIT_CODE`, saying what to do."""
    sys.stderr.write(
        f"FATAL a worker, a parameter server or the tf.data service is lost "
        f"({reason}). Start all tasks again: the run resumes from its last "
        "checkpoint.\n"
    )
    sys.stderr.flush()
    sys.stdout.flush()
    # What is left of the cluster would be waited for at a usual exit.
    os._exit(LOST_EXIT_CODE)


def define_flags() -> None:
    """Defines the flags that say which devices are used."""
    absl_flags.DEFINE_enum(
        "strategy", "default", factory.NAMES, "How devices are used."
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
        "tpu", "", "A TPU: local (Colab), its name, or grpc://host:port."
    )


def define_training_flags() -> None:
    """Defines the flags of training alone: repetitions apart, patience."""
    absl_flags.DEFINE_float(
        "connect_seconds",
        600.0,
        "How long to wait for the other tasks of TF_CONFIG.",
        lower_bound=1.0,
    )
    absl_flags.DEFINE_float(
        "stall_seconds",
        300.0,
        "With parameter servers or a tf.data service: how long no step may "
        "be taken until a task is taken to hang.",
        lower_bound=1.0,
    )
    absl_flags.DEFINE_string(
        "repetition_group",
        "0/1",
        "i/G: train the i-th of G shares of MACH's repetitions, apart from "
        "the others; `python -m tfxml.merge` joins them.",
    )
    absl_flags.DEFINE_string(
        "data_service",
        "",
        "The tf.data service that makes the batches of prepared or generated "
        "data, grpc://host:port; see `python -m tfxml.serve_data`. An epoch's "
        "batches are the same, their order is not promised.",
    )
    absl_flags.DEFINE_list(
        "repetition_devices",
        [],
        "MACH: devices over which the repetitions are spread, e.g. "
        "GPU:0,GPU:1.",
    )


def read_flags() -> Launch:
    """Returns what the flags say."""
    values = absl_flags.FLAGS
    given: dict[str, Any] = {
        field.name: values[field.name].value
        for field in dataclasses.fields(Launch)
        if field.name in values
    }
    given |= {k: tuple(v) for k, v in given.items() if isinstance(v, list)}
    return Launch(**given)
