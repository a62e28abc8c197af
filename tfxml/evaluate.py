"""Evaluates a trained run: `python -m tfxml.evaluate --workdir=...`."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from strategies import cluster
from tfxml.data import atomic_files
from tfxml.run import (
    checkpoint_flags,
    device_flags,
    early_checks,
    flags,
    paths,
    quiet,
    remote,
    set_choices,
    tensorflow_start,
)

if TYPE_CHECKING:
    import tensorflow as tf

    from tfxml.evaluation import metrics, set_metrics
    from tfxml.run import restore


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
    # Here, so that flags are checked before TensorFlow is imported.
    tensorflow_start.quietly()
    import tensorflow as tf

    from tfxml.run import restore

    strategy = strategy or tf.distribute.get_strategy()
    run = restore.restore(workdir, strategy, checkpoint)
    return restore.make_evaluate(run, strategy, split, data_dir)()


def evaluate_sets(
    workdir: str,
    choice: set_choices.SetChoice | None = None,
    split: str = "",
    data_dir: str = "",
    checkpoint: str = "auto",
) -> set_metrics.SetMetrics:
    """Returns the metrics of the label sets that a run answers with.

    Args:
        workdir: the run directory.
        choice: how a set is chosen; None: the set of the best expected F1.
        split, data_dir, checkpoint: as of `evaluate`.
    """
    tensorflow_start.quietly()
    import tensorflow as tf

    from tfxml.run import restore

    run = restore.restore(workdir, tf.distribute.get_strategy(), checkpoint)
    return _sets_of(run, choice, split, data_dir)


def _sets_of(
    run: restore.TrainedRun,
    choice: set_choices.SetChoice | None,
    split: str,
    data_dir: str,
) -> set_metrics.SetMetrics:
    from tfxml.evaluation import set_metrics
    from tfxml.run import scored_rows

    choice = choice or set_choices.SetChoice(set_choices.SET)
    source, exclusions = scored_rows.of_split(run, split, data_dir)
    rows = scored_rows.score(
        run,
        source,
        choice.num_ranked,
        choice.way == set_choices.SET,
        exclusions,
    )
    is_chosen = choice.choose(rows.candidates, rows.is_member, rows.weights)
    return set_metrics.SetMetrics(
        rows.candidates.chosen(is_chosen), rows.truth, run.facts.num_labels
    )


def _print_sets(values, k: int) -> None:
    """Prints the metrics of sets, and writes the figures of labels."""
    import tensorflow as tf

    from tfxml.evaluation import set_metrics, tables
    from tfxml.run import restore

    run = restore.restore(
        values.workdir, tf.distribute.get_strategy(), values.checkpoint
    )
    limits = run.fitted.thresholds if run.fitted else None
    if run.stale:
        sys.stderr.write(f"scores    {run.stale}\n")
    result = _sets_of(
        run, set_choices.from_flags(limits, k), values.split, values.data_dir
    )
    print(tables.format_sets(result.result(), result.intervals()))
    if values.label_figures:
        names = run.label_names
        path = paths.local(values.label_figures, "label_figures")
        table = io.StringIO(newline="")
        set_metrics.write_label_figures(
            result, table, names.__getitem__ if names else str
        )
        atomic_files.write_output(path, table.getvalue().encode())
        remote.publish(path)


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir, values.data_dir)
    early_checks.check_output(
        values.label_figures,
        values.workdir,
        "label_figures",
        values.data_dir,
    )
    tensorflow_start.quietly()
    result = evaluate(
        values.workdir,
        values.split,
        values.data_dir,
        values.checkpoint,
        device_flags.read_flags().make_strategy(),
    )
    task = cluster.from_environment()
    with quiet.but_chief(task is None or task.is_chief):
        _report(values, result)


def _report(values, result: metrics.RankingMetrics) -> None:
    """Prints the tables, and writes the file, that flags ask for."""
    from tfxml.evaluation import tables
    from tfxml.run import outcome
    from tfxml.run import workdir as workdir_lib

    note = outcome.unfinished(workdir_lib.Workdir(values.workdir))
    if note:
        print(note)
    ks, values_by_key = result.ks.tolist(), result.result()
    keys = list(values_by_key)
    if not values.all_metrics:
        keys = tables.headline_keys(ks)
    print(tables.format_metrics(values_by_key, keys))
    if values.deciles:
        print(tables.format_deciles(result.result_by_decile(), ks))
    if values.sets or values.label_figures:
        _print_sets(values, ks[-1])


def define_flags() -> None:
    checkpoint_flags.define_flags()
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
    absl_flags.DEFINE_bool(
        "sets",
        False,
        "Also report metrics of whole sets, chosen as --predict says, with "
        "95 % bootstrap intervals.",
    )
    paths.define(
        "label_figures",
        "",
        "A CSV file for precision, recall, F1 and support of each label.",
    )
    set_choices.define_flags()
    device_flags.define_flags()


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
