"""Which combinations of encoder, head and loss pay, set after set.

    python benchmarks/combinations.py --source=../shared/data --output=combined

Every row trains on a cut of the training split and is evaluated on other rows
of it: a table of small runs, not of what a model reaches on all rows. Scores
are calibrated on a third part; sets are then chosen for instance-F1 and, apart
from that, for subset accuracy. Seconds are those of the processors, for
reading, training and evaluation: wall time says little on a machine that others
use.

Each row is a process of its own, and is stopped after `--row_seconds` of wall
time. Safe to kill: rows are written to `OUTPUT/rows.jsonl` as they end, and the
same command goes on with the next. At the end it prints the tables.
"""

from __future__ import annotations

import json
import multiprocessing
import pathlib
import tempfile
import time

import combination_rows
import held_out_cuts
from absl import app, flags

COLUMNS = ["P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5", "SA", "F1"]
NAMES = combination_rows.NAMES


def measure(row: tuple, cut: str) -> dict:
    """Returns the figures of one combination.

    Args:
        row: its names.
        cut: the folder of the data.
    """
    # Here, so that the process that starts the others needs no TensorFlow.
    from tfxml import calibrate, config
    from tfxml.run import train_and_evaluate

    data, encoder, head, loss, seed = row
    options = {
        **combination_rows.DATA[data],
        **combination_rows.ENCODERS[encoder],
        **combination_rows.HEADS[head],
        **combination_rows.LOSSES[loss],
        "seed": seed,
    }
    options.setdefault("eval_epochs", options["num_epochs"])
    recipe = config.Config(eval_split="test", **options)
    with tempfile.TemporaryDirectory() as workdir:
        begun = time.process_time()
        metrics = train_and_evaluate.train(recipe, workdir, cut)
        seconds = time.process_time() - begun
        calibrate.calibrate(workdir, "dev")
        sets, size = _sets(workdir)
    values = {key: metrics[key] for key in COLUMNS[:-2]}
    return {
        **dict(zip(NAMES, row, strict=True)),
        **values,
        **sets,
        "seconds": seconds,
        "parameters": size,
    }


def _sets(workdir: str) -> tuple[dict, int]:
    """Returns subset accuracy and instance-F1, and the number of weights."""
    import tensorflow as tf

    from tfxml.evaluation import set_metrics
    from tfxml.run import restore, scored_rows, set_choices

    run = restore.restore(workdir, tf.distribute.get_strategy())
    source, exclusions = scored_rows.of_split(run, "test")
    rows = scored_rows.score(
        run, source, set_choices.NUM_CANDIDATES, True, exclusions
    )
    figures = {}
    for key, name, aim in (
        ("SA", "SubsetAccuracy", set_choices.SUBSET),
        ("F1", "InstanceF1", set_choices.F1),
    ):
        choice = set_choices.SetChoice(set_choices.SET, aim=aim)
        is_chosen = choice.choose(rows.candidates, rows.is_member, rows.weights)
        found = set_metrics.SetMetrics(
            rows.candidates.chosen(is_chosen), rows.truth, run.facts.num_labels
        )
        figures[key] = found.result()[name]
    return figures, run.model.count_params()


def _measure_to(path: str, row: tuple, cut: str) -> None:
    """Appends the figures of a row to a file, in a process of its own."""
    figures = measure(row, cut)
    with open(path, "a") as file:
        file.write(json.dumps(figures) + "\n")


def read_rows(path: pathlib.Path) -> dict[tuple, dict]:
    """Returns the rows that have ended, by their names."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {tuple(row[name] for name in NAMES): row for row in rows}


def table(rows: dict[tuple, dict], data: str) -> str:
    """Returns the table of one data set in Markdown."""
    names = [
        name
        for name in NAMES[1:]
        if name != "seed" or data in combination_rows.SEEDS
    ]
    head = [*names, *COLUMNS, "s", "parameters"]
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows.values():
        if row["data"] != data:
            continue
        cells = [str(row[name]) for name in names]
        if "stopped" in row:
            cells += ["-"] * len(COLUMNS) + [f"stopped at {row['stopped']}", ""]
        else:
            cells += [f"{row[key]:.2f}" for key in COLUMNS]
            cells += [
                f"{row['seconds']:.0f}",
                f"{row['parameters'] / 1e6:.2f} M",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(_) -> None:
    values = flags.FLAGS
    output = pathlib.Path(values.output)
    path = output / "rows.jsonl"
    num_left = values.num_rows
    spawn = multiprocessing.get_context("spawn")
    for row in combination_rows.combinations():
        if values.data and row[0] not in values.data:
            continue
        if row in read_rows(path):
            continue
        if not num_left:
            break
        num_left -= 1
        cut = output / row[0]
        if not cut.exists():
            held_out_cuts.write(
                combination_rows.SOURCES.get(row[0], row[0]),
                pathlib.Path(values.source),
                cut,
                combination_rows.SIZES[row[0]],
            )
        process = spawn.Process(
            target=_measure_to, args=(str(path), row, str(cut))
        )
        process.start()
        process.join(values.row_seconds)
        if process.is_alive():
            process.kill()
            process.join()
            names = dict(zip(NAMES, row, strict=True))
            with open(path, "a") as file:
                stopped = {**names, "stopped": values.row_seconds}
                file.write(json.dumps(stopped) + "\n")
    for data in combination_rows.SIZES:
        print(f"\n## {data}\n\n{table(read_rows(path), data)}")


if __name__ == "__main__":
    flags.DEFINE_string("source", None, "The folder of the real sets.")
    flags.DEFINE_string("output", None, "Where cuts and rows are kept.")
    flags.DEFINE_list("data", [], "The sets to measure; all if empty.")
    flags.DEFINE_integer("num_rows", 10**6, "The most rows of this call.")
    flags.DEFINE_integer("row_seconds", 600, "The longest that a row takes.")
    flags.mark_flags_as_required(["source", "output"])
    app.run(main)
