"""Downloads a data set by name: `python -m tfxml.download --dataset=NAME`."""

from __future__ import annotations

import pathlib

from absl import flags as absl_flags

from tfxml.data.catalogue import known_sets
from tfxml.run import flags, paths, progress_line, remote


def download(name: str, data_dir: str, mirror: str = "") -> None:
    """Downloads a data set; prints what it holds, and what is unexpected."""
    # Here, so that flags are checked before TensorFlow is imported.
    from tfxml.data.catalogue import named_sets

    entry = named_sets.entry_of(name)
    data_dir = paths.local(data_dir, "data_dir")
    folder = named_sets.ensure(entry, data_dir, mirror, _Bar())
    remote.publish(data_dir)
    print(f"data      {folder.path}: {folder.format}, {folder.splits}")
    for difference in named_sets.differences(entry, folder):
        print(f"          differs from the repository's table: {difference}")
    if entry.note:
        print(f"note      {entry.note}")


class _Bar:
    """Prints how much has been downloaded, once a second."""

    def __init__(self):
        self._line = progress_line.Line()

    def __call__(self, received: int, total: int | None) -> None:
        of_total = f" of {total:,}" if total else ""
        self._line.write(
            received == total, lambda: f"fetched {received:,}{of_total} bytes"
        )


def define_flags() -> None:
    absl_flags.DEFINE_enum(
        "dataset",
        "",
        ["", *known_sets.names()],
        "The data set. Empty: list them all.",
    )
    paths.define("data_dir", "", "The folder to write. Empty: data/<dataset>.")
    absl_flags.DEFINE_string(
        "mirror", "", "The only mirror to use. Empty: try all in turn."
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
