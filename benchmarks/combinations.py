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

import held_out_cuts
from absl import app, flags

SIZES = {
    "planted-order": (2000, 500, 1000),
    "eurlex57k": (4000, 500, 2000),
    "delicious": (6000, 500, 2000),
    "planted-dependent": (5000, 500, 2000),
    "planted-independent": (5000, 500, 2000),
}

_SEQUENCES = {
    "word_dim": 64,
    "conv_filters": 64,
    "recurrent_units": 64,
    "transformer_units": 128,
}
_PLANTED_SETS = {
    "hidden_units": (128,),
    "dropout": 0.2,
    "decay": "cosine",
    "num_epochs": 12,
}
DATA: dict[str, dict] = {
    "planted-order": {
        "min_df": 1,
        "batch_size": 32,
        "learning_rate": 0.01,
        "num_epochs": 8,
        "word_dim": 32,
        "conv_filters": 32,
        "recurrent_units": 32,
        "transformer_heads": 2,
        "transformer_units": 64,
        "hidden_units": (32,),
    },
    "eurlex57k": {
        **_SEQUENCES,
        "min_df": 3,
        "hidden_units": (256,),
        "batch_size": 64,
        "learning_rate": 0.005,
        "num_epochs": 10,
        "max_tokens": 64,
    },
    "delicious": {"hidden_units": (512,), "num_epochs": 8},
    "planted-dependent": _PLANTED_SETS,
    "planted-independent": _PLANTED_SETS,
}
ENCODERS: dict[str, dict] = {
    "bag": {},
    "conv": {"encoder": "conv"},
    "recurrent": {"encoder": "recurrent"},
    "transformer": {"encoder": "transformer", "pooling": "mean"},
    "bag + conv": {"encoder": "joint"},
    "bag + recurrent": {"encoder": "joint", "joint_sequence": "recurrent"},
}
# Above some hundreds of labels, over candidates alone.
HEADS: dict[str, dict] = {
    "sigmoid": {},
    "mach": {"head": "mach"},
    "cornet": {"head": "cornet", "cornet_candidates": 1024},
    "graph": {"head": "graph", "graph_candidates": 1024},
    "chain": {"head": "chain"},
}
LOSSES: dict[str, dict] = {
    "cross-entropy": {},
    "focal": {"loss": "focal"},
    "asymmetric": {"loss": "asymmetric"},
    "propensity": {"loss": "propensity"},
    "smoothing": {"loss": "label_smoothing"},
    "softmax": {
        "loss": "softmax_cross_entropy",
        "several_labels": "average",
    },
}
COLUMNS = ["P@1", "P@3", "P@5", "PSP@1", "PSP@5", "SA", "F1"]


# What differs from the bag, sigmoids and cross-entropy in each set's rows, in
# order of interest: one thing at a time, then pairs.
_CE = "cross-entropy"
_HEAD_ROWS = tuple(
    ("bag", head, _CE) for head in ("chain", "cornet", "mach", "graph")
)
ROWS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "planted-order": tuple(
        (encoder, "sigmoid", _CE) for encoder in list(ENCODERS)[1:]
    ),
    "eurlex57k": (
        ("bag + conv", "sigmoid", _CE),
        ("bag", "chain", _CE),
        ("bag", "sigmoid", "propensity"),
        ("bag", "sigmoid", "softmax"),
        ("conv", "sigmoid", _CE),
        *_HEAD_ROWS[1:],
        ("bag + conv", "chain", _CE),
        ("transformer", "sigmoid", _CE),
        ("bag", "sigmoid", "smoothing"),
        ("recurrent", "sigmoid", _CE),
    ),
    "delicious": (
        ("bag", "chain", _CE),
        *(("bag", "sigmoid", loss) for loss in list(LOSSES)[1:]),
        *_HEAD_ROWS[1:],
        ("bag", "cornet", "softmax"),
    ),
    "planted-dependent": _HEAD_ROWS,
    "planted-independent": _HEAD_ROWS,
}
_USUAL = ("bag", "sigmoid", "cross-entropy")


