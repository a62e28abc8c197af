"""The pictures of a diagnosis: one PNG a finding."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from tfxml.run import diagnosis


def can_draw() -> bool:
    """Tells whether Matplotlib, the extra `plots`, is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(
    findings: Sequence[diagnosis.Finding], folder: pathlib.Path
) -> list[pathlib.Path]:
    """Draws each finding into a folder; returns the files."""
    importlib.import_module("matplotlib").use("Agg")
    pyplot = importlib.import_module("matplotlib.pyplot")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for finding in findings:
        figure, axes = pyplot.subplots(figsize=(5, 4))
        _DRAWERS[finding.name](axes, finding.details)
        axes.set_title(f"{finding.name}: {finding.number:.1f} {finding.unit}")
        figure.tight_layout()
        files.append(folder / f"{finding.name.replace(' ', '_')}.png")
        figure.savefig(files[-1])
        pyplot.close(figure)
    return files


def _dependence(axes: Any, details: dict) -> None:
    axes.hist(details["permuted"], bins=20, label="permuted labels")
    axes.axvline(details["observed"], color="red", label="observed")
    axes.set_xlabel("distance of co-occurrences from those expected")
    axes.legend()


def _calibration(axes: Any, details: dict) -> None:
    points = details["reliability"]
    axes.plot([0, 1], [0, 1], linestyle=":", color="grey")
    axes.plot(
        [one["score"] for one in points],
        [one["share"] for one in points],
        marker="o",
    )
    axes.set_xlabel("mean score")
    axes.set_ylabel("share that is right")


def _frequency(axes: Any, details: dict) -> None:
    axes.bar(range(1, 11), details["recalls"])
    axes.set_xlabel("tenth of the labels, rarest first")
    axes.set_ylabel("recall@5, %")


def _data(axes: Any, details: dict) -> None:
    curve = details["curve"]
    if curve:
        axes.semilogx(
            [one["rows"] for one in curve],
            [one["P@1"] for one in curve],
            marker="o",
        )
        axes.set_xlabel("training rows")
    else:
        axes.bar(
            ["training", "held out"], [details["training"], details["held_out"]]
        )
    axes.set_ylabel("P@1, %")


def _head(axes: Any, details: dict) -> None:
    axes.bar(["head", "others"], [details["head"], details["others"]])
    axes.set_ylabel("weights")


_DRAWERS: dict[str, Callable[[Any, dict], None]] = {
    "dependence": _dependence,
    "calibration": _calibration,
    "rare labels": _frequency,
    "data": _data,
    "head": _head,
}
