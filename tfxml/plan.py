"""Proposes a MACH model: `python -m tfxml.plan --num_labels=49e6 ...`.

Prints its size and the costs of training and serving, next to those of a
sigmoid head on the same encoder.
"""

from __future__ import annotations

import math
import re
import time

import numpy as np
from absl import flags as absl_flags

from tfxml.mach import planner
from tfxml.run import flags

_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_memory(text: str) -> int:
    """Returns a size such as `24GiB`, `16GB` or `1e9` in bytes.

    Raises:
        ValueError: if the text is not a size.
    """
    match = re.fullmatch(
        r"(\d+(?:\.\d*)?(?:e\d+)?)\s*([KMGT]?)(i?)B?", text.strip()
    )
    size = math.inf
    if match:
        number, unit, binary = match.groups()
        size = float(number) * (1024 if binary else 1000) ** _UNITS[unit]
    if not math.isfinite(size):
        raise ValueError(
            f"`memory` must be a size such as 24GiB. Received: memory={text!r}"
        )
    return int(size)


def describe(
    plan: planner.Plan, memory: int, delta: float, flop_per_second: float
) -> str:
    """Returns the plan as text: model, costs, verdict and command."""
    sigmoid = planner.sigmoid_of(plan)
    features = (
        f"{plan.num_features:,} features hashed into {plan.feature_buckets:,}"
        if plan.feature_buckets
        else f"{plan.num_features:,} features"
    )
    min_repetitions = planner.least_repetitions(
        plan.num_labels, plan.num_buckets, delta
    )
    rows = [
        ("outputs", f"{plan.num_outputs:,}", f"{sigmoid.num_outputs:,}"),
        (
            "parameters",
            f"{plan.parameters / 1e6:,.1f} M",
            f"{sigmoid.parameters / 1e6:,.1f} M",
        ),
        (
            "training (weights, Adam, gradients, a batch)",
            _gib(plan.training_bytes),
            _gib(sigmoid.training_bytes),
        ),
        ("serving", _gib(plan.serving_bytes), _gib(sigmoid.serving_bytes)),
        (
            "matrix products of a step, at least",
            _least_time(plan.step_flop, flop_per_second),
            _least_time(sigmoid.step_flop, flop_per_second),
        ),
    ]
    lines = [
        f"MACH: {plan.num_repetitions} repetitions x {plan.num_buckets:,} "
        f"buckets on {plan.num_encoders} shared encoder of {plan.hidden} "
        f"units; {features}",
        "two labels share all their buckets with probability below "
        f"{plan.collision_probability:.1e}; {min_repetitions} repetitions "
        f"keep it below {delta:g}",
        "",
        "| | MACH | sigmoid |",
        "| --- | --- | --- |",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        verdict(plan, memory),
        "",
        "python -m tfxml.train " + " ".join(to_flags(plan)),
    ]
    return "\n".join(lines)


def verdict(plan: planner.Plan, memory: int) -> str:
    """Returns which head to use, and why."""
    sigmoid = planner.sigmoid_of(plan)
    if sigmoid.parameters <= plan.parameters:
        return (
            "Use the sigmoid head: it is smaller and gives each label an "
            f"output of its own ({plan.num_labels:,} labels, "
            f"{plan.num_outputs:,} buckets)."
        )
    ratio = sigmoid.parameters / plan.parameters
    if sigmoid.training_bytes <= memory:
        return (
            f"MACH is {ratio:.1f} times smaller, but the sigmoid head fits in "
            "memory too and is usually more accurate: use it, unless time per "
            "step or the size to serve matters more."
        )
    return (
        f"Use MACH: the sigmoid head is {ratio:.1f} times as large and does "
        "not fit in memory."
    )


def to_flags(plan: planner.Plan) -> list[str]:
    """Returns the flags that train the plan."""
    command_flags = [
        "--head=mach",
        f"--num_repetitions={plan.num_repetitions}",
        f"--num_buckets={plan.num_buckets}",
        f"--num_encoders={plan.num_encoders}",
        f"--hidden_units={plan.hidden}",
        f"--batch_size={plan.batch_size}",
    ]
    if plan.feature_buckets:
        command_flags.append(f"--feature_buckets={plan.feature_buckets}")
    return command_flags


def measured_flop_per_second(size: int = 1024, repeats: int = 5) -> float:
    """Returns the speed of a float32 matrix product on this machine."""
    square = np.ones((size, size), np.float32)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2f} GiB"


def _least_time(flop: int, flop_per_second: float) -> str:
    return f"{flop / 1e9:,.1f} GFLOP, {1e3 * flop / flop_per_second:,.0f} ms"


def define_flags() -> None:
    absl_flags.DEFINE_float(
        "num_labels", None, "Number of labels, e.g. 49e6.", required=True
    )
    absl_flags.DEFINE_float(
        "num_features", None, "Number of features.", required=True
    )
    absl_flags.DEFINE_string(
        "memory", "24GiB", "Memory available for training."
    )
    absl_flags.DEFINE_float(
        "delta",
        0.01,
        "The highest acceptable probability that two labels share all their "
        "buckets.",
        lower_bound=1e-300,
        upper_bound=1,
    )
    absl_flags.DEFINE_integer(
        "batch_size", 512, "Instances per step.", lower_bound=1
    )
    absl_flags.DEFINE_float(
        "step_seconds",
        2,
        "Time budget for the matrix products of a step.",
        lower_bound=0,
    )
    absl_flags.DEFINE_float(
        "gflops",
        0,
        "Speed of the machine, for the estimate of a step. 0: measure NumPy's.",
        lower_bound=0,
    )


def main() -> None:
    values = absl_flags.FLAGS
    memory = parse_memory(values.memory)
    for name in ("num_labels", "num_features"):
        value = getattr(values, name)
        if value < 2:
            raise ValueError(
                f"`{name}` must be at least 2. Received: {name}={value}"
            )
    speed = values.gflops * 1e9 or measured_flop_per_second()
    plan = planner.propose(
        int(values.num_labels),
        int(values.num_features),
        memory,
        values.step_seconds * speed,
        values.delta,
        values.batch_size,
    )
    print(describe(plan, memory, values.delta, speed))


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
