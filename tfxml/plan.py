"""Proposes a model: `python -m tfxml.plan --num_labels=49e6 ...`.

Prints what it holds, what training and serving it need, and what a sigmoid
head on the same encoder would.
"""

from __future__ import annotations

import re
import time

import numpy as np
from absl import flags as absl_flags

from tfxml.mach import planner
from tfxml.run import flags

_UNITS = {"": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_memory(text: str) -> int:
    """Returns the bytes of e.g. `24GiB`, `16GB` or `1e9`.

    Raises:
        ValueError: if the text is no size.
    """
    match = re.fullmatch(r"([\d.]+(?:e\d+)?)\s*([KMGT]?)(i?)B?", text.strip())
    if not match:
        raise ValueError(
            f"`memory` must be a size such as 24GiB. Received: memory={text!r}"
        )
    number, unit, binary = match.groups()
    power = _UNITS[unit] if unit else 0
    return int(float(number) * (1024 if binary else 1000) ** power)


def describe(
    plan: planner.Plan, memory: int, delta: float, flop_per_second: float
) -> str:
    """Returns the plan in words and numbers."""
    other = planner.sigmoid_of(plan)
    features = (
        f"{plan.num_features:,} features hashed into {plan.feature_buckets:,}"
        if plan.feature_buckets
        else f"{plan.num_features:,} features"
    )
    needed = planner.least_repetitions(plan.num_labels, plan.num_buckets, delta)
    rows = [
        ("outputs", f"{plan.num_outputs:,}", f"{other.num_outputs:,}"),
        (
            "parameters",
            f"{plan.parameters / 1e6:,.1f} M",
            f"{other.parameters / 1e6:,.1f} M",
        ),
        (
            "training (weights, Adam, gradients, a batch)",
            _gib(plan.training_bytes),
            _gib(other.training_bytes),
        ),
        ("serving", _gib(plan.serving_bytes), _gib(other.serving_bytes)),
        (
            "a step's products, at least",
            _floor(plan.step_flop, flop_per_second),
            _floor(other.step_flop, flop_per_second),
        ),
    ]
    lines = [
        f"MACH: {plan.num_repetitions} repetitions x {plan.num_buckets:,} "
        f"buckets on {plan.num_encoders} shared encoder of {plan.hidden} "
        f"units; {features}",
        "two labels share all their buckets with probability below "
        f"{plan.collision_probability:.1e}; {needed} repetitions keep that "
        f"below {delta:g}",
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
    """Returns which head to take, and why."""
    other = planner.sigmoid_of(plan)
    if other.parameters <= plan.parameters:
        return (
            "Take the sigmoid head: it is the smaller one, and estimates each "
            f"label for itself ({plan.num_labels:,} labels are no more than "
            f"{plan.num_outputs:,} buckets)."
        )
    saved = other.parameters / plan.parameters
    if other.training_bytes <= memory:
        return (
            f"MACH is {saved:.1f} times smaller, but the sigmoid head fits "
            "too, and is mostly the more accurate one: take it unless a "
            "step's time or the size that is served decides."
        )
    return (
        f"Take MACH: the sigmoid head is {saved:.1f} times as large and does "
        "not fit."
    )


def to_flags(plan: planner.Plan) -> list[str]:
    """Returns the flags that train the plan."""
    found = [
        "--head=mach",
        f"--num_repetitions={plan.num_repetitions}",
        f"--num_buckets={plan.num_buckets}",
        f"--num_encoders={plan.num_encoders}",
        f"--hidden_units={plan.hidden}",
        f"--batch_size={plan.batch_size}",
    ]
    if plan.feature_buckets:
        found.append(f"--feature_buckets={plan.feature_buckets}")
    return found


def measured_flop_per_second(size: int = 1024, repeats: int = 5) -> float:
    """Returns what a float32 matrix product reaches here."""
    square = np.ones((size, size), np.float32)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        square @ square
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def _gib(size: int) -> str:
    return f"{size / 2**30:,.2f} GiB"


def _floor(flop: int, flop_per_second: float) -> str:
    return f"{flop / 1e9:,.1f} GFLOP, {1e3 * flop / flop_per_second:,.0f} ms"


def define_flags() -> None:
    absl_flags.DEFINE_float("num_labels", None, "L, e.g. 49e6.", required=True)
    absl_flags.DEFINE_float("num_features", None, "D.", required=True)
    absl_flags.DEFINE_string("memory", "24GiB", "What training may take.")
    absl_flags.DEFINE_float(
        "delta",
        0.01,
        "How probable it may be that two labels share all their buckets.",
        lower_bound=1e-300,
        upper_bound=1,
    )
    absl_flags.DEFINE_integer(
        "batch_size", 512, "Instances of a step.", lower_bound=1
    )
    absl_flags.DEFINE_float(
        "step_seconds", 2, "What a step's products may take.", lower_bound=0
    )
    absl_flags.DEFINE_float(
        "gflops",
        0,
        "What the machine reaches, for the step's floor; 0: measure NumPy's.",
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
