"""TF_CONFIG from what SLURM or a Kubernetes Indexed Job tells a process.

    srun python -m strategies.resolvers slurm --ps=1 -- CMD ...
    python -m strategies.resolvers indexed_job --tasks=4 --service=S -- CMD ...

set TF_CONFIG and become CMD. Ranks are given out in the order chief (only with
parameter servers), workers, parameter servers, evaluator. Imports no
TensorFlow. `tf.distribute.cluster_resolver.SlurmClusterResolver` exists but
sorts host names as text (n10 before n9, unlike SLURM's ranks), knows no chief
rule, and writes no TF_CONFIG.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence

from strategies import cluster, commands, strategy_errors

# One name of a host list, and the ranges and the plain text that make it up.
_NAME = re.compile(r"(?:[^,\[\]]|\[[^\[\]]*\])+")
_PIECE = re.compile(r"\[([^\]]*)\]|([^\[\]]+)")
_PORTS_PER_JOB = 64
_MAX_LABEL_LENGTH = 63


def from_slurm(
    environ: Mapping[str, str],
    num_ps: int = 0,
    has_evaluator: bool = False,
    port: int | None = None,
) -> cluster.Cluster:
    """Returns the cluster of the SLURM step that this process is a task of.

    Args:
        environ: Holds SLURM_PROCID and, of the step or else of the job,
            NODELIST and TASKS_PER_NODE.
        num_ps: How many tasks are parameter servers.
        has_evaluator: Whether the last task is an evaluator.
        port: Of the first task on each node; the next task on the same node
            has the next port. By default one of 312 blocks of 64 ports from
            12000 up, chosen by the job's number, so that two jobs can share
            a node.
    """
    hosts = expand_hosts(_slurm(environ, "NODELIST"))
    counts = expand_counts(_slurm(environ, "TASKS_PER_NODE"))
    if len(hosts) != len(counts):
        needed = f"one count for each of the {len(hosts)} nodes"
        raise strategy_errors.StrategyError(
            "SLURM_TASKS_PER_NODE", needed, counts
        )
    _check_distribution(environ, counts)
    if port is None:
        job = _number(environ, "SLURM_JOB_ID")
        port = 12000 + job % 312 * _PORTS_PER_JOB
    task_addresses = [
        f"{host}:{port + offset}"
        for host, count in zip(hosts, counts, strict=True)
        for offset in range(count)
    ]
    rank = _number(environ, "SLURM_PROCID")
    return assign_roles(task_addresses, rank, num_ps, has_evaluator)


def from_indexed_job(
    environ: Mapping[str, str],
    num_tasks: int,
    service: str,
    num_ps: int = 0,
    has_evaluator: bool = False,
    port: int = 2222,
) -> cluster.Cluster:
    """Returns the cluster of the Kubernetes Indexed Job of this pod.

    Pod i of job J is reached at `J-i.service` through a headless Service
    (kubernetes.io/docs/tasks/job/job-with-pod-to-pod-communication).

    Args:
        environ: Holds JOB_COMPLETION_INDEX, and JOB_NAME or, as the pod's
            HOSTNAME, `<job>-<index>`.
        num_tasks: The job's `completions`, which `parallelism` must equal.
        service: The headless Service's name, the pods' `subdomain`.
        num_ps: How many tasks are parameter servers.
        has_evaluator: Whether the last task is an evaluator.
        port: That every pod listens on.
    """
    strategy_errors.check_at_least("num_tasks", num_tasks, 1)
    index = _number(environ, "JOB_COMPLETION_INDEX")
    job = environ.get("JOB_NAME") or _job_of_host(environ, index)
    if len(f"{job}-{num_tasks - 1}") > _MAX_LABEL_LENGTH:
        needed = f"short enough for a host name of {_MAX_LABEL_LENGTH}"
        raise strategy_errors.StrategyError("JOB_NAME", needed, job)
    task_addresses = [f"{job}-{i}.{service}:{port}" for i in range(num_tasks)]
    return assign_roles(task_addresses, index, num_ps, has_evaluator)


def assign_roles(
    task_addresses: Sequence[str], rank: int, num_ps: int, has_evaluator: bool
) -> cluster.Cluster:
    """Returns the cluster in which rank i is at `task_addresses[i]`."""
    strategy_errors.check_at_least("num_ps", num_ps, 0)
    num_chiefs = 1 if num_ps else 0
    num_workers = len(task_addresses) - num_chiefs - num_ps - int(has_evaluator)
    if num_workers < 1:
        needed = (
            f"tasks for {num_chiefs} chief, at least 1 worker, {num_ps} ps "
            f"and {int(has_evaluator)} evaluator"
        )
        raise strategy_errors.StrategyError(
            "tasks", needed, len(task_addresses)
        )
    sizes = {
        "chief": num_chiefs,
        "worker": num_workers,
        "ps": num_ps,
        "evaluator": int(has_evaluator),
    }
    roles = [(name, i) for name, size in sizes.items() for i in range(size)]
    if not 0 <= rank < len(roles):
        raise strategy_errors.StrategyError(
            "rank", f"from 0 to {len(roles) - 1}", rank
        )
    unassigned = iter(task_addresses)
    tasks = {
        name: tuple(itertools.islice(unassigned, size))
        for name, size in sizes.items()
        if size
    }
    return cluster.Cluster(tasks, *roles[rank])


def expand_hosts(text: str) -> list[str]:
    """Returns the hosts of a SLURM host list, in its order.

    `n[1-2,05],m` is n1, n2, n05, m; a name may have several brackets.
    """
    names = _NAME.findall(text)
    if ",".join(names) != text:
        raise _bad_hosts(text)
    hosts = []
    for name in names:
        choices = [
            [plain] if plain else _expand_ranges(ranges, text)
            for ranges, plain in _PIECE.findall(name)
        ]
        hosts += ["".join(parts) for parts in itertools.product(*choices)]
    return hosts


def expand_counts(text: str) -> list[int]:
    """Returns the tasks on each node: `2(x3),1` is 2, 2, 2, 1."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise strategy_errors.StrategyError(
                "SLURM_TASKS_PER_NODE", "like 2(x3),1", text
            )
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _expand_ranges(ranges: str, text: str) -> list[str]:
    numbers = []
    for part in ranges.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            raise _bad_hosts(text)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise _bad_hosts(text)
        width = len(match[1])
        numbers += [str(i).zfill(width) for i in range(first, last + 1)]
    return numbers


