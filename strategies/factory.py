"""Creates a tf.distribute strategy by its name, or says why it cannot.

    strategy = factory.create("auto")
    print(factory.describe(strategy))

Everything that can be known before TensorFlow connects to anything is checked
first. Worker and ps tasks of a parameter server cluster make no strategy:
`parameter_server.serve` runs them.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from strategies import (
    addresses,
    cluster,
    loopback,
    strategy_errors,
    strategy_options,
    tpu,
)
from strategies import devices as devices_lib

_WITH_DEVICES = ("one_device", "mirrored", "central_storage")


def create(
    name: str,
    *,
    devices: Sequence[str] | None = None,
    communication: strategy_options.Communication | None = None,
    partition: strategy_options.Partition | None = None,
    tpu_address: str | None = None,
    batch_size: int | None = None,
) -> tf.distribute.Strategy:
    """Returns the strategy that is called `name`.

    Args:
        name: One of `strategy_options.NAMES`. `auto` follows the
            environment: TF_CONFIG with a
            ps, TF_CONFIG with several workers, a TPU, several GPUs, default.
            An evaluator is a cluster of its own: it gets what `auto` finds on
            its machine in place of `multi_worker` and `parameter_server`.
        devices: Like `GPU:0`: one for `one_device`, any number for `mirrored`
            and `central_storage`. None for all GPUs, or else all CPUs; of
            them `one_device` takes the first.
        communication: Between replicas.
        partition: Of variables over parameter servers; None splits none.
        tpu_address: `local`, a TPU's name or `grpc://host:port`. None for what
            the environment says.
        batch_size: Global; only `tpu` needs one that its replicas divide.

    Raises:
        StrategyError: names the argument, the field of TF_CONFIG, or the
            package or setting that a TPU lacks.
        TimeoutError: names the tasks that did not come.
        OSError: names this task's port, taken by another process.
    """
    strategy_errors.check_choice("name", name, strategy_options.NAMES)
    task = cluster.from_environment()
    strategy_name = resolve(name, task)
    cluster.check_strategy(strategy_name, task)
    communication = communication or strategy_options.Communication()
    if name == strategy_name:
        communication.check_used_by(name)
        _check_unused(name, "partition", partition, ("parameter_server",))
        _check_unused(name, "tpu_address", tpu_address, ("tpu",))
    _check_unused(strategy_name, "devices", devices, _WITH_DEVICES)
    if batch_size is not None:
        strategy_errors.check_at_least("batch_size", batch_size, 1)
    if strategy_name == "default":
        return tf.distribute.get_strategy()
    if strategy_name == "multi_worker":
        return _multi_worker(cluster.joined(strategy_name, task), communication)
    if strategy_name == "parameter_server":
        return _parameter_server(
            cluster.joined(strategy_name, task), communication, partition
        )
    if strategy_name == "tpu":
        address = tpu_address or tpu.detect()
        return _tpu(address, communication, batch_size)
    return _local(strategy_name, devices, communication)


def resolve(name: str, task: cluster.Cluster | None) -> str:
    """Returns what `auto`, or a joined name in an evaluator, stands for."""
    is_evaluator = task is not None and task.is_evaluator
    if name != "auto" and not (is_evaluator and name in cluster.JOINED):
        return name
    if task is not None and not is_evaluator:
        if task.count("ps"):
            return "parameter_server"
        if task.num_workers > 1:
            return "multi_worker"
    if tpu.detect():
        return "tpu"
    if len(tf.config.list_physical_devices("GPU")) > 1:
        return "mirrored"
    return "default"


def describe(strategy: tf.distribute.Strategy) -> str:
    """Returns one line: the strategy, its devices and this process's role."""
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
        devices = devices_lib.local()[:1]
    else:
        devices = [
            devices_lib.shorten(name)
            for name in strategy.extended.worker_devices
        ]
    task = cluster.from_environment()
    num_workers, num_ps, role = 1, 0, "chief"
    if task is not None:
        role = task.task_name
        if task.is_chief and task.task_type == "worker":
            role += "(chief)"
        if kind in cluster.JOINED:
            num_workers, num_ps = task.num_workers, task.count("ps")
    return (
        f"strategy={kind} replicas={strategy.num_replicas_in_sync} "
        f"devices={','.join(devices)} workers={num_workers} ps={num_ps} "
        f"role={role}"
    )


def logical_cpus(count: int) -> None:
    """Splits the CPU into `count` devices, to try replicas without GPUs.

    Call it before TensorFlow's first operation.
    """
    strategy_errors.check_at_least("count", count, 1)
    cpu = tf.config.list_physical_devices("CPU")[0]
    one_cpu = tf.config.LogicalDeviceConfiguration()
    # None means not set yet: one device.
    current_devices = tf.config.get_logical_device_configuration(cpu) or [
        one_cpu
    ]
    if len(current_devices) != count:
        tf.config.set_logical_device_configuration(cpu, [one_cpu] * count)


