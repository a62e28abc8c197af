"""Compares the threshold decode with scoring every label, on a trained run.

    python benchmarks/threshold_decode.py --workdir=runs/49m --num_queries=1000

Both decode the bucket scores that the trained model gives to instances of its
generated test set. Every label is scored by TensorFlow gathers in blocks of
labels; as this may take seconds per instance, it decodes only `--num_compared`
instances, and the answers are compared. Medians over batches.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import tensorflow as tf
from absl import app
from absl import flags as absl_flags

from tfxml.mach import decode
from tfxml.mach.threshold import crossings, exact_top_k
from tfxml.run import evaluation_split, restore

_K = 5
_BUDGET = 8_000_000


def main(_) -> None:
    values = absl_flags.FLAGS
    run = restore.restore(values.workdir, tf.distribute.get_strategy())
    head = run.model.head
    estimators = values.estimators or [head.estimator]
    batches = _bucket_logits(run, values.num_queries, values.batch_size)
    tables, seconds = _timed(
        lambda: crossings.make(head.hashes, head.num_labels)
    )
    hashes = head.hashes
    size = crossings.num_bytes(
        len(hashes), hashes[0].num_buckets, hashes[0].prime
    )
    print(
        f"L = {head.num_labels:,}, R = {len(hashes)}, "
        f"B = {hashes[0].num_buckets:,}: tables of {size / 1e6:.1f} MB "
        f"made in {seconds:.2f} s; top {_K}, batches of {values.batch_size}\n"
    )
    print(
        "| estimator | ms per query | every label: ms | ratio | certified | "
        "buckets opened | labels scored | identical |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for estimator in estimators:
        print(_row(head, tables, batches, estimator, values.num_compared))


def _row(head, tables, batches, estimator: str, num_compared: int) -> str:
    """Returns a line of the table."""

    @tf.function(reduce_retracing=True)
    def by_threshold(*repetitions):
        return exact_top_k.top_k(
            list(repetitions), tables, _K, estimator, _BUDGET
        )

    @tf.function(reduce_retracing=True)
    def by_all(*repetitions):
        return decode.top_k(
            list(repetitions), head.hashes, head.num_labels, _K, estimator
        )

    by_threshold(*batches[0])  # traced
    answers, times = [], []
    for batch in batches:
        answer, seconds = _timed(lambda: by_threshold(*batch))  # noqa: B023
        answers.append(answer)
        times.append(1e3 * seconds / len(batch[0]))
    opened, scored, is_certified = (
        np.concatenate([getattr(tensor, name) for tensor in answers])
        for name in ("buckets_opened", "labels_scored", "is_certified")
    )
    num_compared = min(num_compared, len(opened))
    all_times, num_same, num_done = [], 0, 0
    if num_compared:
        by_all(*(tensor[:1] for tensor in batches[0]))  # traced
    for batch, answer in zip(batches, answers, strict=True):
        rows = min(num_compared - num_done, len(batch[0]))
        if not rows:
            break
        exhaustive, seconds = _timed(
            lambda: by_all(*(tensor[:rows] for tensor in batch))  # noqa: B023
        )
        all_times.append(1e3 * seconds / rows)
        is_same = (exhaustive[0].numpy() == answer.scores.numpy()[:rows]) & (
            exhaustive[1].numpy() == answer.label_ids.numpy()[:rows]
        )
        is_certified_row = answer.is_certified.numpy()[:rows]
        num_same += int((is_same.all(axis=1) | ~is_certified_row).sum())
        num_done += rows
    fast, slow, ratio = statistics.median(times), "", ""
    if all_times:
        slow = f"{statistics.median(all_times):.1f}"
        ratio = f"{statistics.median(all_times) / fast:.0f}"
    return (
        f"| {estimator} | {fast:.2f} | {slow} | {ratio} | "
        f"{100 * is_certified.mean():.1f} % | {np.median(opened):.0f} | "
        f"{np.median(scored):.0f} | {num_same} of {num_done} |"
    )


def _bucket_logits(run, num_queries: int, batch_size: int) -> list:
    """Returns the test instances' bucket logits, R tensors per batch."""
    source, _ = evaluation_split.read(
        run.config, run.facts, "test", run.text_features
    )

    @tf.function(reduce_retracing=True)
    def logits(indices):
        rows, _ = source.rows(indices)
        return run.model.head.bucket_logits(run.model.encode(rows))

    num_queries = min(num_queries, source.num_instances)
    return [
        logits(tf.range(start, min(start + batch_size, num_queries)))
        for start in tf.range(0, num_queries, batch_size, tf.int64)
    ]


def _timed(call):
    start = time.perf_counter()
    result = call()
    tf.nest.map_structure(np.asarray, result)
    return result, time.perf_counter() - start


def _define_flags() -> None:
    absl_flags.DEFINE_string("workdir", None, "A trained run.", required=True)
    absl_flags.DEFINE_integer("num_queries", 1000, "Test instances.")
    absl_flags.DEFINE_integer(
        "num_compared", 64, "Of them, for which every label is scored too."
    )
    absl_flags.DEFINE_integer("batch_size", 64, "Instances at once.")
    absl_flags.DEFINE_list("estimators", [], "None: the run's own.")


if __name__ == "__main__":
    _define_flags()
    app.run(main)
