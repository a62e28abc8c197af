"""Makes the tf.distribute strategy of a name, or says why it cannot.

    strategy = factory.create("auto")
    print(factory.describe(strategy))

Everything that can be known before TensorFlow connects to anything is checked
first. Worker and ps tasks of a parameter server cluster make no strategy:
`parameter_server.serve` runs them.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence

import tensorflow as tf

from strategies import addresses, cluster, errors, options, tpu

NAMES = (
    "auto",
    "default",
    "one_device",
    "mirrored",
    "multi_worker",
    "parameter_server",
    "central_storage",
    "tpu",
)
_WITH_DEVICES = ("one_device", "mirrored", "central_storage")
_DEVICE = re.compile(
    r"(?:/job:localhost/replica:0/task:0)?/?(?:device:)?((?:CPU|GPU):\d+)"
)


def create(
    name: str,
    *,
    devices: Sequence[str] | None = None,
    communication: options.Communication | None = None,
    partition: options.Partition | None = None,
    tpu_address: str | None = None,
    batch_size: int | None = None,
) -> tf.distribute.Strategy:
    """Returns the strategy that is called `name`.

    Args:
        name: One of `NAMES`. `auto` follows the environment: TF_CONFIG with a
            ps, TF_CONFIG with several workers, a TPU, several GPUs, default.
            An evaluator is a cluster of its own: it gets what `auto` finds on
            its machine in place of `multi_worker` and `parameter_server`.
        devices: Like `GPU:0`: one for `one_device`, any number for `mirrored`
            and `central_storage`. None for all GPUs, or else the CPU.
        communication: Between replicas.
        partition: Of variables over parameter servers; None splits none.
        tpu_address: `local`, a TPU's name or `grpc://host:port`. None for what
            the environment says.
        batch_size: Global; only `tpu` needs one that its replicas divide.

    Raises:
        StrategyError: names the argument or the field of TF_CONFIG.
        TimeoutError: names the tasks that did not come.
        RuntimeError: says which package or setting a TPU lacks.
    """
    errors.check_choice("name", name, NAMES)
    task = cluster.from_environment()
    found = resolve(name, task)
    _check_cluster(found, task)
    communication = communication or options.Communication()
    if name == found:
        communication.check_used_by(name)
        _check_unused(name, partition, tpu_address)
    devices = _check_devices(found, devices)
    if batch_size is not None:
        errors.check_at_least("batch_size", batch_size, 1)
    if found == "default":
        return tf.distribute.get_strategy()
    if found == "multi_worker":
        return _multi_worker(task, communication)
    if found == "parameter_server":
        return _parameter_server(task, communication, partition)
    if found == "tpu":
        address = tpu_address or tpu.detect()
        return _tpu(address, communication, batch_size)
    return _local(found, devices, communication)


def resolve(name: str, task: cluster.Cluster | None) -> str:
    """Returns the name that `auto`, or any name in an evaluator, stands for."""
    is_alone = task is None or task.is_evaluator
    if name in ("multi_worker", "parameter_server") and task is not None:
        if not task.is_evaluator:
            return name
    elif name != "auto":
        return name
    if not is_alone and task.count("ps"):
        return "parameter_server"
    if not is_alone and task.num_workers > 1:
        return "multi_worker"
    if tpu.detect():
        return "tpu"
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return "mirrored"
    return "default"


def describe(strategy: tf.distribute.Strategy) -> str:
    """Returns one line that says what was made, and who this process is."""
    kinds = {
        tf.distribute.OneDeviceStrategy: "one_device",
        tf.distribute.MirroredStrategy: "mirrored",
        tf.distribute.MultiWorkerMirroredStrategy: "multi_worker",
        tf.distribute.ParameterServerStrategy: "parameter_server",
        tf.distribute.experimental.CentralStorageStrategy: "central_storage",
        tf.distribute.TPUStrategy: "tpu",
    }
    kind = kinds.get(type(strategy), "default")
    if kind == "default":
        devices = _all_devices()[:1]
    else:
        devices = strategy.extended.worker_devices
    task = cluster.from_environment()
    parts = [
        f"strategy={kind}",
        f"replicas={strategy.num_replicas_in_sync}",
        f"devices={','.join(_short(device) for device in devices)}",
    ]
    if task is None:
        return " ".join([*parts, "workers=1", "role=chief"])
    is_joined = kind in ("multi_worker", "parameter_server")
    workers = task.num_workers if is_joined else 1
    ps = task.count("ps") if is_joined else 0
    role = task.task_name
    if task.is_chief and task.task_type == "worker":
        role += "(chief)"
    return " ".join([*parts, f"workers={workers}", f"ps={ps}", f"role={role}"])


def logical_cpus(count: int) -> None:
    """Splits the CPU into `count` devices, to try replicas without GPUs.

    Call it before TensorFlow's first operation.
    """
    errors.check_at_least("count", count, 1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or "1") == count:
        return
    each = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [each] * count)


def _check_cluster(name: str, task: cluster.Cluster | None) -> None:
    """Checks that TF_CONFIG is one that this strategy can work with."""
    joins = name in ("multi_worker", "parameter_server")
    if task is None:
        if joins:
            needed = f"set for {name}, with a cluster and a task"
            raise errors.StrategyError(cluster.VARIABLE, needed, None)
        return
    if task.is_evaluator:
        return
    types = [name for name in task.tasks if task.count(name)]
    field = f"{cluster.VARIABLE}.cluster"
    if name == "parameter_server":
        if not task.count("ps"):
            raise errors.StrategyError(
                field, "a cluster with chief, worker and ps for it", types
            )
        if task.is_server:
            needed = "chief; run the others with parameter_server.serve"
            found = task.task_type
            raise errors.StrategyError("TF_CONFIG.task.type", needed, found)
    elif task.count("ps"):
        needed = f"without ps for {name}"
        raise errors.StrategyError(field, needed, types)
    elif task.num_workers > 1 and not joins:
        # Each would train on its own, and all but the chief's work be lost.
        needed = f"multi_worker or auto for {task.num_workers} workers"
        raise errors.StrategyError("name", needed, name)


def _check_unused(
    name: str, partition: options.Partition | None, tpu_address: str | None
) -> None:
    if partition is not None and name != "parameter_server":
        needed = f"None for {name}: it is an option of parameter_server"
        raise errors.StrategyError("partition", needed, partition)
    if tpu_address is not None and name != "tpu":
        needed = f"None for {name}: it is an option of tpu"
        raise errors.StrategyError("tpu_address", needed, tpu_address)


def _check_devices(name: str, devices: Sequence[str] | None) -> list[str]:
    """Returns the devices as `GPU:0`, all different; [] for no choice."""
    if devices is None:
        return []
    if name not in _WITH_DEVICES:
        needed = f"None for {name}: it is for {', '.join(_WITH_DEVICES)}"
        raise errors.StrategyError("devices", needed, devices)
    if isinstance(devices, str) or not devices:
        raise errors.StrategyError("devices", "a list like GPU:0", devices)
    matches = [_DEVICE.fullmatch(d.upper().replace
               ("/JOB:", "/job:")) for d in devices]
    return matches
