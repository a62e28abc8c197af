"""Starts a cluster on this machine and runs one command as each of its tasks.

    python -m strategies.launch --workers=2 [--ps=2] [--evaluator] -- CMD ...

Every process gets its own TF_CONFIG with free ports of 127.0.0.1, and its
lines come out behind `[worker:0]`. With `--ps` there is a chief as well. No
other machine reaches the ports (see `loopback`).

The run ends when the chief has ended, or without one when all workers have:
an evaluator then has `--evaluator_seconds` to finish, and servers are ended.
The exit code is 0, or that of the first process that failed (128 + n for
signal n), or 124 if the evaluator did not finish in time. Ctrl-C and SIGTERM
are passed on; with parameter servers only to the chief and the evaluator,
because the others hold what the chief must save. A second signal, or
`--grace_seconds`, ends everything at once (in multi_worker TensorFlow itself
catches SIGTERM: it is notice, not an end).

What `--max_restarts` restarts after a failure:
    a worker of a ps cluster   itself, on its port
    the evaluator              itself
    anything else              all tasks, on new ports
Without a restart left, a failure ends the run; an evaluator's only decides
the exit code. Imports no TensorFlow. Linux.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shutil
import signal
import sys
import time
from collections.abc import Sequence

from strategies import addresses, cluster, commands, processes, strategy_errors

_HOST = "127.0.0.1"
_COMMAND_NOT_FOUND = 127
_OUT_OF_TIME = 124  # as of the command `timeout`


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to start, and how to end it.

    Attributes:
        num_workers: Worker tasks.
        num_ps: Parameter servers; with one or more there is a chief.
        has_evaluator: Whether there is an evaluator.
        max_restarts: Failures after which something is started again.
        grace_seconds: From SIGTERM to SIGKILL.
        evaluator_seconds: How long the evaluator may run after the last
            training task.
        gpus_per_worker: How many GPUs each worker gets for itself; no other
            task sees one. None leaves all GPUs to all tasks.
    """

    num_workers: int
    num_ps: int = 0
    has_evaluator: bool = False
    max_restarts: int = 0
    grace_seconds: float = 15.0
    evaluator_seconds: float = 300.0
    gpus_per_worker: int | None = None

    def __post_init__(self) -> None:
        strategy_errors.check_at_least("workers", self.num_workers, 1)
        strategy_errors.check_at_least("ps", self.num_ps, 0)
        strategy_errors.check_at_least("max_restarts", self.max_restarts, 0)
        strategy_errors.check_seconds("grace_seconds", self.grace_seconds)
        strategy_errors.check_seconds(
            "evaluator_seconds", self.evaluator_seconds
        )
        if self.gpus_per_worker is not None:
            strategy_errors.check_at_least(
                "gpus_per_worker", self.gpus_per_worker, 0
            )

    def clusters(self) -> dict[str, cluster.Cluster]:
        """Returns each task's view of a cluster on new ports, by its name."""
        sizes = {
            "chief": 1 if self.num_ps else 0,
            "worker": self.num_workers,
            "ps": self.num_ps,
        }
        ports = iter(addresses.free_ports(sum(sizes.values())))
        tasks = {
            task_type: tuple(f"{_HOST}:{next(ports)}" for _ in range(size))
            for task_type, size in sizes.items()
            if size
        }
        if self.has_evaluator:
            # Left out of the cluster: nobody connects to an evaluator.
            sizes["evaluator"] = 1
        views = [
            cluster.Cluster(tasks, task_type, index)
            for task_type, size in sizes.items()
            for index in range(size)
        ]
        return {view.task_name: view for view in views}

    def environment(self, view: cluster.Cluster) -> dict[str, str]:
        """Returns the environment variables of a task's process."""
        settings = {
            cluster.VARIABLE: view.to_json(),
            # Lines come out when they are printed, not when 8 KiB are full.
            "PYTHONUNBUFFERED": "1",
        }
        if self.gpus_per_worker is not None:
            first = view.task_index * self.gpus_per_worker
            gpus = range(first, first + self.gpus_per_worker)
            if view.task_type != "worker":
                gpus = range(0)
            visible = ",".join(map(str, gpus)) or "-1"
            settings["CUDA_VISIBLE_DEVICES"] = visible
        return settings


def run(plan: Plan, command: Sequence[str]) -> int:
    """Runs the command as every task of the plan; returns the exit code."""
    with processes.Group() as group:
        restarts_left = plan.max_restarts
        while True:
            attempt = _Attempt(plan, command, group, restarts_left)
            code = attempt.run()
            if not attempt.wants_restart:
                return code
            restarts_left = attempt.restarts_left - 1
            _log(f"starting all tasks again, {restarts_left} restarts left")


