"""Compares the hash with that of version 1 and with balanced permutations.

    python benchmarks/hash_kinds.py --num_labels=49000000
    python benchmarks/hash_kinds.py --data_dir=../shared/data/bibtex

Version 1 has the prime 2^31 - 1 for every number of labels; its buckets'
members need a table and a counting sort. Columns: the smallest and the largest
bucket relative to L / B, the fraction of label pairs that collide times B (1
for random buckets), seconds to hash all labels, seconds to find the members of
all buckets of a repetition, and the bytes of the members. Means over
`--num_repetitions` repetitions.

With `--data_dir` MACH is trained with each of them, and P@k is measured on a
fifth of the training split that is held out: means and standard deviations over
seeds of hash and weights.
"""

from __future__ import annotations

import functools
import time
from unittest import mock

import numpy as np
import permutations
import tensorflow as tf
from absl import app, flags

from tfxml import config as config_lib
from tfxml.mach import hashing
from tfxml.models import label_buckets
from tfxml.run import datasets, progress
from tfxml.run import run as run_lib


def main(_) -> None:
    values = flags.FLAGS
    if values.data_dir:
        _compare_accuracy(values)
    else:
        _compare_costs(values)


def _makers(num_labels: int) -> dict:
    """Returns functions of seed, repetition and B, by name."""

    def universal(capacity):
        return lambda seed, repetition, num_buckets: hashing.from_seed(
            seed, repetition, num_buckets, capacity
        )

    return {
        "version 1": universal(hashing.LARGEST_PRIME),
        "version 2, capacity 1.25 L": universal(num_labels * 5 // 4),
        "version 2, capacity L": universal(num_labels),
        "affine permutation": functools.partial(
            permutations.affine, num_labels=num_labels
        ),
        "Feistel permutation": functools.partial(
            permutations.feistel, num_labels=num_labels
        ),
    }


def _compare_costs(values) -> None:
    num_labels, num_buckets = values.num_labels, values.num_buckets
    print(
        f"L = {num_labels:,}, B = {num_buckets:,}\n\n"
        "| hash | smallest | largest | collisions x B | all labels, s | "
        "members, s | bytes |\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    for name, make in _makers(num_labels).items():
        repetitions = [
            _measure(make(0, repetition, num_buckets), num_labels)
            for repetition in range(values.num_repetitions)
        ]
        cells = np.mean(repetitions, axis=0)
        print(
            f"| {name} | {cells[0]:.3f} | {cells[1]:.3f} | {cells[2]:.4f} | "
            f"{cells[3]:.2f} | {cells[4]:.2f} | {cells[5]:,.0f} |"
        )


def _compare_accuracy(values) -> None:
    config = config_lib.Config(
        head="mach",
        validation_fraction=0.2,
        num_repetitions=values.num_repetitions,
        num_buckets=values.num_buckets,
        hidden_units=(256,),
        batch_size=128,
        learning_rate=0.005,
        num_epochs=values.num_epochs,
        eval_epochs=values.num_epochs,
        decode="exhaustive",
    )
    data = datasets.training_data(config, values.data_dir)
    num_labels = data.facts.num_labels
    print(
        f"{values.data_dir.split('/')[-1]}: L = {num_labels:,}, "
        f"R = {values.num_repetitions}, B = {values.num_buckets}, "
        f"{values.num_epochs} epochs\n\n| hash | P@1 | P@3 | P@5 |\n"
        "| --- | --- | --- | --- |"
    )
    for name, make in _makers(num_labels).items():
        precisions = [
            _trained(config, data, make, seed) for seed in range(values.seeds)
        ]
        cells = (
            f"{np.mean(values_of_k):.2f} ± {np.std(values_of_k, ddof=1):.2f}"
            for values_of_k in zip(*precisions, strict=True)
        )
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _trained(config, data, make, seed: int) -> list[float]:
    """Returns P@1, P@3 and P@5 of MACH with one kind of hash."""
    config = config.replace(seed=seed)

    def hashes(num_labels, num_repetitions, num_buckets, *_):
        return [
            make(seed, repetition, num_buckets)
            for repetition in range(num_repetitions)
        ]

    with mock.patch.object(label_buckets, "hashes_from", hashes):
        run = run_lib.Run(config, tf.distribute.get_strategy(), data)
    for epoch in range(config.num_epochs):
        run.train_epoch(
            progress.Progress(epoch + 1, run.steps_per_epoch, 1, False),
            lambda: None,
        )
    metrics = run.evaluate()
    return [metrics[f"P@{k}"] for k in (1, 3, 5)]


def _measure(label_hash: hashing.UniversalHash, num_labels: int) -> list[float]:
    table, hash_seconds = _timed(lambda: label_hash.table(num_labels))
    sizes = np.bincount(table, minlength=label_hash.num_buckets)
    mean = num_labels / label_hash.num_buckets
    collisions = (sizes * (sizes - 1.0)).sum() / (
        num_labels * (num_labels - 1.0)
    )
    if (
        isinstance(label_hash, hashing.UniversalHash)
        and label_hash.prime > 4 * num_labels
    ):
        # NumPy's stable sort of 16-bit keys is a counting sort.
        order, seconds = _timed(lambda: np.argsort(table, kind="stable"))
        seconds, size = seconds + hash_seconds, 4 * len(order)
    else:
        num_measured = min(200, label_hash.num_buckets)
        _, members_seconds = _timed(
            lambda: [
                label_hash.members(b, num_labels) for b in range(num_measured)
            ]
        )
        seconds, size = (
            members_seconds * label_hash.num_buckets / num_measured,
            0,
        )
    return [
        sizes.min() / mean,
        sizes.max() / mean,
        collisions * label_hash.num_buckets,
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
    flags.DEFINE_integer(
        "num_repetitions", 4, "Repetitions averaged, or trained."
    )
    flags.DEFINE_string("data_dir", "", "A data set to train on.")
    flags.DEFINE_integer("num_epochs", 8, "Of training.")
    flags.DEFINE_integer("seeds", 3, "Of hash and weights.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
