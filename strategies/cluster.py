"""Who is in the cluster and who this process is: TF_CONFIG.

Imports no TensorFlow, so that a mistake is named before TensorFlow starts and
hangs on it. The rules are those of `tf.distribute`: at most one chief and one
evaluator, an evaluator may be missing from the cluster, and without a chief
the first worker is the chief.
"""

from __future__ import annotations

import atexit
import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

from strategies import addresses, loopback, strategy_errors

VARIABLE = "TF_CONFIG"
TASK_TYPES = ("chief", "worker", "ps", "evaluator")
# The strategies that several processes join.
JOINED = ("multi_worker", "parameter_server")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The addresses of all tasks, and the task of this process.

    Attributes:
        tasks: `host:port` of each task, by task type.
        task_type: One of `TASK_TYPES`.
        task_index: Position among the tasks of its type.
    """

    tasks: Mapping[str, tuple[str, ...]]
    task_type: str
    task_index: int

    def __post_init__(self) -> None:
        _check_addresses(self.tasks)
        _check_task(self.tasks, self.task_type, self.task_index)
        _check_roles(self.tasks)

    def count(self, task_type: str) -> int:
        """Returns the number of tasks of one type."""
        return len(self.tasks.get(task_type, ()))

    @property
    def num_workers(self) -> int:
        """Processes that compute gradients.

        In a cluster with parameter servers the chief only coordinates.
        """
        if self.count("ps"):
            return self.count("worker")
        return self.count("chief") + self.count("worker")

    @property
    def is_evaluator(self) -> bool:
        return self.task_type == "evaluator"

    @property
    def is_server(self) -> bool:
        """Whether this task only serves a coordinator."""
        return bool(self.count("ps")) and self.task_type in ("worker", "ps")

    @property
    def is_chief(self) -> bool:
        """Whether this task is the one that writes.

        An evaluator is the chief of a cluster of its own.
        """
        if self.task_type in ("chief", "evaluator"):
            return True
        has_chief = self.count("chief") > 0
        is_first = (self.task_type, self.task_index) == ("worker", 0)
        return is_first and not has_chief

    @property
    def task_name(self) -> str:
        return f"{self.task_type}:{self.task_index}"

    @property
    def address(self) -> str:
        """The address of this task.

        Raises:
            StrategyError: for an evaluator that the cluster leaves out.
        """
        servers = self.servers(self.task_type)
        if self.task_name not in servers:
            field = f"{VARIABLE}.cluster.{self.task_type}"
            raise strategy_errors.StrategyError(field, "given", None)
        return servers[self.task_name]

    @property
    def is_on_loopback(self) -> bool:
        """Whether all tasks are on this machine, and reached by no other."""
        training_addresses = self.servers("chief", "worker", "ps").values()
        hosts = [addresses.split(address)[0] for address in training_addresses]
        return bool(hosts) and all(map(loopback.is_loopback, hosts))

    def servers(self, *task_types: str) -> dict[str, str]:
        """Returns address by task name, for the tasks of these types."""
        return {
            f"{task_type}:{index}": address
            for task_type in task_types
            for index, address in enumerate(self.tasks.get(task_type, ()))
        }

    def training_tasks(self) -> dict[str, list[str]]:
        """Returns the cluster that TensorFlow connects: no evaluator."""
        return {
            task_type: list(task_addresses)
            for task_type, task_addresses in self.tasks.items()
            if task_type != "evaluator"
        }

    def to_json(self) -> str:
        """Returns the value of TF_CONFIG."""
        return json.dumps(
            {
                "cluster": {k: list(v) for k, v in self.tasks.items()},
                "task": {"type": self.task_type, "index": self.task_index},
            }
        )


def from_environment(environ: Mapping[str, str] = os.environ) -> Cluster | None:
    """Returns the cluster of TF_CONFIG, or None where there is none."""
    if VARIABLE not in environ:
        return None
    return from_json(environ[VARIABLE])


def from_json(text: str) -> Cluster | None:
    """Returns the cluster that a value of TF_CONFIG describes.

    `{}`, which some launchers set for a single process, means none.
    """
    needed = 'JSON like {"cluster": {"worker": ["host:port"]}, "task": {...}}'
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise strategy_errors.StrategyError(
            VARIABLE, f"{needed} ({error})", text[:500]
        ) from error
    if not isinstance(config, dict):
        raise strategy_errors.StrategyError(VARIABLE, needed, config)
    if not config:
        return None
    task = _object(config, "task")
    task_type: Any = task.get("type")  # `Cluster` checks it
    # Evaluators are started with a cluster that leaves them out, or with none.
    default: dict | None = {} if task_type == "evaluator" else None
    tasks = {
        name: _list(f"{VARIABLE}.cluster.{name}", listed)
        for name, listed in _object(config, "cluster", default).items()
    }
    tasks = {name: listed for name, listed in tasks.items() if listed}
    return Cluster(tasks, task_type, _index(task.get("index")))


def write_folder(workdir: str, task: Cluster | None) -> str:
    """Returns the folder that this process writes its checkpoints to.

    All workers of a synchronous cluster must save, because reading a variable
    may need all of them; only the chief's files are kept. The chief (and a
    process without a cluster, and an evaluator) gets `workdir`; every other
    task gets an empty temporary folder on its local disk, removed when the
    process exits. Call it once for each run.
    """
    if task is None or task.is_chief:
        return workdir
    prefix = f"{task.task_type}-{task.task_index}-"
    folder = tempfile.mkdtemp(prefix=prefix)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def joined(name: str, task: Cluster | None) -> Cluster:
    """Returns the cluster that a strategy of several processes needs.

    Raises:
        StrategyError: if there is none.
    """
    if task is None:
        needed = f"set for {name}, with a cluster and a task"
        raise strategy_errors.StrategyError(VARIABLE, needed, None)
    return task


def check_strategy(name: str, task: Cluster | None) -> None:
    """Raises unless the strategy can work in this cluster, or in none."""
    field = f"{VARIABLE}.cluster"
    if task is None:
        if name in JOINED:
            joined(name, task)
    elif task.is_evaluator:
        return
    elif name == "parameter_server":
        if not task.count("ps"):
            needed = f"one with chief, worker and ps for {name}"
            raise strategy_errors.StrategyError(field, needed, list(task.tasks))
        if task.is_server:
            needed = "chief; parameter_server.serve runs the others"
            raise strategy_errors.StrategyError(
                f"{VARIABLE}.task.type", needed, task.task_type
            )
    elif task.count("ps"):
        needed = f"one without ps for {name}"
        raise strategy_errors.StrategyError(field, needed, list(task.tasks))
    elif task.num_workers > 1 and name != "multi_worker":
        # Each would train alone, and all models but the chief's be lost.
        needed = f"multi_worker or auto for {task.num_workers} workers"
        raise strategy_errors.StrategyError("name", needed, name)


def _object(config: Mapping, key: str, default: dict | None = None) -> Mapping:
    value = config.get(key, default)
    if not isinstance(value, dict):
        raise strategy_errors.StrategyError(
            f"{VARIABLE}.{key}", "an object", value
        )
    return value


def _list(field: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise strategy_errors.StrategyError(field, "a list of host:port", value)
    return tuple(value)


def _index(value: Any) -> int:
    # TensorFlow reads "0" as 0, and shell scripts write it so.
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    strategy_errors.check_at_least(f"{VARIABLE}.task.index", value, 0)
    return value


def _check_addresses(tasks: Mapping[str, tuple[str, ...]]) -> None:
    """Checks each address, and that no two tasks share one."""
    owners: dict[tuple[str, int], str] = {}
    for task_type, found in tasks.items():
        if task_type not in TASK_TYPES:
            needed = f"an object with keys among {', '.join(TASK_TYPES)}"
            raise strategy_errors.StrategyError(
                f"{VARIABLE}.cluster", needed, list(tasks)
            )
        for index, address in enumerate(found):
            field = f"{VARIABLE}.cluster.{task_type}[{index}]"
            host, port = addresses.split(address, field)
            key = (host.lower().replace("localhost", "127.0.0.1"), port)
            if key in owners:
                needed = f"an address that {owners[key]} does not have"
                raise strategy_errors.StrategyError(field, needed, address)
            owners[key] = f"{task_type}[{index}]"


def _check_task(
    tasks: Mapping[str, tuple[str, ...]], task_type: str, task_index: int
) -> None:
    """Checks that the task is one of the cluster's."""
    strategy_errors.check_choice(f"{VARIABLE}.task.type", task_type, TASK_TYPES)
    count = len(tasks.get(task_type, ()))
    if task_type == "evaluator":
        count = max(count, 1)
    if count == 0:
        needed = f"a task of the cluster, which has {', '.join(tasks) or '-'}"
        raise strategy_errors.StrategyError(
            f"{VARIABLE}.task.type", needed, task_type
        )
    if not 0 <= task_index < count:
        needed = f"from 0 to {count - 1}, for cluster.{task_type} has {count}"
        raise strategy_errors.StrategyError(
            f"{VARIABLE}.task.index", needed, task_index
        )


def _check_roles(tasks: Mapping[str, tuple[str, ...]]) -> None:
    """Checks how many tasks of each type there are, and which need which."""
    for task_type in ("chief", "evaluator"):
        addresses = tasks.get(task_type, ())
        if len(addresses) > 1:
            field = f"{VARIABLE}.cluster.{task_type}"
            raise strategy_errors.StrategyError(
                field, "one address", list(addresses)
            )
    if not tasks.get("ps"):
        return
    for task_type in ("chief", "worker"):
        if not tasks.get(task_type):
            needed = f"a cluster with a {task_type}, for it has a ps"
            raise strategy_errors.StrategyError(
                f"{VARIABLE}.cluster", needed, list(tasks)
            )