def _check_unused(
    name: str, field: str, value: object, users: tuple[str, ...]
) -> None:
    if value is not None and name not in users:
        needed = f"None for {name}: it is an option of {', '.join(users)}"
        raise strategy_errors.StrategyError(field, needed, value)


def _local(
    name: str,
    devices: Sequence[str] | None,
    communication: strategy_options.Communication,
) -> tf.distribute.Strategy:
    """Returns a strategy for the devices of this process."""
    if devices is not None:
        device_names = devices_lib.parse(devices)
        devices_lib.check_exist(device_names)
    else:
        device_names = devices_lib.local()
    if name == "one_device":
        if devices is not None and len(device_names) > 1:
            raise strategy_errors.StrategyError(
                "devices", "one device", devices
            )
        return tf.distribute.OneDeviceStrategy(device_names[0])
    if name == "central_storage":
        # A single device holds its own variables.
        store = "CPU:0" if len(device_names) > 1 else device_names[0]
        return tf.distribute.experimental.CentralStorageStrategy(
            compute_devices=device_names, parameter_device=store
        )
    return tf.distribute.MirroredStrategy(
        device_names, cross_device_ops=_reduction(communication, device_names)
    )


def _reduction(
    communication: strategy_options.Communication, device_names: Sequence[str]
) -> tf.distribute.CrossDeviceOps | None:
    if communication.reduction == "auto":
        return None
    if communication.reduction == "one_device":
        return tf.distribute.ReductionToOneDevice()
    if communication.reduction == "hierarchical_copy":
        return tf.distribute.HierarchicalCopyAllReduce(communication.num_packs)
    if not all(device.startswith("GPU") for device in device_names):
        needed = f"other than nccl for the devices {', '.join(device_names)}"
        raise strategy_errors.StrategyError("reduction", needed, "nccl")
    return tf.distribute.NcclAllReduce(communication.num_packs)


def _multi_worker(
    task: cluster.Cluster, communication: strategy_options.Communication
) -> tf.distribute.Strategy:
    # TensorFlow would wait for an hour, and name nobody.
    peers = task.servers("chief", "worker")
    del peers[task.task_name]
    implementations = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        bytes_per_pack=communication.bytes_per_pack,
        timeout_seconds=communication.timeout_seconds,
        implementation=implementations[communication.collective.upper()],
    )
    with loopback.only(task.is_on_loopback):
        addresses.meet(task.address, peers, communication.connect_seconds)
        return tf.distribute.MultiWorkerMirroredStrategy(
            cluster_resolver=_resolver(task), communication_options=options
        )


def _parameter_server(
    task: cluster.Cluster,
    communication: strategy_options.Communication,
    partition: strategy_options.Partition | None,
) -> tf.distribute.Strategy:
    servers = task.servers("worker", "ps")
    partitioner = None
    if partition is not None:
        partitioner = (
            tf.distribute.experimental.partitioners.MinSizePartitioner(
                min_shard_bytes=partition.min_shard_bytes,
                max_shards=partition.max_shards or task.count("ps"),
            )
        )
    with loopback.only(task.is_on_loopback):
        addresses.meet(task.address, servers, communication.connect_seconds)
        return tf.distribute.ParameterServerStrategy(
            _resolver(task), variable_partitioner=partitioner
        )


def _resolver(
    task: cluster.Cluster,
) -> tf.distribute.cluster_resolver.ClusterResolver:
    """Returns the cluster that was checked, not what TF_CONFIG may be now."""
    return tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(task.training_tasks()),
        task_type=task.task_type,
        task_id=task.task_index,
        rpc_layer="grpc",
    )


def _tpu(
    address: str | None,
    communication: strategy_options.Communication,
    batch_size: int | None,
) -> tf.distribute.Strategy:
    if address is None:
        needed = "given, for neither TPU_NAME nor TPU_ACCELERATOR_TYPE is set"
        raise strategy_errors.StrategyError("tpu_address", needed, None)
    tpu.check_address(address)
    servers = {f"tpu {server}": server for server in tpu.grpc_servers(address)}
    addresses.wait(servers, communication.connect_seconds)
    if address == tpu.LOCAL:
        tpu.check_local()
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(address)
    except (OSError, ValueError) as error:
        needed = (
            "the name of a TPU of the Google Cloud project that this machine "
            f"is in, {tpu.LOCAL}, or grpc://host:port ({error})"
        )
        raise strategy_errors.StrategyError(
            "tpu_address", needed, address
        ) from error
    if address != tpu.LOCAL:
        tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    strategy = tf.distribute.TPUStrategy(resolver)
    num_replicas = strategy.num_replicas_in_sync
    if batch_size is not None and batch_size % num_replicas:
        # Shapes are static, and the same in all replicas.
        needed = f"a multiple of the {num_replicas} replicas"
        raise strategy_errors.StrategyError("batch_size", needed, batch_size)
    return strategy
