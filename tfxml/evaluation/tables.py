"""Prints metrics as the field's table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def format_metrics(
    result: Mapping[str, float],
    keys: Sequence[str] = (
        "P@1",
        "P@3",
        "P@5",
        "nDCG@3",
        "nDCG@5",
        "PSP@1",
        "PSP@3",
        "PSP@5",
    ),
) -> str:
    """Returns two aligned lines: the keys, and their values in percent."""
    return _align([keys, _cells(result, keys)])


def format_deciles(
    deciles: Sequence[Mapping[str, float]],
    keys: Sequence[str] = (
        "num_labels",
        "share",
        "P@1",
        "P@3",
        "P@5",
        "MicroRecall@1",
        "MicroRecall@3",
        "MicroRecall@5",
    ),
) -> str:
    """Returns aligned lines: a header, then one for each decile from 1.

    `deciles` are as `RankingMetrics.result_by_decile` returns them.
    """
    lines = [["decile", *keys]]
    for number, decile in enumerate(deciles, start=1):
        lines.append([str(number), *_cells(decile, keys)])
    return _align(lines)


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


def _align(lines: Sequence[Sequence[str]]) -> str:
    """Joins cells into lines, each column flush right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) for cell, width in zip(line, widths, strict=True)
        )
        for line in lines
    )
