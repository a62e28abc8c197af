"""Prepares a data set: `python -m tfxml.prepare --data_dir=... --output=...`.

Reads any format once, checks it, and writes compact shards that training reads
instead, however large the data. Safe to kill at any time: rerun the same
command and it resumes, with byte-identical output.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.run import (
    early_checks,
    flags,
    paths,
    progress_line,
    remote,
    tensorflow_start,
)


def prepare(
    config: config_lib.Config,
    data_dir: str,
    output: str,
    num_shards: int = 0,
    num_workers: int = 1,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict:
    """Prepares a folder with the settings of a config; returns the manifest.

    Also writes the data card, `DATA_CARD.md`, and its plots.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    from tfxml.data.formats import folder, read_options
    from tfxml.data.records import data_card, preparing
    from tfxml.run import splits, text_inputs

    source = folder.detect(paths.absolute(data_dir, "data_dir"), config)
    output = paths.local(output, "output")
    if source.format == "records":
        raise ValueError(
            "`data_dir` must be a data set that is not prepared yet. "
            f"Received: {data_dir=}"
        )
    is_text = source.num_features is None
    max_tokens = text_inputs.max_tokens(config)
    manifest = preparing.prepare(
        source,
        output,
        splits.settings(config, is_text),
        config.bad_rows,
        num_shards,
        num_workers,
        progress,
        reading=read_options.given(config),
        with_tokens=max_tokens is not None,
        max_tokens=max_tokens,
    )
    data_card.write(output, manifest)
    remote.publish(output)
    return manifest


class _Bar:
    """A progress bar on standard error."""

    def __init__(self):
        self._line = progress_line.Line()
        self._start = time.monotonic()
        self._rows_before: int | None = None  # rows done before this call

    def __call__(self, stage: str, done: int, total: int) -> None:
        if not total:
            self._line.write(True, lambda: stage)
            return
        if self._rows_before is None:
            self._rows_before = done
        rows_before = self._rows_before
        self._line.write(
            done >= total, lambda: self._text(stage, rows_before, done, total)
        )

    def _text(self, stage: str, rows_before: int, done: int, total: int) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        filled = int(30 * done / total)
        return (
            f"{stage} [{'#' * filled:<30}] {done:,}/{total:,} rows, "
            f"{(done - rows_before) / seconds:,.0f} rows/s"
        )


def define_flags() -> None:
    flags.define_config()
    paths.define("data_dir", None, "The folder of the data set.")
    paths.define("output", None, "The folder to write.")
    absl_flags.mark_flags_as_required(["data_dir", "output"])
    absl_flags.DEFINE_integer(
        "num_shards",
        0,
        "Shards per split. 0: up to 16, depending on its size.",
        lower_bound=0,
    )
    absl_flags.DEFINE_integer(
        "num_workers", os.cpu_count(), "Number of processes.", lower_bound=1
    )


def main() -> None:
    values = absl_flags.FLAGS
    config = flags.read_config()
    early_checks.check_folder(values.data_dir)
    tensorflow_start.quietly()
    from tfxml.data.records import data_card, record_files

    manifest = prepare(
        config,
        values.data_dir,
        values.output,
        values.num_shards,
        values.num_workers,
        _Bar(),
    )
    output = paths.local(values.output, "output")
    print(data_card.text(output, manifest))
    where = pathlib.Path(output) / record_files.MANIFEST
    print(f"prepared  {remote.name_of(where)}")


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
