"""The hash with a prime of its own beside that of version 1.

    python benchmarks/hashing.py --num_labels=49000000

Version 1 takes the prime 2^31 - 1 for every number of labels; its buckets'
members need a table and a counting sort. Columns: the smallest and the largest
bucket against L / B, the share of label pairs that collide times B (1 for
labels thrown at random), seconds to hash all labels, seconds to find the
members of all buckets of a world, and the bytes that they take. Means over
`--num_worlds` worlds.
"""

from __future__ import annotations

import time

import numpy as np
from absl import app, flags

from tfxml.mach import hashing


def main(_) -> None:
    values = flags.FLAGS
    num_labels, num_buckets = values.num_labels, values.num_buckets
    print(
        f"L = {num_labels:,}, B = {num_buckets:,}\n\n"
        "| hash | smallest | largest | collisions x B | all labels, s | "
        "members, s | bytes |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, capacity in (
        ("version 1", hashing.LARGEST_PRIME),
        ("version 2, room for a quarter more", num_labels * 5 // 4),
        ("version 2, no room", num_labels),
    ):
        worlds = [
            _measure(
                hashing.from_seed(0, world, num_buckets, capacity), num_labels
            )
            for world in range(values.num_worlds)
        ]
        cells = np.mean(worlds, axis=0)
        print(
            f"| {name} | {cells[0]:.3f} | {cells[1]:.3f} | {cells[2]:.4f} | "
            f"{cells[3]:.2f} | {cells[4]:.2f} | {cells[5]:,.0f} |"
        )


def _measure(one: hashing.UniversalHash, num_labels: int) -> list[float]:
    table, hash_seconds = _timed(lambda: one.table(num_labels))
    sizes = np.bincount(table, minlength=one.num_buckets)
    mean = num_labels / one.num_buckets
    collisions = (sizes * (sizes - 1.0)).sum() / (
        num_labels * (num_labels - 1.0)
    )
    if one.prime > 4 * num_labels:
        # NumPy's stable sort of 16-bit keys is a counting sort.
        order, seconds = _timed(lambda: np.argsort(table, kind="stable"))
        seconds, size = seconds + hash_seconds, 4 * len(order)
    else:
        number = min(200, one.num_buckets)
        _, some = _timed(
            lambda: [one.members(b, num_labels) for b in range(number)]
        )
        seconds, size = some * one.num_buckets / number, 0
    return [
        sizes.min() / mean,
        sizes.max() / mean,
        collisions * one.num_buckets,
        hash_seconds,
        seconds,
        size,
    ]


def _timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def _define_flags() -> None:
    flags.DEFINE_integer("num_labels", 49_000_000, "L.")
    flags.DEFINE_integer("num_buckets", 10_000, "B.")
    flags.DEFINE_integer("num_worlds", 4, "Worlds averaged.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