def combinations() -> list[tuple[str, str, str, str]]:
    """Returns data, encoder, head and loss of each row."""
    return [(data, *names) for data in ROWS for names in (_USUAL, *ROWS[data])]


def measure(row: tuple, cut: str, changes: dict, split: str = "test") -> dict:
    """Returns the figures of one combination.

    Args:
        row: its names.
        cut: the folder of the data.
        changes: options that differ from those of the names.
        split: which part is evaluated.
    """
    # Here, so that the process that starts the others needs no TensorFlow.
    from tfxml import calibrate, config
    from tfxml.run import train_and_evaluate

    data, encoder, head, loss = row
    options = {
        **DATA[data],
        **ENCODERS[encoder],
        **HEADS[head],
        **LOSSES[loss],
        **changes,
    }
    options.setdefault("eval_epochs", options["num_epochs"])
    recipe = config.Config(eval_split=split, **options)
    with tempfile.TemporaryDirectory() as workdir:
        begun = time.process_time()
        metrics = train_and_evaluate.train(recipe, workdir, cut)
        seconds = time.process_time() - begun
        calibrate.calibrate(workdir, "dev")
        sets, size = _sets(workdir, split)
    values = {key: metrics[key] for key in COLUMNS[:-2]}
    names = ("data", "encoder", "head", "loss")
    return {
        **dict(zip(names, row, strict=True)),
        **values,
        **sets,
        "seconds": seconds,
        "parameters": size,
    }


def _sets(workdir: str, split: str) -> tuple[dict, int]:
    """Returns subset accuracy and instance-F1, and the number of weights."""
    import tensorflow as tf

    from tfxml.evaluation import set_metrics
    from tfxml.run import restore, scored_rows, set_choices

    run = restore.restore(workdir, tf.distribute.get_strategy())
    source, pairs = scored_rows.of_split(run, split)
    rows = scored_rows.score(
        run, source, set_choices.NUM_CANDIDATES, True, pairs
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
    figures = measure(row, cut, {})
    with open(path, "a") as file:
        file.write(json.dumps(figures) + "\n")


def read_rows(path: pathlib.Path) -> dict[tuple, dict]:
    """Returns the rows that have ended, by their names."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    names = ("data", "encoder", "head", "loss")
    return {tuple(row[name] for name in names): row for row in rows}


def table(rows: dict[tuple, dict], data: str) -> str:
    """Returns the table of one data set in Markdown."""
    lines = [
        "| encoder | head | loss | "
        + " | ".join(COLUMNS)
        + " | s | parameters |",
        "|" + " --- |" * (len(COLUMNS) + 5),
    ]
    for row in rows.values():
        if row["data"] != data:
            continue
        cells = [row["encoder"], row["head"], row["loss"]]
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
    for row in combinations():
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
                row[0], pathlib.Path(values.source), cut, SIZES[row[0]]
            )
        process = spawn.Process(
            target=_measure_to, args=(str(path), row, str(cut))
        )
        process.start()
        process.join(values.row_seconds)
        if process.is_alive():
            process.kill()
            process.join()
            names = dict(
                zip(("data", "encoder", "head", "loss"), row, strict=True)
            )
            with open(path, "a") as file:
                stopped = {**names, "stopped": values.row_seconds}
                file.write(json.dumps(stopped) + "\n")
    for data in SIZES:
        print(f"\n## {data}\n\n{table(read_rows(path), data)}")


if __name__ == "__main__":
    flags.DEFINE_string("source", None, "The folder of the real sets.")
    flags.DEFINE_string("output", None, "Where cuts and rows are kept.")
    flags.DEFINE_list("data", [], "The sets to measure; all if empty.")
    flags.DEFINE_integer("num_rows", 10**6, "The most rows of this call.")
    flags.DEFINE_integer("row_seconds", 600, "The longest that a row takes.")
    flags.mark_flags_as_required(["source", "output"])
    app.run(main)