class _Attempt:
    """One run of the cluster, from the first start to the last exit."""

    def __init__(
        self,
        plan: Plan,
        command: Sequence[str],
        group: processes.Group,
        restarts_left: int,
    ) -> None:
        self._plan = plan
        self._command = command
        self._group = group
        self._views = plan.clusters()
        # Names of the tasks that have not finished training.
        self._training = {
            name
            for name, view in self._views.items()
            if not (view.is_server or view.is_evaluator)
        }
        self._first_failure = 0
        self._is_over = False
        self._is_stopping = False
        self._kill_time = math.inf
        self.restarts_left = restarts_left
        self.wants_restart = False

    def run(self) -> int:
        """Starts all tasks, waits for them, and returns the exit code."""
        for name in self._views:
            self._start(name)
        while self._training and not self._is_over:
            self._wait(self._kill_time)
        if not self._is_over:
            end = time.monotonic() + self._plan.evaluator_seconds
            self._wait_for_evaluator(end)
        is_hurried = time.monotonic() >= self._kill_time
        grace_seconds = 0.0 if is_hurried else self._plan.grace_seconds
        self._group.stop(self._group.running, grace_seconds)
        if self._training and not self._first_failure:
            return 128 + self._group.signals[0]
        return self._first_failure

    def _start(self, name: str) -> None:
        view = self._views[name]
        self._group.start(name, self._command, self._plan.environment(view))

    def _wait(self, end: float) -> None:
        """Waits for one event and handles it."""
        seconds_left = end - time.monotonic()
        for name, code in self._group.wait(
            min(max(seconds_left, 0.0), 60.0)
        ).items():
            self._handle_exit(self._views[name], code)
        if self._group.signals and not self._is_stopping:
            self._is_stopping = True
            self._forward_signal(self._group.signals[0])
        if len(self._group.signals) > 1:
            self._kill_time = time.monotonic()
        if time.monotonic() >= self._kill_time:
            self._is_over = True

    def _wait_for_evaluator(self, end: float) -> None:
        names = {n for n, view in self._views.items() if view.is_evaluator}
        if names & set(self._group.running):
            seconds = max(end - time.monotonic(), 0.0)
            _log(f"training is done: up to {seconds:.0f} s for the evaluator")
        while names & set(self._group.running) and not self._is_over:
            self._wait(min(end, self._kill_time))
            if time.monotonic() >= end and not self._is_over:
                self._is_over = True
                self._first_failure = self._first_failure or _OUT_OF_TIME
                _log("the evaluator did not finish: ending it")

    def _handle_exit(self, view: cluster.Cluster, code: int) -> None:
        """Decides what to do when a process has exited."""
        name = view.task_name
        is_training = name in self._training
        if not (self._training or view.is_evaluator):
            return
        if code == 0 and not view.is_server:
            self._training.discard(name)
            return
        _log(f"{name} ended with exit code {code}")
        can_restart = self.restarts_left > 0 and not self._group.signals
        if can_restart and (view.is_evaluator or view.task_type == "worker"):
            if not is_training:
                self.restarts_left -= 1
                _log(f"starting {name} again")
                self._start(name)
                return
        self._first_failure = self._first_failure or code or 1
        if self._group.signals:
            # The others have got the signal too, and may still be saving.
            self._training.discard(name)
        elif not view.is_evaluator:
            self._is_over = True
            self.wants_restart = can_restart

    def _forward_signal(self, signum: int) -> None:
        """Forwards the first signal to the tasks that can act on it."""
        _log(f"passing on {signal.Signals(signum).name}")
        names = [n for n, view in self._views.items() if not view.is_server]
        self._group.send(names, signum)
        self._kill_time = time.monotonic() + self._plan.grace_seconds


def _log(message: str) -> None:
    print(f"[launch] {message}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Reads the command line and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m strategies.launch")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--ps", type=int, default=0)
    parser.add_argument("--evaluator", action="store_true")
    parser.add_argument("--max_restarts", type=int, default=0)
    parser.add_argument("--grace_seconds", type=float, default=15.0)
    parser.add_argument("--evaluator_seconds", type=float, default=300.0)
    parser.add_argument("--gpus_per_worker", type=int)
    flags, command = commands.parse(parser, arguments)
    if shutil.which(command[0]) is None:
        _log(f"no such command: {command[0]}")
        return _COMMAND_NOT_FOUND
    try:
        plan = Plan(
            num_workers=flags.workers,
            num_ps=flags.ps,
            has_evaluator=flags.evaluator,
            max_restarts=flags.max_restarts,
            grace_seconds=flags.grace_seconds,
            evaluator_seconds=flags.evaluator_seconds,
            gpus_per_worker=flags.gpus_per_worker,
        )
    except strategy_errors.StrategyError as error:
        parser.error(str(error))
    return run(plan, command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
