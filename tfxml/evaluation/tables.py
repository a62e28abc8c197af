"""Formats metrics as the field's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def headline_keys(ks: Sequence[int]) -> list[str]:
    """Returns the keys of the field's table: P, nDCG (k > 1) and PSP."""
    return [
        f"{name}@{k}"
        for name in ("P", "nDCG", "PSP")
        for k in ks
        if name != "nDCG" or k > 1
    ]


def format_metrics(result: Mapping[str, float], keys: Sequence[str]) -> str:
    """Returns two aligned lines: the keys, and their values in percent."""
    return align([keys, _cells(result, keys)])


def format_rows(
    rows: Mapping[str, Mapping[str, float]], keys: Sequence[str]
) -> str:
    """Returns aligned lines: the keys, then a line for each name's values."""
    width = max(map(len, rows))
    lines = align([keys, *(_cells(row, keys) for row in rows.values())])
    return "\n".join(
        f"{name:<{width}}  {line}"
        for name, line in zip(["", *rows], lines.split("\n"), strict=True)
    )


def format_deciles(
    deciles: Sequence[Mapping[str, float]],
    ks: Sequence[int],
) -> str:
    """Returns aligned lines: a header, then one for each decile from 1.

    `deciles` are as `RankingMetrics.result_by_decile` returns them.
    """
    keys = ["num_labels", "share"]
    keys += [f"{name}@{k}" for name in ("P", "MicroRecall") for k in ks]
    lines = [["decile", *keys]]
    for number, decile in enumerate(deciles, start=1):
        lines.append([str(number), *_cells(decile, keys)])
    return align(lines)


def format_sets(
    result: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]
) -> str:
    """Returns aligned lines: a figure of sets each, with its interval."""
    lines = [["", "%", "95 % interval"]]
    for key, value in result.items():
        low, high = intervals[key]
        lines.append([key, f"{value:.2f}", f"{low:.2f} to {high:.2f}"])
    return align(lines)


def _cells(values: Mapping[str, float], keys: Sequence[str]) -> list[str]:
    missing = [key for key in keys if key not in values]
    if missing:
        raise ValueError(
            f"`keys` must be among {list(values)}. Received: keys={missing}"
        )
    return [
        str(values[key])
        if isinstance(values[key], int)
        else f"{values[key]:.2f}"
        for key in keys
    ]


def align(lines: Sequence[Sequence[str]]) -> str:
    """Joins cells into lines, each column flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) for cell, width in zip(line, widths, strict=True)
        )
        for line in lines
    )