def _bad_hosts(text: str) -> strategy_errors.StrategyError:
    return strategy_errors.StrategyError(
        "SLURM_NODELIST", "like n[1-3,7],m2", text
    )


def _check_distribution(
    environ: Mapping[str, str], counts: Sequence[int]
) -> None:
    """Refuses ranks that do not fill one node after the other."""
    distribution = environ.get("SLURM_DISTRIBUTION", "block")
    is_one_each = max(counts) == 1 and not distribution.startswith("arbitrary")
    if not distribution.startswith("block") and not is_one_each:
        raise strategy_errors.StrategyError(
            "SLURM_DISTRIBUTION",
            "block (srun --distribution=block)",
            distribution,
        )


def _slurm(environ: Mapping[str, str], name: str) -> str:
    for prefix in ("SLURM_STEP_", "SLURM_JOB_", "SLURM_"):
        if environ.get(prefix + name):
            return environ[prefix + name]
    raise strategy_errors.StrategyError(
        f"SLURM_STEP_{name}", "set, as srun sets it for each task", None
    )


def _number(environ: Mapping[str, str], name: str) -> int:
    value = environ.get(name)
    if value is None or not re.fullmatch(r"[0-9]+", value):
        raise strategy_errors.StrategyError(
            name, "set to an integer >= 0", value
        )
    return int(value)


def _job_of_host(environ: Mapping[str, str], index: int) -> str:
    host = environ.get("HOSTNAME", "")
    job = host.removesuffix(f"-{index}")
    if not job or job == host:
        needed = f"<job>-{index}; or set JOB_NAME"
        raise strategy_errors.StrategyError("HOSTNAME", needed, host)
    return job


def main(arguments: Sequence[str]) -> None:
    """Sets TF_CONFIG and becomes the command."""
    parser = argparse.ArgumentParser(prog="python -m strategies.resolvers")
    parser.add_argument("source", choices=("slurm", "indexed_job"))
    parser.add_argument("--ps", type=int, default=0)
    parser.add_argument("--evaluator", action="store_true")
    parser.add_argument("--port", type=int)
    parser.add_argument("--tasks", type=int, help="of an indexed_job")
    parser.add_argument("--service", help="of an indexed_job")
    flags, command = commands.parse(parser, arguments)
    if flags.source == "slurm":
        task = from_slurm(os.environ, flags.ps, flags.evaluator, flags.port)
    else:
        if flags.tasks is None or flags.service is None:
            parser.error("indexed_job needs --tasks and --service")
        task = from_indexed_job(
            os.environ,
            flags.tasks,
            flags.service,
            flags.ps,
            flags.evaluator,
            flags.port or 2222,
        )
    commands.become(command, {cluster.VARIABLE: task.to_json()})


if __name__ == "__main__":
    main(sys.argv[1:])
