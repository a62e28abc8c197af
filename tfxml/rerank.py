"""Adds a re-ranker to a trained run: `python -m tfxml.rerank --workdir=...`.

What is written is a run with the same head, whose candidates a re-ranker ranks
again. The head is not trained again, so that the cost is the re-ranker's own.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags as absl_flags

from tfxml.evaluation import tables
from tfxml.models import reranker_options
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    tensorflow_start,
)


def rerank(
    path: str,
    output: str,
    options: dict[str, Any],
    data_dir: str = "",
    checkpoint: str = "auto",
) -> dict[str, float]:
    """Writes a run with a re-ranker to `output`; returns its metrics.

    Args:
        path: the folder of a trained run.
        output: a new folder.
        options: of the re-ranker, by name; see `RerankerOptions`.
        data_dir: the data that the run was trained on; empty: where they were.
        checkpoint: of the run: `best`, `latest`, or `auto`.

    Raises:
        ValueError: if the data are others, or in memory only, or `output` is
            not new, or there is to be no re-ranker.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfxml.data import arrays
    from tfxml.run import datasets, restore, run_lock
    from tfxml.run import run as run_lib
    from tfxml.run import workdir as workdir_lib
    from tfxml.training import checkpoints

    old = restore.restore(path, tf.distribute.get_strategy(), checkpoint)
    config = old.config.replace(**options)
    if not config.reranker_passes:
        raise ValueError(
            "`reranker_passes` must be at least 1. Received: reranker_passes=0"
        )
    data_dir = data_dir or old.facts.data_dir
    if data_dir == arrays.IN_MEMORY:
        raise ValueError(
            "`data_dir` must be given for a run that was trained on arrays in "
            "memory. Received: none"
        )
    target = workdir_lib.Workdir(output)
    target.check_new()
    data = datasets.training_data(config, data_dir, features=old.text_features)
    workdir_lib.Workdir(path).check_data(data.fingerprint, data.facts.data_dir)
    run = run_lib.Run(
        config,
        tf.distribute.get_strategy(),
        data,
        backbone=workdir_lib.Workdir(path).backbone,
    )
    weights = run.model.named_variables()
    for name, trained in old.model.named_variables().items():
        if not name.startswith("reranker_"):
            weights[name].assign(trained.value)
    if run.averages is not None:
        run.averages.restart()  # for more epochs later
    run.learn_reranker(lambda: None)
    metrics = run.evaluate()
    entry = {"step": run.steps_done, "epoch": run.epoch, **metrics}
    with run_lock.RunLock(target.path), target.beginning() as new:
        run.start_folder(new)
        saved = checkpoints.Checkpoints(
            new.checkpoints, run.state, weights=run.weights
        )
        meta = {"steps": 0, "loss_sum": 0.0}
        saved.save(run.steps_done, metrics, False, meta, [entry])
        new.append_metrics(entry)
        new.write_result({key: metrics[key] for key in config.metric_keys()})
    remote.publish(target.path)
    return metrics


def define_flags() -> None:
    checkpoint_flags.define_flags()
    paths.define("output", None, "A new folder.", required=True)
    paths.define("data_dir", "", "The data set. Empty: where it was.")
    flags.define_group(reranker_options.RerankerOptions)


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir, values.data_dir)
    tensorflow_start.quietly()
    from tfxml.run import workdir as workdir_lib

    names = [
        field.name
        for field in dataclasses.fields(reranker_options.RerankerOptions)
    ]
    metrics = rerank(
        values.workdir,
        values.output,
        {name: values[name].value for name in names},
        values.data_dir,
        values.checkpoint,
    )
    config, _ = workdir_lib.Workdir(values.output).read()
    keys = tables.headline_keys(config.metric_ks)
    print(tables.format_metrics(metrics, keys))
    print(f"run directory: {values.output}")


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
