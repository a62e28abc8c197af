"""Evaluates a trained run: `python -m tfxml.evaluate --workdir=...`."""

from __future__ import annotations

import tensorflow as tf
from absl import flags as absl_flags

from tfxml.evaluation import metrics, tables
from tfxml.run import device_flags, flags, paths, restore


def evaluate(
    workdir: str,
    split: str = "",
    data_dir: str = "",
    checkpoint: str = "auto",
    strategy: tf.distribute.Strategy | None = None,
) -> metrics.RankingMetrics:
    """Returns the metrics of a run over a split.

    Args:
        workdir: the run directory.
        split: `train`, `dev`, `test` or, for the generated set, `validation`;
            empty: the one that training evaluated.
        data_dir: the folder of the data set; empty: the one of training.
        checkpoint: `best`, `latest`, or `auto`: the best if there is one.
        strategy: which devices evaluate.
    """
    strategy = strategy or tf.distribute.get_strategy()
    run = restore.restore(workdir, strategy, checkpoint)
    return restore.make_evaluate(run, strategy, split, data_dir)()


def main() -> None:
    values = absl_flags.FLAGS
    result = evaluate(
        values.workdir,
        values.split,
        values.data_dir,
        values.checkpoint,
        device_flags.read_flags().make_strategy(),
    )
    ks, values_by_key = result.ks.tolist(), result.result()
    keys = list(values_by_key)
    if not values.all_metrics:
        keys = tables.headline_keys(ks)
    print(tables.format_metrics(values_by_key, keys))
    if values.deciles:
        print(tables.format_deciles(result.result_by_decile(), ks))


def define_flags() -> None:
    restore.define_flags()
    paths.define(
        "data_dir", "", "The folder of the data set. Empty: that of training."
    )
    absl_flags.DEFINE_enum(
        "split",
        "",
        ["", "train", "dev", "test", "validation"],
        "The split to evaluate. Empty: the one that training evaluated.",
    )
    absl_flags.DEFINE_bool(
        "deciles", False, "Also report metrics by label frequency."
    )
    absl_flags.DEFINE_bool(
        "all_metrics", False, "Also report Recall@k, PSnDCG@k and nDCG@1."
    )
    device_flags.define_flags()


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
