"""Reports on runs: `python -m tfxml.report --workdir=...`.

Writes one HTML file, which needs nothing else and no network: learning curves,
metrics with intervals, by label frequency and against another run, calibration,
data, costs, and examples with what spoke for their labels.

    python -m tfxml.report --workdir=runs/a --compare=runs/b
    python -m tfxml.report --runs=runs

The second is a leaderboard of all runs in a folder.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib

from absl import app
from absl import flags as absl_flags

from tfxml.data import atomic_files
from tfxml.run import (
    checkpoint_flags,
    early_checks,
    flags,
    paths,
    remote,
    tensorflow_start,
)

_REPORT, _LEADERBOARD = "report.html", "leaderboard.html"


def write(
    workdir: str,
    compare: str = "",
    output: str = "",
    split: str = "",
    data_dir: str = "",
    checkpoint: str = "auto",
    num_examples: int = 5,
) -> pathlib.Path:
    """Writes the report of a run, and returns where.

    Args:
        workdir: the run directory.
        compare: that of another run; empty: none.
        output: the file; empty: report.html in the run directory.
        split, data_dir, checkpoint: see `evaluate.evaluate`.
        num_examples: good ones, and as many bad ones.
    """
    from tfxml.reporting import measured, run_page

    def measure(path: str) -> measured.Measured:
        return measured.measure(path, split, data_dir, checkpoint)

    page = run_page.render(
        measure(workdir), measure(compare) if compare else None, num_examples
    )
    return _written(output or os.path.join(workdir, _REPORT), page)


def write_leaderboard(runs: str, output: str = "") -> pathlib.Path:
    """Writes the leaderboard of the runs in a folder, and returns where.

    Args:
        runs: the folder.
        output: the file; empty: leaderboard.html in the folder.
    """
    from tfxml.reporting import leaderboard

    page = leaderboard.render(runs)
    return _written(output or os.path.join(runs, _LEADERBOARD), page)


def _written(output: str, page: str) -> pathlib.Path:
    path = pathlib.Path(paths.local(output, "output"))
    atomic_files.write_output(path, page.encode())
    remote.publish(path)
    return path


def main() -> None:
    values = absl_flags.FLAGS
    if bool(values.workdir) == bool(values.runs):
        raise app.UsageError(
            "one of --workdir and --runs must be given. Received: "
            f"--workdir={values.workdir or ''} --runs={values.runs or ''}"
        )
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"tfxml.report needs the package {name}: "
                "pip install 'tfxml[report]'"
            )
    if values.workdir:
        early_checks.check_run(values.workdir, values.data_dir)
        early_checks.check_output(
            values.output, values.workdir, data_dir=values.data_dir
        )
        if values.compare:
            early_checks.check_run(values.compare)
    else:
        early_checks.check_runs(values.runs)
        early_checks.check_output(values.output)
    tensorflow_start.quietly()
    if values.runs:
        path = write_leaderboard(values.runs, values.output)
    else:
        path = write(
            values.workdir,
            values.compare,
            values.output,
            values.split,
            values.data_dir,
            values.checkpoint,
            values.examples,
        )
    print(f"report    {remote.name_of(path)}")


def define_flags() -> None:
    paths.define("workdir", "", "The run directory of a trained run.")
    paths.define(
        "runs", "", "A folder of run directories: write a leaderboard of them."
    )
    paths.define("compare", "", "The run directory to compare with.")
    paths.define(
        "output",
        "",
        "The file to write. Empty: report.html in --workdir, leaderboard.html "
        "in --runs.",
    )
    paths.define(
        "data_dir", "", "The folder of the data set. Empty: that of training."
    )
    absl_flags.DEFINE_enum(
        "split",
        "",
        ["", "train", "dev", "test", "validation"],
        "The split to score. Empty: the one that training evaluated.",
    )
    absl_flags.DEFINE_enum(
        "checkpoint",
        "auto",
        checkpoint_flags.CHECKPOINTS,
        "Which checkpoint. auto: best if there is one.",
    )
    absl_flags.DEFINE_integer(
        "examples",
        5,
        "How many good answers to show, and how many bad ones.",
        lower_bound=0,
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
