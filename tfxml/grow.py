"""Adds labels to a trained run: `python -m tfxml.grow --workdir=... ...`.

New labels follow the existing ones. The hashes are those of the run, so no
label changes its buckets and no weight is new: the grown model scores the old
labels as before. The result is a run at step 0 on data with the new labels;
`python -m tfxml.train` with its flags fine-tunes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    tensorflow_start,
)

if TYPE_CHECKING:
    from tfxml.run import datasets, restore
    from tfxml.run import workdir as workdir_lib


def grow(
    path: str,
    output: str,
    data_dir: str,
    num_epochs: int = 1,
    learning_rate: float | None = None,
    checkpoint: str = "auto",
) -> workdir_lib.Workdir:
    """Writes a run with more labels to `output`, ready to be fine-tuned.

    Args:
        path: the folder of a trained run of MACH.
        output: a new folder.
        data_dir: a data set with the same features, and the run's labels
            before the new ones.
        num_epochs: of fine-tuning.
        learning_rate: of fine-tuning; None: the run's.
        checkpoint: of the run: `best`, `latest`, or `auto`.

    Raises:
        ValueError: if the run or the data do not allow it.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfxml.run import datasets, restore, run_lock
    from tfxml.run import run as run_lib
    from tfxml.run import workdir as workdir_lib
    from tfxml.training import checkpoints

    strategy = tf.distribute.get_strategy()
    old = restore.restore(path, strategy, checkpoint)
    config = _config(old, num_epochs, learning_rate)
    target = workdir_lib.Workdir(output)
    target.check_new()
    data_dir = paths.absolute(data_dir, "data_dir")
    data = datasets.training_data(config, data_dir, strategy, old.text_features)
    _check(old, data)
    grown = run_lib.Run(
        config, strategy, data, backbone=workdir_lib.Workdir(path).backbone
    )
    weights = old.model.named_variables()
    for name, weight in grown.model.named_variables().items():
        weight.assign(weights[name])
    with run_lock.RunLock(target.path), target.beginning() as new:
        grown.start_folder(new)
        saved = checkpoints.Checkpoints(
            new.checkpoints, grown.state, weights=grown.weights
        )
        saved.save(0, {}, is_best=False, epoch={"steps": 0, "loss_sum": 0.0})
    remote.publish(target.path)
    return target


def _config(
    run: restore.TrainedRun, num_epochs: int, learning_rate: float | None
) -> config_lib.Config:
    """Returns the recipe of fine-tuning, with the hashes of the run."""
    growth = run.model.head.growth_options()
    if growth is None:
        raise ValueError(
            "`workdir` must hold a run whose head can take more labels without "
            "new weights, as head=mach can. "
            f"Received: a run with head={run.config.head}"
        )
    if len(run.model.head.dropped):
        raise ValueError(
            "`workdir` must hold a run without dropped labels: grow it first, "
            f"then drop. Received: {len(run.model.head.dropped)} dropped"
        )
    if run.config.reranker_passes:
        raise ValueError(
            "`workdir` must hold a run without reranker_passes, whose labels "
            "each have weights of their own. Received: a run with "
            f"reranker_passes={run.config.reranker_passes}"
        )
    if learning_rate is None:
        learning_rate = run.config.learning_rate
    return run.config.replace(
        **growth, num_epochs=num_epochs, learning_rate=learning_rate
    )


def _check(run: restore.TrainedRun, data: datasets.TrainingData) -> None:
    """Raises unless the data are those of the run, with more labels."""
    capacity = run.model.head.label_capacity
    problem = None
    if data.facts.num_features != run.facts.num_features:
        problem = (
            f"{data.facts.num_features} features where the run has "
            f"{run.facts.num_features}"
        )
    elif data.facts.num_labels < run.facts.num_labels:
        problem = (
            f"{data.facts.num_labels} labels where the run has "
            f"{run.facts.num_labels}"
        )
    elif data.facts.num_labels > capacity:
        problem = (
            f"{data.facts.num_labels} labels where the run's hashes can take "
            f"{capacity} (see label_capacity)"
        )
    elif run.label_names and (
        (data.label_names or [])[: len(run.label_names)] != run.label_names
    ):
        problem = "labels of other names, or in another order, than the run's"
    if problem:
        raise ValueError(
            "`data_dir` must hold the run's features, and its labels before "
            f"the new ones. Received: data_dir={data.facts.data_dir}, with "
            f"{problem}"
        )


def define_flags() -> None:
    checkpoint_flags.define_flags()
    paths.define("output", None, "A new folder.", required=True)
    paths.define(
        "data_dir", None, "The data with the new labels.", required=True
    )
    absl_flags.DEFINE_integer("num_epochs", 1, "Of fine-tuning.", lower_bound=1)
    absl_flags.DEFINE_float(
        "learning_rate", None, "Of fine-tuning. Left out: the run's."
    )


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir, values.data_dir)
    tensorflow_start.quietly()
    target = grow(
        values.workdir,
        values.output,
        values.data_dir,
        values.num_epochs,
        values.learning_rate,
        values.checkpoint,
    )
    name = remote.name_of(target.path)
    print(
        "the grown run is fine-tuned by\n"
        f"python -m tfxml.train --flagfile={target.path / 'flags.cfg'} "
        f"--workdir={name} --data_dir={values.data_dir}"
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
