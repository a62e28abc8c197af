"""What a prepared data set holds, for people: a table and two plots.

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
        for kind, number in sorted(facts["bad_rows"].items()):
            example = facts["bad_examples"][kind]
            lines.append(f"\n{split}: {number:,} without {kind}: {example}")
    if "train" in manifest["splits"]:
        lines += ["", _deciles(_label_counts(folder, "train"))]
    return "\n".join(lines)


def write(folder: str | os.PathLike, manifest: dict) -> None:
    """Writes DATA_CARD.md and the plots that it shows."""
    folder = pathlib.Path(folder)
    plots = []
    for split, facts in manifest["splits"].items():
        pairs = np.array(facts["labels_per_instance"]).reshape(-1, 2)
        name = f"labels_per_instance_{split}.svg"
        _write_plot(
            folder / name,
            f"{split}: instances by number of labels",
            "labels of an instance",
            "instances",
            pairs[:, 0] + 1,
            pairs[:, 1],
            offset=1,
        )
        plots.append(name)
        counts = np.sort(_label_counts(folder, split))[::-1]
        counts = counts[counts > 0]
        name = f"instances_per_label_{split}.svg"
        ranks = _spread(len(counts))
        _write_plot(
            folder / name,
            f"{split}: instances of each label",
            "rank of the label",
            "instances",
            ranks + 1,
            counts[ranks],
        )
        plots.append(name)
    shown = "\n".join(f"![{name}]({name})" for name in plots)
    card = f"# Data card\n\n{text(folder, manifest)}\n\n{shown}\n"
    atomic_files.write_bytes(folder / "DATA_CARD.md", card.encode())


def _row(split: str, facts: dict) -> str:
    number = facts["num_instances"]
    names = ["features", "labels"]
    if "tokens_per_instance" in facts:
        names.append("tokens")
    histograms = [
        np.array(facts[f"{name}_per_instance"]).reshape(-1, 2) for name in names
    ]
    features, labels = histograms[:2]
    size = sum(
        file["bytes"]
        for shard in facts["shards"]
        for file in shard["files"].values()
    )
    # int64 splits, int32 ids, float32 values, as they are held in memory.
    in_memory = 4 * int(features.prod(1).sum()) + sum(
        4 * int(histogram.prod(1).sum()) + 8 * (number + 1)
        for histogram in histograms
    )
    cells = (
        split,
        f"{number:,}",
        *(_spread_of(histogram, number) for histogram in histograms),
        f"{_without(features):,}",
        f"{_without(labels):,}",
        f"{facts['num_duplicates']:,}",
        f"{sum(facts['bad_rows'].values()):,}",
        f"{size:,}",
        f"{100 * size / in_memory:.0f}%",
    )
    return f"| {' | '.join(cells)} |"


def _without(pairs: np.ndarray) -> int:
    return int(pairs[pairs[:, 0] == 0, 1].sum())


def _spread_of(pairs: np.ndarray, number: int) -> str:
    """Returns mean and range of a histogram's lengths."""
    if not number:
        return "-"
    mean = pairs.prod(1).sum() / number
    return f"{mean:.2f} ({pairs[0, 0]:,} to {pairs[-1, 0]:,})"


def _deciles(counts: np.ndarray) -> str:
    """Returns the table of label frequencies in train, frequent ones first."""
    counts = np.sort(counts)[::-1]
    total = max(int(counts.sum()), 1)
    lines = [
        "| labels by frequency in train | instances each | share of all |",
        "| --- | --- | --- |",
    ]
    for number, part in enumerate(np.array_split(counts, _DECILES), 1):
        if len(part):
            lines.append(
                f"| decile {number}, {len(part):,} labels | "
                f"{part[-1]:,} to {part[0]:,} | "
                f"{100 * part.sum() / total:.1f}% |"
            )
    return "\n".join(lines)


def _label_counts(folder: str | os.PathLike, split: str) -> np.ndarray:
    path = pathlib.Path(folder) / f"{split}.label_counts.npy"
    return np.load(path, allow_pickle=False)


def _spread(number: int) -> np.ndarray:
    """Returns at most 400 ranks in [0, number), even on a log scale."""
    if not number:
        return np.zeros(0, np.int64)
    ranks = np.geomspace(1, number, 400).astype(np.int64) - 1
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
    x_ticks, x_places = _axis(x, _WIDTH)
    y_ticks, y_places = _axis(y, _HEIGHT)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _label(_WIDTH / 2, 20, title, "middle"),
        _label(_WIDTH / 2, _HEIGHT - 8, x_name, "middle"),
        _label(6, _MARGIN - 14, y_name, "start"),
    ]
    bottom, right = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    for value, place in x_ticks:
        parts.append(_line(place, _MARGIN, place, bottom))
        parts.append(
            _label(place, bottom + 16, f"{value - offset:,}", "middle")
        )
    for value, place in y_ticks:
        place = _HEIGHT - place
        parts.append(_line(_MARGIN, place, right, place))
        parts.append(_label(_MARGIN - 5, place + 4, f"{value:,}", "end"))
    parts += [
        f'<circle cx="{left:.1f}" cy="{_HEIGHT - up:.1f}" r="2.5" '
        'fill="#1f6fb4"/>'
        for left, up in zip(x_places, y_places, strict=True)
    ]
    atomic_files.write_bytes(path, "\n".join([*parts, "</svg>\n"]).encode())


def _axis(values: np.ndarray, size: int):
    """Returns (value, place) of the powers of ten, and the values' places."""
    most = max(int(values.max(initial=1)), 2)
    ticks = [10**power for power in range(len(str(most)))]
    room = size - 2 * _MARGIN

    def place(value):
        return _MARGIN + room * np.log(np.maximum(value, 1)) / np.log(most)

    return [(tick, float(place(tick))) for tick in ticks], place(values)


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke="#ddd"/>'
    )
