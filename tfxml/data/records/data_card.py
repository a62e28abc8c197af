"""The data card of a prepared data set: a table and plots.

# N instances, D features, L labels
"""

from __future__ import annotations

import os
import pathlib

import numpy as np

from tfxml.data import atomic_files

_WIDTH, _HEIGHT, _MARGIN = 640, 320, 56  # of a plot, in pixels
_DECILES = 10


def text(folder: str | os.PathLike, manifest: dict) -> str:
    """Returns the card as lines for a terminal and for Markdown."""
    columns = [
        "split",
        "instances N",
        "features each",
        "labels each",
        *(["tokens each"] if "tokens" in manifest else []),
        "no features",
        "no labels",
        "duplicates",
        "bad rows skipped",
        "bytes",
        "of CSR arrays",
    ]
    lines = [
        f"features D {manifest['num_features']:,}, "
        f"labels L {manifest['num_labels']:,}, "
        f"{'text, ' if manifest['is_text'] else ''}"
        f"settings {manifest['settings']}",
        "",
        f"| {' | '.join(columns)} |",
        "| --- " * len(columns) + "|",
    ]
    for split, facts in manifest["splits"].items():
        lines.append(_row(split, facts))
    for split, facts in manifest["splits"].items():
        for kind, count in sorted(facts["bad_rows"].items()):
            example = facts["bad_examples"][kind]
            lines.append(f"\n{split}: {count:,} without {kind}: {example}")
    if "train" in manifest["splits"]:
        lines += ["", _deciles(_label_counts(folder, "train"))]
    return "\n".join(lines)


def write(folder: str | os.PathLike, manifest: dict) -> None:
    """Writes DATA_CARD.md and the plots that it shows."""
    folder = pathlib.Path(folder)
    plots = []
    for split, facts in manifest["splits"].items():
        histogram = np.array(facts["labels_per_instance"]).reshape(-1, 2)
        name = f"labels_per_instance_{split}.svg"
        _write_plot(
            folder / name,
            f"{split}: instances by number of labels",
            "labels of an instance",
            "instances",
            histogram[:, 0] + 1,
            histogram[:, 1],
            offset=1,
        )
        plots.append(name)
        counts = np.sort(_label_counts(folder, split))[::-1]
        counts = counts[counts > 0]
        name = f"instances_per_label_{split}.svg"
        ranks = _log_spaced_ranks(len(counts))
        _write_plot(
            folder / name,
            f"{split}: instances of each label",
            "rank of the label",
            "instances",
            ranks + 1,
            counts[ranks],
        )
        plots.append(name)
    images = "\n".join(f"![{name}]({name})" for name in plots)
    card = f"# Data card\n\n{text(folder, manifest)}\n\n{images}\n"
    atomic_files.write_bytes(folder / "DATA_CARD.md", card.encode())


def _row(split: str, facts: dict) -> str:
    num_instances = facts["num_instances"]
    quantities = ["features", "labels"]
    if "tokens_per_instance" in facts:
        quantities.append("tokens")
    histograms = [
        np.array(facts[f"{name}_per_instance"]).reshape(-1, 2)
        for name in quantities
    ]
    features, labels = histograms[:2]
    size = sum(
        file["bytes"]
        for shard in facts["shards"]
        for file in shard["files"].values()
    )
    # int64 splits, int32 ids and float32 values, as in memory.
    in_memory = 4 * int(features.prod(1).sum()) + sum(
        4 * int(histogram.prod(1).sum()) + 8 * (num_instances + 1)
        for histogram in histograms
    )
    cells = (
        split,
        f"{num_instances:,}",
        *(
            _mean_and_range(histogram, num_instances)
            for histogram in histograms
        ),
        f"{_num_empty(features):,}",
        f"{_num_empty(labels):,}",
        f"{facts['num_duplicates']:,}",
        f"{sum(facts['bad_rows'].values()):,}",
        f"{size:,}",
        f"{100 * size / in_memory:.0f}%",
    )
    return f"| {' | '.join(cells)} |"


def _num_empty(histogram: np.ndarray) -> int:
    return int(histogram[histogram[:, 0] == 0, 1].sum())


def _mean_and_range(histogram: np.ndarray, num_instances: int) -> str:
    """Returns mean and range of a histogram's lengths."""
    if not num_instances:
        return "-"
    mean = histogram.prod(1).sum() / num_instances
    return f"{mean:.2f} ({histogram[0, 0]:,} to {histogram[-1, 0]:,})"


def _deciles(counts: np.ndarray) -> str:
    """Returns the table of label frequencies in train, frequent ones first."""
    counts = np.sort(counts)[::-1]
    total = max(int(counts.sum()), 1)
    lines = [
        "| labels by frequency in train | instances each | share of all |",
        "| --- | --- | --- |",
    ]
    for number, decile_counts in enumerate(np.array_split(counts, _DECILES), 1):
        if len(decile_counts):
            lines.append(
                f"| decile {number}, {len(decile_counts):,} labels | "
                f"{decile_counts[-1]:,} to {decile_counts[0]:,} | "
                f"{100 * decile_counts.sum() / total:.1f}% |"
            )
    return "\n".join(lines)


def _label_counts(folder: str | os.PathLike, split: str) -> np.ndarray:
    path = pathlib.Path(folder) / f"{split}.label_counts.npy"
    return np.load(path, allow_pickle=False)


def _log_spaced_ranks(num_ranks: int) -> np.ndarray:
    """Returns at most 400 ranks in [0, number), even on a log scale."""
    if not num_ranks:
        return np.zeros(0, np.int64)
    ranks = np.geomspace(1, num_ranks, 400).astype(np.int64) - 1
    return np.unique(ranks)


def _write_plot(
    path: pathlib.Path,
    title: str,
    x_name: str,
    y_name: str,
    x: np.ndarray,
    y: np.ndarray,
    offset: int = 0,
) -> None:
    """Writes dots on two log scales as SVG, x being shifted by `offset`."""
    x_ticks, x_positions = _axis(x, _WIDTH)
    y_ticks, y_positions = _axis(y, _HEIGHT)
    elements = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _label(_WIDTH / 2, 20, title, "middle"),
        _label(_WIDTH / 2, _HEIGHT - 8, x_name, "middle"),
        _label(6, _MARGIN - 14, y_name, "start"),
    ]
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    for value, position in x_ticks:
        elements.append(_line(position, _MARGIN, position, bottom))
        elements.append(
            _label(position, bottom + 16, f"{value - offset:,}", "middle")
        )
    for value, position in y_ticks:
        position = _HEIGHT - position
        elements.append(_line(_MARGIN, position, right, position))
        elements.append(_label(_MARGIN - 5, position + 4, f"{value:,}", "end"))
    elements += [
        f'<circle cx="{left:.1f}" cy="{_HEIGHT - up:.1f}" r="2.5" '
        'fill="#1f6fb4"/>'
        for left, up in zip(x_positions, y_positions, strict=True)
    ]
    atomic_files.write_bytes(path, "\n".join([*elements, "</svg>\n"]).encode())


def _axis(values: np.ndarray, size: int):
    """Returns (value, position) of powers of ten, and the values' positions."""
    max_value = max(int(values.max(initial=1)), 2)
    ticks = [10**power for power in range(len(str(max_value)))]
    length = size - 2 * _MARGIN

    def position(value):
        return _MARGIN + length * np.log(np.maximum(value, 1)) / np.log(
            max_value
        )

    return [(tick, float(position(tick))) for tick in ticks], position(values)


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="#ddd"/>'
    )
