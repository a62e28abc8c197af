"""Searches for a recipe: `python -m tfxml.sweep --sweep=... --search=...`.

    python -m tfxml.sweep --sweep=sweeps/a --data_dir=data --trials=30 \\
        --validation_fraction=0.1 --num_epochs=20 \\
        --search='learning_rate=1e-4..1e-2:log hidden_units=256|512|512,256'

Each trial is a run directory under `trials/`. What makes no progress is cut
short. Killed at any time, the same command goes on where it was. Rows of a test
split are never looked at.
"""

from __future__ import annotations

import importlib.util
import pathlib
import signal
import sys

from absl import app
from absl import flags as absl_flags

from tfxml.run import (
    early_checks,
    flags,
    paths,
    run_lock,
    tensorflow_start,
)
from tfxml.sweeping import search_space, sweep_plan

_SHOWN = 5


def main() -> None:
    values = absl_flags.FLAGS
    base = flags.read_config()
    if bool(values.search) == bool(values.search_file):
        raise app.UsageError(
            "one of --search and --search_file must be given. Received: "
            f"--search={values.search} --search_file={values.search_file}"
        )
    if importlib.util.find_spec("optuna") is None:
        raise ValueError(
            "tfxml.sweep needs the package optuna: pip install 'tfxml[sweep]'"
        )
    if values.search:
        space = search_space.of_line(values.search)
    else:
        search_file = paths.local(values.search_file, "search_file")
        text = pathlib.Path(search_file).read_text(encoding="utf-8")
        space = search_space.of_yaml(text)
    plan = sweep_plan.Plan(
        base,
        space,
        values.data_dir,
        values.trials,
        values.processes,
        values.prune,
    )
    plan.check()
    if not values.sweep:
        raise app.UsageError("--sweep must name a folder. Received: --sweep=")
    early_checks.check_data(base, values.data_dir)
    early_checks.check_workdir(values.sweep, "sweep")
    tensorflow_start.quietly()
    from tfxml.sweeping import study

    folder = pathlib.Path(values.sweep)
    with run_lock.RunLock(folder):
        sweep = study.Sweep(folder, plan)
        # As Ctrl-C does: what runs is told to save and end.
        signal.signal(signal.SIGTERM, lambda signum, _: sys.exit(128 + signum))
        sweep.run()
        best = sweep.finished()
    if not best:
        raise ValueError(
            f"no trial came to its end; see log.txt in {folder}/trials/*"
        )
    print(f"\nbest of {len(best)} that came to their end:")
    for trial in best[:_SHOWN]:
        shown = " ".join(f"{k}={v}" for k, v in trial.params.items())
        print(f"  {base.best_metric} {trial.value:.2f}  {shown}")
    winner = folder / "trials" / best[0].user_attrs["folder"]
    print(
        f"run directory: {winner}\n"
        f"leaderboard: python -m tfxml.report --runs={folder}/trials"
    )


def define_flags() -> None:
    flags.define_config()
    paths.define(
        "sweep", None, "The folder of the sweep.", is_here=True, required=True
    )
    paths.define("data_dir", "", "The folder of the data set.")
    absl_flags.DEFINE_string(
        "search",
        "",
        "What to try, e.g. 'learning_rate=1e-4..1e-2:log head=sigmoid|mach'.",
    )
    paths.define(
        "search_file", "", "A YAML file with what to try, in place of --search."
    )
    absl_flags.DEFINE_integer(
        "trials",
        20,
        "How many recipes to try, with those tried before.",
        lower_bound=1,
    )
    absl_flags.DEFINE_integer(
        "processes", 1, "How many to train at once.", lower_bound=1
    )
    absl_flags.DEFINE_bool(
        "prune",
        True,
        "End a trial whose metric is below the median of the others' at the "
        "same epoch.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
