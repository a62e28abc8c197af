"""Runs the worker and ps tasks of a coordinator, and exits with it.

`tf.distribute.Server.join()` never returns: its process outlives the
coordinator and keeps its port and its memory. `serve` polls the coordinator
instead.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from strategies import addresses, cluster, loopback, strategy_errors

# How often a server checks its coordinator.
_POLL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long a server waits.

    Attributes:
        start_seconds: For a coordinator that has not started yet.
        gone_seconds: For one that is gone: if it restarts within this time,
            it finds the servers (without its variables) at their addresses.
        drain_seconds: After SIGTERM, for a coordinator that saves what the
            servers hold. Below the 30 s that Kubernetes and SLURM allow.
    """

    start_seconds: float = 3600.0
    gone_seconds: float = 60.0
    drain_seconds: float = 25.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            strategy_errors.check_seconds(field.name, getattr(self, field.name))


def serve(task: cluster.Cluster, patience: Patience | None = None) -> int:
    """Serves as the task's worker or ps until its coordinator is gone.

    Call it in the main thread, before any other use of TensorFlow, and exit
    with the code that it returns.

    Returns:
        The exit code: 0 when the coordinator came and went, 69 (EX_UNAVAILABLE)
        when it never came, 143 when SIGTERM ended the task.
    """
    if not task.is_server:
        needed = "worker or ps of a cluster with a ps"
        raise strategy_errors.StrategyError("task.type", needed, task.task_type)
    terminated = threading.Event()
    signal.signal(signal.SIGTERM, lambda signum, frame: terminated.set())
    # With one thread, as on one core, a server waits for itself for ever.
    threads = max(len(os.sched_getaffinity(0)), task.num_workers + 1)
    config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads)
    if task.task_type == "ps":
        # Tables live in the host's memory; the GPUs belong to the workers.
        config.device_count["GPU"] = 0
    # Says more than TensorFlow if the port is taken.
    addresses.listen(task.address).close()
    with loopback.only(task.is_on_loopback):
        # Held as long as it serves: a server ends with its last reference.
        server = tf.distribute.Server(
            tf.train.ClusterSpec(task.training_tasks()),
            job_name=task.task_type,
            task_index=task.task_index,
            protocol="grpc",
            config=config,
        )
    chief = task.tasks["chief"][0]
    code = watch(
        lambda: addresses.answers(chief), patience or Patience(), terminated
    )
    del server
    return code


def watch(
    is_coordinator_up: Callable[[], bool],
    patience: Patience,
    terminated: threading.Event,
) -> int:
    """Returns the exit code once there is no more coordinator to serve.

    Args:
        is_there: Whether the coordinator answers now.
        patience: How long to wait.
        terminated: Set by SIGTERM.
    """
    was_up = False
    deadline = time.monotonic() + patience.start_seconds
    drain_end = None
    while True:
        is_up = is_coordinator_up()
        now = time.monotonic()
        if is_up:
            was_up = True
            deadline = now + patience.gone_seconds
        if terminated.is_set():
            drain_end = drain_end or now + patience.drain_seconds
            if not is_up or now >= drain_end:
                return 0 if was_up and not is_up else 128 + signal.SIGTERM
        if not is_up and now >= deadline:
            return os.EX_OK if was_up else os.EX_UNAVAILABLE
        _pause(terminated)


def _pause(terminated: threading.Event) -> None:
    """Sleeps until the next poll or SIGTERM."""
    if terminated.is_set():
        time.sleep(_POLL_SECONDS / 5)
    else:
        terminated.wait(_POLL_SECONDS)
