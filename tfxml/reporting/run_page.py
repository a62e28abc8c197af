"""The report of a run, perhaps beside another: one HTML file."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfxml import config as config_lib
from tfxml.evaluation import (
    calibrating,
    metrics,
    resampling,
    set_metrics,
    tables,
)
from tfxml.pages import assets
from tfxml.reporting import examples, figures
from tfxml.reporting import measured as measured_lib

_PLOTTED = 400  # points of a curve over labels
_MOST_LABELS = 500  # told one by one


def render(
    run: measured_lib.Measured,
    other: measured_lib.Measured | None = None,
    num_examples: int = 5,
) -> str:
    """Returns the page.

    Args:
        run: the run that is reported.
        other: one to compare with; None: none.
        num_examples: good ones, and as many bad ones.
    """
    runs = [run] if other is None else [run, other]
    good, bad = examples.choose(run.answers, num_examples)
    scored = run.answers.candidates.scores.ravel(), run.answers.is_true.ravel()
    points = calibrating.reliability(*scored)
    error = calibrating.expected_error(*scored)
    return assets.render(
        "report.html",
        style=assets.read("base.css") + assets.read("report.css"),
        run=run,
        other=other,
        table=_metrics_table(run, other),
        comparison=_comparison(run, other),
        curves=_learning_curves(runs),
        deciles=run.metrics.result_by_decile(),
        decile_ks=run.run.config.metric_ks,
        decile_figure=_decile_figure(runs),
        sets=_set_rows(runs),
        labels=_label_rows(run),
        num_labels_more=max(0, run.run.facts.num_labels - _MOST_LABELS),
        reliability=figures.reliability(points, error),
        calibration_error=error,
        data=_data_rows(run),
        data_figures=_data_figures(run),
        costs=_cost_rows(runs),
        good=examples.show(run, good),
        bad=examples.show(run, bad),
        settings=_settings(run.run.config),
        differences=_differences(run, other),
    )


def _metrics_table(
    run: measured_lib.Measured, other: measured_lib.Measured | None
) -> list[dict[str, Any]]:
    """Returns a row for each metric: value and interval of each run."""
    keys = tables.headline_keys(run.run.config.metric_ks)
    found = [
        (one.shares.values(), resampling.intervals(one.shares))
        for one in (run, other)
        if one is not None
    ]
    change: dict[str, resampling.Interval] = {}
    if other is not None and _are_comparable(run, other):
        change = resampling.differences(run.shares, other.shares)
    return [
        {
            "key": key,
            "cells": [
                {"value": values.get(key), "interval": intervals.get(key)}
                for values, intervals in found
            ],
            "change": change.get(key),
            "difference": (
                found[0][0][key] - found[1][0][key] if key in change else None
            ),
        }
        for key in keys
    ]


def _set_rows(runs: Sequence[measured_lib.Measured]) -> list[dict[str, Any]]:
    """Returns a row for each figure of the labels chosen by thresholds."""
    found = [(run.sets.result(), run.sets.intervals()) for run in runs]
    return [
        {
            "key": key,
            "cells": [
                (values[key], resampling.Interval(*intervals[key]))
                for values, intervals in found
            ],
        }
        for key in set_metrics.KEYS
    ]


def _label_rows(run: measured_lib.Measured) -> list[dict[str, Any]]:
    """Returns the figures of the labels with most instances, by label."""
    by_label = run.sets.by_label()
    order = np.argsort(-by_label["support"], kind="stable")[:_MOST_LABELS]
    return [
        {
            "name": run.label_name(label),
            "trained": int(run.run.label_counts[label]),
            **{key: column[label] for key, column in by_label.items()},
        }
        for label in order.tolist()
    ]


def _are_comparable(
    run: measured_lib.Measured, other: measured_lib.Measured
) -> bool:
    """Tells whether both were scored on the same instances, by the same ks."""
    first, second = run.answers.truth, other.answers.truth
    return (
        run.shares.keys == other.shares.keys
        and np.array_equal(first.splits, second.splits)
        and np.array_equal(first.ids, second.ids)
    )


def _comparison(
    run: measured_lib.Measured, other: measured_lib.Measured | None
) -> str:
    if other is None or _are_comparable(run, other):
        return ""
    return (
        "The two runs were not scored on the same instances, labels and k, so "
        "their figures are not compared."
    )


def _learning_curves(runs: Sequence[measured_lib.Measured]) -> list:
    """Returns figures of loss and metrics by epoch; none without epochs."""
    ks = runs[0].run.config.metric_ks
    found = []
    for key in ("loss", f"P@{ks[0]}", f"nDCG@{ks[-1]}", f"PSP@{ks[-1]}"):
        lines = []
        for number, run in enumerate(runs):
            points = [
                (entry["epoch"], entry[key])
                for entry in run.history
                if key in entry
            ]
            if points:
                x, y = zip(*points, strict=True)
                lines.append(figures.Curve(run.name, x, y, number))
        if lines:
            found.append((key, figures.curves(lines, "epoch", key)))
    return found


def _decile_figure(runs: Sequence[measured_lib.Measured]):
    k = runs[0].run.config.metric_ks[-1]
    by_run = [
        [
            row.get(f"MicroRecall@{k}", 0)
            for row in run.metrics.result_by_decile()
        ]
        for run in runs
    ]
    names = [str(number) for number in range(1, metrics.NUM_DECILES + 1)]
    return figures.bars(
        names,
        by_run,
        [run.name for run in runs],
        "tenth of the labels, rarest first",
        f"recall@{k}, %",
    )


def _data_rows(run: measured_lib.Measured) -> list[tuple[str, str]]:
    facts, counts = run.run.facts, run.run.label_counts
    lengths = run.answers.truth.lengths()
    seen = int(np.count_nonzero(counts))
    rows = [
        ("training instances", f"{facts.num_train:,}"),
        ("instances scored here", f"{run.num_instances:,}"),
        ("features", f"{facts.num_features:,}"),
        ("read from", "text" if facts.is_text else "numbers"),
        ("labels", f"{facts.num_labels:,}"),
        ("of them seen in training", f"{seen:,}"),
        (
            "labels of a training instance",
            f"{counts.sum() / facts.num_train:.2f} on average",
        ),
        (
            "labels of an instance scored here",
            f"{lengths.mean():.2f} on average, {lengths.min():,} to "
            f"{lengths.max():,}",
        ),
        ("instances without a label", f"{int((lengths == 0).sum()):,}"),
    ]
    if seen:
        rows.append(
            (
                "training instances of a label",
                f"median {int(np.median(counts))}, at most "
                f"{int(counts.max()):,}",
            )
        )
    return rows


def _data_figures(run: measured_lib.Measured) -> list:
    counts = np.sort(run.run.label_counts)[::-1]
    counts = counts[counts > 0]
    found = []
    if len(counts):
        ranks = np.unique(
            np.geomspace(1, len(counts), _PLOTTED).astype(np.int64)
        )
        line = figures.Curve("labels", ranks, counts[ranks - 1])
        found.append(
            figures.curves(
                [line], "rank of the label", "training instances", True
            )
        )
    lengths = run.answers.truth.lengths()
    most = int(np.percentile(lengths, 99))
    histogram = np.bincount(np.minimum(lengths, most + 1))
    line = figures.Curve("instances", range(len(histogram)), histogram)
    found.append(figures.curves([line], "labels of an instance", "instances"))
    return found


def _cost_rows(
    runs: Sequence[measured_lib.Measured],
) -> list[tuple[str, list[str]]]:
    rows = []
    columns = [_costs(run) for run in runs]
    for name in dict.fromkeys(key for column in columns for key in column):
        rows.append((name, [column.get(name, "") for column in columns]))
    return rows


def _costs(run: measured_lib.Measured) -> dict[str, str]:
    config, model = run.run.config, run.run.model
    size = sum(int(np.prod(weight.shape)) for weight in model.weights)
    rows = {
        "weights": f"{size:,}",
        "step of these weights": f"{run.run.step:,}",
        "scored here": (
            f"{run.num_instances / run.seconds:,.0f} instances a second"
        ),
    }
    steps = [e["step_ms"] for e in run.history if e.get("step_ms")]
    if steps:
        middle = statistics.median(steps)
        rows["median step of training"] = f"{middle:,.1f} ms"
        size = config.batch_size * config.accumulate_steps
        rows["training"] = f"{1000 * size / middle:,.0f} instances a second"
    name = "peak_memory_gib"  # of a run that was only re-ranked there is none
    memory = [entry[name] for entry in run.history if name in entry]
    if memory:
        rows["peak memory of training"] = f"{max(memory):.2f} GiB"
    rows["started"] = run.about["started"]
    rows |= {name: version for name, version in run.about["versions"].items()}
    return rows


def _settings(config: config_lib.Config) -> list[str]:
    """Returns the fields that are not the defaults."""
    return config_lib.differences(config, config_lib.Config())


def _differences(
    run: measured_lib.Measured, other: measured_lib.Measured | None
) -> list[str]:
    if other is None:
        return []
    return config_lib.differences(run.run.config, other.run.config)
