"""Compares the two decodes of MACH for several numbers of labels.

    python benchmarks/decode_choice.py

Bucket scores are generated: logits around -8, and in each instance six labels
whose buckets score high in all repetitions, as in a trained model. 16
repetitions of min(10,000, 4 sqrt(L)) buckets, top 5; the median of `--repeats`
calls.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags as absl_flags

from tfxml.mach import decode, hashing
from tfxml.mach.threshold import crossings, exact_top_k

_K, _NUM_REPETITIONS, _ESTIMATOR = 5, 16, "logit"


def main(_) -> None:
    values = absl_flags.FLAGS
    print(
        "| labels | buckets | instances | every label: ms | threshold: ms | "
        "ratio |\n| --- | --- | --- | --- | --- | --- |"
    )
    for num_labels in map(int, values.labels):
        for num_rows in map(int, values.batch_sizes):
            print(_row(num_labels, num_rows, values.repeats))


def _row(num_labels: int, num_rows: int, repeats: int) -> str:
    """Returns a line of the table, in milliseconds per instance."""
    num_buckets = min(10_000, round(4 * num_labels**0.5))
    hashes = [
        hashing.from_seed(0, repetition, num_buckets, num_labels * 5 // 4)
        for repetition in range(_NUM_REPETITIONS)
    ]
    repetitions = _generated_logits(hashes, num_labels, num_rows)
    tables = crossings.make(hashes, num_labels)

    @tf.function
    def by_all():
        return decode.top_k(repetitions, hashes, num_labels, _K, _ESTIMATOR)

    @tf.function
    def by_threshold():
        return exact_top_k.exact_top_k(
            repetitions, hashes, tables, _K, _ESTIMATOR
        )

    times = []
    for call in (by_all, by_threshold):
        call()  # traced
        call_ms = []
        for _ in range(repeats):
            start = time.perf_counter()
            np.asarray(call()[1])
            call_ms.append(1e3 * (time.perf_counter() - start) / num_rows)
        times.append(statistics.median(call_ms))
    return (
        f"| {num_labels:,} | {num_buckets:,} | {num_rows} | {times[0]:.3f} | "
        f"{times[1]:.3f} | {times[0] / times[1]:.2f} |"
    )


def _generated_logits(
    hashes, num_labels: int, num_rows: int
) -> list[tf.Tensor]:
    """Returns logits in which six labels of each instance score high."""
    rng = np.random.default_rng(0)
    shape = (num_rows, len(hashes), hashes[0].num_buckets)
    logits = rng.normal(-8, 1, shape).astype(np.float32)
    for row in logits:
        for label in rng.integers(0, num_labels, 6):
            for repetition, label_hash in enumerate(hashes):
                row[repetition, label_hash.buckets(label)] = rng.normal(0, 1.5)
    return [
        tf.constant(logits[:, repetition]) for repetition in range(len(hashes))
    ]


def _define_flags() -> None:
    absl_flags.DEFINE_list(
        "labels", ["4000", "16000", "41000", "100000", "300000"], "L."
    )
    absl_flags.DEFINE_list("batch_sizes", ["1", "64"], "Instances at once.")
    absl_flags.DEFINE_integer("repeats", 15, "Calls.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
