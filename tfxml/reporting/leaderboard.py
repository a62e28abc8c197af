"""A table of all runs in a folder, best first: one HTML file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from tfxml import config as config_lib
from tfxml.evaluation import tables
from tfxml.pages import assets
from tfxml.run import evaluations, paths
from tfxml.run import workdir as workdir_lib

_SETTINGS = 12  # that differ and are shown


@dataclasses.dataclass(frozen=True)
class Entry:
    """A run of the folder.

    Attributes:
        name: its folder, below the one that is looked at.
        config: its recipe.
        data: what tells its data from others.
        data_name: how a person calls them.
        metrics: the final ones or, before the end, the last; empty: none.
        last: its last evaluation; empty: none.
        is_finished: whether it came to its end.
        started: when.
    """

    name: str
    config: config_lib.Config
    data: tuple
    data_name: str
    metrics: dict[str, float]
    last: dict[str, float]
    is_finished: bool
    started: str


def read(folder: str | pathlib.Path) -> tuple[list[Entry], list[str]]:
    """Returns the runs below a folder, and the ones that cannot be read.

    Raises:
        ValueError: if there are no runs.
    """
    root = pathlib.Path(paths.local(folder, "runs"))
    entries, broken = [], []
    for manifest in sorted(root.glob("**/manifest.json")):
        path = manifest.parent
        name = path.relative_to(root).as_posix()
        if any(part.startswith(".") for part in path.parts[len(root.parts) :]):
            continue
        try:
            entries.append(_entry(path, name))
        except (OSError, ValueError, LookupError) as error:
            broken.append(f"{name}: {error}")
    if not entries:
        raise ValueError(
            "`runs` must be a folder with run directories in it. "
            f"Received: runs={folder}"
            + (f", with {broken[0]}" if broken else "")
        )
    return entries, broken


def render(folder: str | pathlib.Path) -> str:
    """Returns the page.

    Runs of other data have a table of their own: their figures cannot be
    compared. A table is in the order of its first metric.
    """
    entries, broken = read(folder)
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.data, []).append(entry)
    return assets.render(
        "leaderboard.html",
        style=assets.read("base.css") + assets.read("report.css"),
        name=pathlib.Path(folder).resolve().name,
        tables=[_table(group) for group in groups.values()],
        broken=broken,
        number=len(entries),
    )


def _entry(path: pathlib.Path, name: str) -> Entry:
    workdir = workdir_lib.Workdir(path)
    config, facts = workdir.read()
    history = workdir.read_metrics()
    result = workdir.read_result()
    metrics = result or (
        evaluations.final_entry(config, history) if history else {}
    )
    data = workdir.read_fingerprint()
    return Entry(
        name,
        config,
        tuple(sorted(data.items())),
        pathlib.Path(facts.data_dir).name or "generated",
        {key: metrics[key] for key in config.metric_keys() if key in metrics},
        history[-1] if history else {},
        result is not None,
        workdir.read_about()["started"],
    )


def _table(entries: Sequence[Entry]) -> dict[str, Any]:
    """Returns the columns and rows of runs of the same data."""
    keys = [
        key
        for key in tables.headline_keys(entries[0].config.metric_ks)
        if any(key in entry.metrics for entry in entries)
    ]

    def place(entry: Entry) -> tuple[float, str]:
        first = entry.metrics.get(keys[0], -1.0) if keys else 0.0
        return -first, entry.name

    best = {
        key: max(one.metrics[key] for one in entries if key in one.metrics)
        for key in keys
    }
    fields = [
        field.name
        for field in dataclasses.fields(config_lib.Config)
        if len({getattr(one.config, field.name) for one in entries}) > 1
    ]
    return {
        "data": entries[0].data_name,
        "facts": [
            (name, f"{value:,}")
            for name, value in dict(entries[0].data).items()
            if isinstance(value, int)
        ],
        "keys": keys,
        "best": best,
        "entries": sorted(entries, key=place),
        "fields": fields[:_SETTINGS],
        "num_more": max(0, len(fields) - _SETTINGS),
    }
