"""Figures as SVG that takes the colours of the page around it, light or dark.

Matplotlib draws in stand-in colours; each is replaced by a variable of the
page's style.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Any

import markupsafe
import matplotlib
import numpy as np
from matplotlib import figure as figure_lib
from matplotlib import ticker

# Stand-in colours, unlike any that Matplotlib has of itself.
INK, SOFT, LINE = "#010203", "#010204", "#010205"
SERIES = ("#010210", "#010211", "#010212")
_VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    SERIES[0]: "--bar",
    SERIES[1]: "--against",
    SERIES[2]: "--third",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tfxml",  # the same figure, the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
_SIZE = (4.6, 2.7)  # inches
_MARKED = 30  # points up to which each has a mark


@dataclasses.dataclass(frozen=True)
class Curve:
    """A line of a figure."""

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    series: int = 0
    is_dashed: bool = False


def curves(
    curves: Sequence[Curve],
    x_name: str,
    y_name: str,
    is_log: bool = False,
) -> markupsafe.Markup:
    """Returns lines over a common axis, on log scales if so wanted."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes(x_name, y_name)
        for curve in curves:
            axes.plot(
                curve.x,
                curve.y,
                label=_plain(curve.name),
                color=SERIES[curve.series % len(SERIES)],
                linestyle="--" if curve.is_dashed else "-",
                marker="o" if len(curve.x) <= _MARKED else "",
                markersize=3.5,
            )
        if is_log:
            axes.set_xscale("log")
            axes.set_yscale("log")
        elif all(float(x).is_integer() for one in curves for x in one.x):
            axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        if len(curves) > 1:
            axes.legend(fontsize=9)
        words = f"{y_name} over {x_name}: " + ", ".join(
            f"{one.name} from {one.y[0]:.4g} to {one.y[-1]:.4g}"
            for one in curves
            if len(one.y)
        )
        return _svg(figure, words)


def bars(
    names: Sequence[str],
    heights: Sequence[Sequence[float]],
    series: Sequence[str],
    x_name: str,
    y_name: str,
) -> markupsafe.Markup:
    """Returns groups of bars, one group a name, one bar of it a series."""
    with matplotlib.rc_context({**_STYLE, "axes.grid.axis": "y"}):
        figure, axes = _axes(x_name, y_name)
        width = 0.8 / len(series)
        places = np.arange(len(names))
        for number, (name, values) in enumerate(
            zip(series, heights, strict=True)
        ):
            axes.bar(
                places + width * (number - (len(series) - 1) / 2),
                values,
                width,
                color=SERIES[number % len(SERIES)],
                label=_plain(name),
            )
        axes.set_xticks(places, [_plain(name) for name in names])
        if len(series) > 1:
            axes.legend(fontsize=9)
        words = f"{y_name} by {x_name}: " + ", ".join(
            f"{name} {' and '.join(f'{value:.4g}' for value in group)}"
            for name, *group in zip(names, *heights, strict=True)
        )
        return _svg(figure, words)


def reliability(
    points: Sequence[dict[str, float]], error: float
) -> markupsafe.Markup:
    """Returns a reliability diagram.

    Args:
        points: mean `score`, `share` that is right and `number` of each bin.
        error: the expected calibration error, in percent.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _axes("mean score", "share that is right")
        axes.plot([0, 1], [0, 1], color=SOFT, linestyle=":", linewidth=1)
        axes.plot(
            [one["score"] for one in points],
            [one["share"] for one in points],
            color=SERIES[0],
            marker="o",
            markersize=4,
        )
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        return _svg(
            figure,
            f"Reliability diagram, expected calibration error {error:.2f}%",
        )


def _axes(x_name: str, y_name: str):
    figure = figure_lib.Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(_plain(x_name))
    axes.set_ylabel(_plain(y_name))
    return figure, axes


def _plain(text: str) -> str:
    """Returns text that Matplotlib does not read as mathematics, or hides."""
    return text.replace("$", r"\$").lstrip("_") or " "


def _svg(figure: figure_lib.Figure, words: str) -> markupsafe.Markup:
    sink = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(sink, format="svg", transparent=True, metadata=nothing)
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    # Names that nothing refers to would occur once a figure.
    used = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(
        r' id="([\w.-]+)"',
        lambda match: match[0] if match[1] in used else "",
        text,
    )
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text, count=2)
    label = markupsafe.escape(words)
    return markupsafe.Markup(
        text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
    )
