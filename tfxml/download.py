"""Fetches a data set by its name: `python -m tfxml.download --dataset=NAME`."""

from __future__ import annotations

import pathlib

from absl import flags as absl_flags

from tfxml.data.catalogue import known_sets, named_sets
from tfxml.run import console, flags, paths


def download(name: str, data_dir: str, mirror: str = "") -> None:
    """Fetches a data set, and says what came beside what is known of it."""
    entry = named_sets.entry_of(name)
    found = named_sets.ensure(entry, data_dir, mirror, _Bar())
    print(f"data      {found.path}: {found.format}, {found.splits}")
    for difference in named_sets.differences(entry, found):
        print(f"          differs from the repository's table: {difference}")
    if entry.note:
        print(f"note      {entry.note}")


class _Bar:
    """Says how much has come, every second."""

    def __init__(self):
        self._line = console.Line()

    def __call__(self, done: int, total: int | None) -> None:
        of = f" of {total:,}" if total else ""
        self._line.write(done == total, lambda: f"fetched {done:,}{of} bytes")


def define_flags() -> None:
    absl_flags.DEFINE_enum(
        "dataset", "", ["", *known_sets.names()], "Which; empty: list them all."
    )
    paths.define(
        "data_dir", "", "The folder that is written; empty: data/<dataset>."
    )
    absl_flags.DEFINE_string(
        "mirror", "", "The only mirror that is asked; empty: all in turn."
    )


def main() -> None:
    values = absl_flags.FLAGS
    if not values.dataset:
        print(known_sets.table())
        return
    folder = values.data_dir or str(pathlib.Path("data") / values.dataset)
    download(values.dataset, folder, values.mirror)


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
