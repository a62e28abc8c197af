"""Makes scores probabilities: `python -m tfxml.calibrate --workdir=...`.

Calibration and thresholds are fitted on rows that training held out, never on
those of the test split. They lie in the run directory, where prediction, the
exports and the estimator find them, and hold for the weights they were fitted
to.
"""

from __future__ import annotations

import shlex

import numpy as np
from absl import flags as absl_flags

from tfxml.evaluation import label_sets, tables, thresholds
from tfxml.models import calibration
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    fitted_scores,
    flags,
    paths,
    remote,
    set_choices,
    tensorflow_start,
)

NONE = "none"
_ANSWERED = 5  # labels an instance that the error of answers is of


def calibrate(
    workdir: str,
    split: str = "",
    data_dir: str = "",
    checkpoint: str = "auto",
    method: str = calibration.PLATT,
    objective: str = thresholds.MICRO_F1,
    floor: float = 0.0,
    is_per_label: bool = False,
    num_candidates: int = set_choices.NUM_CANDIDATES,
) -> fitted_scores.FittedScores:
    """Fits calibration and thresholds of a run, and writes them to its folder.

    Args:
        workdir: the run directory.
        split: `validation` or `dev`; empty: what the run held out, else dev.
        data_dir: the folder of the data set; empty: the one of training.
        checkpoint: `best`, `latest`, or `auto`: the best if there is one.
        method: one of `calibration.METHODS`, or `none`.
        objective: one of `thresholds.OBJECTIVES`.
        floor: of the precision, in [0, 1].
        is_per_label: whether labels with enough rows have thresholds of their
            own.
        num_candidates: the best labels of each row, which are looked at.

    Raises:
        ValueError: if no rows were held out, or they are too few.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    import tensorflow as tf

    from tfxml.run import restore, scored_rows

    run = restore.restore(workdir, tf.distribute.get_strategy(), checkpoint)
    run.model.calibration = None
    source, exclusions, name = scored_rows.held_out(run, split, data_dir)
    rows = scored_rows.score(run, source, num_candidates, exclusions=exclusions)
    found = fit(
        rows.candidates,
        rows.truth,
        run.label_counts,
        run.step,
        method,
        objective,
        floor,
        is_per_label,
    )
    found.report["split"] = name
    folder = paths.local(workdir, "workdir")
    found.write(folder)
    remote.publish(folder)
    return found


def fit(
    candidates: label_sets.Candidates,
    truth: label_sets.LabelSets,
    label_counts: np.ndarray,
    step: int,
    method: str = calibration.PLATT,
    objective: str = thresholds.MICRO_F1,
    floor: float = 0.0,
    is_per_label: bool = False,
) -> fitted_scores.FittedScores:
    """Returns calibration, thresholds and figures, from held-out rows.

    Args:
        candidates: with uncalibrated scores.
        truth: the labels of the rows.
        label_counts: [L], in how many training instances each label occurs.
        step: of the weights.
        method, objective, floor, is_per_label: as of `calibrate`.
    """
    from tfxml.evaluation import calibrating

    is_true = candidates.is_true(truth)
    of_scores, after = None, candidates
    if method != NONE:
        of_scores = calibrating.fit(
            method, candidates.scores.ravel(), is_true.ravel()
        )
        after = label_sets.Candidates(
            calibration.array_scores(
                candidates.scores, calibration.IDENTITY, of_scores
            ),
            candidates.label_ids,
        )
    fit_limits = (
        thresholds.fit_per_label if is_per_label else thresholds.fit_global
    )
    report = {
        "num_rows": len(candidates),
        "objective": objective,
        "before": _errors(candidates, is_true, label_counts),
        "after": _errors(after, is_true, label_counts),
        "abstention": calibrating.abstention(after, is_true),
    }
    limits = fit_limits(after, truth, objective, floor)
    return fitted_scores.FittedScores(step, of_scores, limits, report)


def _errors(candidates, is_true, label_counts) -> dict:
    """Returns the calibration errors of candidates, in percent."""
    from tfxml.evaluation import calibrating

    return {
        "ECE": calibrating.expected_error(
            candidates.scores.ravel(), is_true.ravel()
        ),
        f"ECE@{_ANSWERED}": calibrating.expected_error(
            candidates.scores[:, :_ANSWERED].ravel(),
            is_true[:, :_ANSWERED].ravel(),
        ),
        "deciles": calibrating.expected_errors_by_decile(
            candidates, is_true, label_counts
        ),
        "reliability": calibrating.reliability(
            candidates.scores[:, :_ANSWERED].ravel(),
            is_true[:, :_ANSWERED].ravel(),
        ),
    }


def describe(found: fitted_scores.FittedScores) -> str:
    """Returns what the console shows of a fit."""
    report, of_scores = found.report, found.calibration
    lines = [f"rows      {report['num_rows']:,} of {report['split']}"]
    if of_scores is not None:
        what = f"slope {of_scores.slope:.3f}, offset {of_scores.offset:.3f}"
        if of_scores.knots:
            what = f"{len(of_scores.knots)} knots"
        lines.append(f"scores    {of_scores.method}: {what}")
    limits = found.thresholds
    lines.append(
        f"threshold {limits.default:.4f} for {report['objective']}"
        + (
            f", {len(limits.of_labels):,} labels have their own"
            * bool(limits.of_labels)
        )
    )
    header = ["", "ECE", f"ECE@{_ANSWERED}"]
    header += [f"decile {number}" for number in range(1, 11)]
    table = [header]
    for when in ("before", "after"):
        of_time = report[when]
        values = [of_time["ECE"], of_time[f"ECE@{_ANSWERED}"]]
        values += of_time["deciles"]
        table.append([when, *(f"{value:.2f}" for value in values)])
    lines += ["", tables.align(table), ""]
    points = [["best score below", "answered %", "P@1 %"]]
    points += [
        [
            f"{one['score']:.3f}",
            f"{one['answered']:.0f}",
            f"{one['P@1']:.2f}",
        ]
        for one in report["abstention"]
    ]
    return "\n".join([*lines, tables.align(points)])


def main() -> None:
    values = absl_flags.FLAGS
    early_checks.check_run(values.workdir, values.data_dir)
    if values.remove:
        folder = paths.local(values.workdir, "workdir")
        fitted_scores.remove(folder)
        remote.publish(folder)
        print(f"removed   the calibration of {values.workdir}")
        return
    tensorflow_start.quietly()
    found = calibrate(
        values.workdir,
        values.split,
        values.data_dir,
        values.checkpoint,
        values.method,
        values.objective,
        values.precision_floor,
        values.per_label,
        values.set_candidates,
    )
    print(describe(found))
    workdir = shlex.quote(f"--workdir={values.workdir}")
    print(
        f"\nnext      python -m tfxml.predict {workdir} --input=rows.jsonl "
        "--predict=threshold\n"
        f"          python -m tfxml.evaluate {workdir} --sets "
        "--predict=threshold"
    )


def define_flags() -> None:
    checkpoint_flags.define_flags()
    absl_flags.DEFINE_bool(
        "remove", False, "Take calibration and thresholds back; fit nothing."
    )
    paths.define(
        "data_dir", "", "The folder of the data set. Empty: that of training."
    )
    absl_flags.DEFINE_enum(
        "split",
        "",
        ["", "validation", "dev"],
        "Rows that were not trained on. Empty: what the run held out, else "
        "the dev split.",
    )
    absl_flags.DEFINE_enum(
        "method",
        calibration.PLATT,
        [*calibration.METHODS, NONE],
        "How scores become probabilities. none: they stay as they are.",
    )
    absl_flags.DEFINE_enum(
        "objective",
        thresholds.MICRO_F1,
        thresholds.OBJECTIVES,
        "What thresholds are best for. precision: the lowest that keeps "
        "--precision_floor.",
    )
    absl_flags.DEFINE_float(
        "precision_floor",
        0.9,
        "The least precision, of --objective=precision.",
        lower_bound=0,
        upper_bound=1,
    )
    absl_flags.DEFINE_bool(
        "per_label",
        False,
        "Give each label with at least 5 held-out rows its own threshold.",
    )
    absl_flags.DEFINE_integer(
        "set_candidates",
        set_choices.NUM_CANDIDATES,
        "The best labels of each row, which are looked at.",
        lower_bound=1,
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
