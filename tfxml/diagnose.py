"""Says what holds a trained run back: `python -m tfxml.diagnose --workdir=...`.

Ranking labels by P(label | x) is enough when labels are independent given the
features, the scores are right, there are data enough and labels are not too
many. Each of these is measured on rows that training held out: a number, a
picture, a sentence, and what to try where it does not hold.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np
from absl import flags as absl_flags

from tfxml.data import atomic_files
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    tensorflow_start,
)

if TYPE_CHECKING:
    from tfxml.data.feeding import pipeline
    from tfxml.run import diagnosis, restore
    from tfxml.run import scored_rows as scored_rows_lib

_FINDINGS = "diagnosis.json"
_MOST_ROWS = 5000
_CANDIDATES = 50
_SHARES = (0.25, 0.5, 1.0)


def diagnose(
    workdir: str,
    split: str = "",
    data_dir: str = "",
    with_curve: bool = False,
) -> list[diagnosis.Finding]:
    """Returns what was found about a run, one finding a condition.

    Args:
        workdir: the run directory.
        split: `validation` or `dev`; empty: what the run held out, else dev.
        data_dir: the folder of the data set; empty: the one of training.
        with_curve: whether the recipe is trained on shares of the data.

    Raises:
        ValueError: if no rows were held out, or they are too few.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfxml.data import inputs
    from tfxml.run import diagnosis, restore, scored_rows

    run = restore.restore(workdir, tf.distribute.get_strategy())
    source, *_ = scored_rows.held_out(run, split, data_dir)
    rows = _scored(run, _some(source))
    training = _training_rows(run, data_dir)
    trained = _scored(run, _some(training))
    named, _ = training.rows(
        tf.range(min(256, training.num_instances), dtype=tf.int64)
    )
    if run.facts.form == "padded":
        named = inputs.padded(named)
    curve = _curve(run, data_dir) if with_curve else []
    return [
        diagnosis.of_dependence(rows, run.label_names),
        diagnosis.of_calibration(rows, run.label_counts),
        diagnosis.of_frequency(run, rows),
        diagnosis.of_data(trained, rows, curve),
        diagnosis.of_cost(run, named),
    ]


def describe(findings: list[diagnosis.Finding], workdir: str) -> str:
    """Returns what the console shows."""
    lines = []
    for finding in findings:
        mark = "CAUSE" if finding.is_cause else "fine"
        lines.append(f"{finding.name:12} {mark:6} {finding.sentence}")
    causes = [finding for finding in findings if finding.is_cause]
    lines.append("")
    if not causes:
        lines.append("Nothing that was looked for holds this run back.")
    for finding in causes:
        lines.append(f"{finding.name}: try {finding.advice}")
    if any(finding.advice.startswith(("-", "Whole")) for finding in causes):
        lines.append(
            f"Flags go behind `python -m tfxml.train --flagfile={workdir}/"
            "flags.cfg --workdir=<another folder>`."
        )
    return "\n".join(lines)


def write(
    findings: list[diagnosis.Finding], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Writes `diagnosis.json`, and pictures if Matplotlib is installed."""
    from tfxml.run import diagnosis_plots

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _FINDINGS
    values = [dataclasses.asdict(finding) for finding in findings]
    atomic_files.write_bytes(path, json.dumps(values, indent=1).encode())
    if not diagnosis_plots.can_draw():
        return [path]
    return [path, *diagnosis_plots.draw(findings, folder)]


def _some(source: pipeline.Source) -> pipeline.Source:
    """Returns a random part of many rows."""
    from tfxml.data.feeding import subset

    if source.num_instances <= _MOST_ROWS:
        return source
    rng = np.random.default_rng(0)
    chosen = rng.choice(source.num_instances, _MOST_ROWS, replace=False)
    return subset.SubsetSource(source, np.sort(chosen))


def _scored(
    run: restore.TrainedRun, source: pipeline.Source
) -> scored_rows_lib.ScoredRows:
    """Returns the candidates of rows, and their labels."""
    from tfxml.run import scored_rows, splits

    exclusions = splits.exclusions_of(run.config, source)
    return scored_rows.score(run, source, _CANDIDATES, exclusions=exclusions)


def _training_rows(run: restore.TrainedRun, data_dir: str) -> pipeline.Source:
    """Returns the rows that a run was trained on."""
    from tfxml.run import scored_rows, splits

    source, _ = scored_rows.of_split(run, "train", data_dir)
    if run.config.validation_fraction and run.facts.data_dir:
        source, _ = splits.hold_out(run.config, source)
    return source


def _curve(run: restore.TrainedRun, data_dir: str) -> list[dict[str, float]]:
    """Returns held-out P@1 by the share of the training rows.

    Raises:
        ValueError: for a run without rows held out of its training split.
    """
    import tensorflow as tf

    from tfxml.data.feeding import subset
    from tfxml.run import datasets
    from tfxml.run import progress as progress_lib
    from tfxml.run import run as run_lib

    config = run.config
    if not config.validation_fraction:
        raise ValueError(
            "`learning_curve` must be off for a run that held no rows out: its "
            "points would be those of the test split. Received: "
            "validation_fraction=0"
        )
    data = datasets.training_data(
        config,
        data_dir or run.facts.data_dir,
        features=run.text_features,
    )
    order = np.random.default_rng(config.seed).permutation(
        data.train.num_instances
    )
    points = []
    for share in _SHARES:
        number = max(3, int(share * len(order)))
        part = subset.SubsetSource(data.train, np.sort(order[:number]))
        some = dataclasses.replace(
            data,
            train=part,
            facts=dataclasses.replace(data.facts, num_train=number),
            label_counts=part.label_counts(),
        )
        trained = run_lib.Run(config, tf.distribute.get_strategy(), some)
        progress = progress_lib.Progress(
            config.num_epochs,
            trained.steps_per_epoch,
            number / trained.steps_per_epoch,
        )
        while not trained.is_head_trained:
            trained.train_epoch(progress, lambda: None)
        if trained.steps_done < trained.num_steps:
            trained.learn_rest(lambda: None)
        points.append({"rows": number, "P@1": trained.evaluate()["P@1"]})
    return points


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir, values.data_dir)
    folder = values.output or os.path.join(values.workdir, "diagnosis")
    early_checks.check_output(
        os.path.join(folder, _FINDINGS),
        values.workdir,
        data_dir=values.data_dir,
    )
    tensorflow_start.quietly()
    from tfxml.run import diagnosis_plots

    findings = diagnose(
        values.workdir, values.split, values.data_dir, values.learning_curve
    )
    print(describe(findings, values.workdir))
    output = paths.local(folder, "output")
    files = write(findings, pathlib.Path(output))
    remote.publish(output)
    print(f"\nwritten   {folder}: {', '.join(one.name for one in files)}")
    if not diagnosis_plots.can_draw():
        print('pictures  need Matplotlib: pip install "tfxml[plots]"')


def define_flags() -> None:
    checkpoint_flags.define_flags()
    paths.define(
        "data_dir", "", "The folder of the data set. Empty: that of training."
    )
    paths.define(
        "output",
        "",
        "Where figures and pictures are written. Empty: the folder diagnosis "
        "in the run directory.",
    )
    absl_flags.DEFINE_enum(
        "split",
        "",
        ["", "validation", "dev"],
        "Rows that were not trained on. Empty: what the run held out, else "
        "the dev split.",
    )
    absl_flags.DEFINE_bool(
        "learning_curve",
        False,
        "Train the recipe on a quarter, half and all of the rows, to see "
        "whether more data would help.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
