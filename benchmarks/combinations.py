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

import itertools
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
    "eurlex57k-longer": (8000, 1000, 2000),
    "delicious": (6000, 500, 2000),
    "yso-en": (20_000, 500, 2000),
    "tibkat-gnd": (12_000, 500, 2000),
    "planted-dependent": (5000, 500, 2000),
    "planted-independent": (5000, 500, 2000),
}

_SEQUENCES = {
    "word_dim": 64,
    "conv_filters": 64,
    "recurrent_units": 64,
    "transformer_units": 128,
}
_TITLES = {
    **_SEQUENCES,
    "min_df": 2,
    "hidden_units": (256,),
    "batch_size": 256,
    "learning_rate": 0.01,
    "num_epochs": 6,
    "max_tokens": 32,
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
    # As many epochs as the bag gains from, on the thousand rows of its dev.
    "eurlex57k-longer": {
        "min_df": 3,
        "hidden_units": (512,),
        "batch_size": 128,
        "learning_rate": 0.005,
        "num_epochs": 15,
        "max_tokens": 96,
    },
    "delicious": {"hidden_units": (512,), "num_epochs": 8},
    "yso-en": _TITLES,
    "tibkat-gnd": _TITLES,
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
    "centroid": {"head": "centroid"},
    "label_attention": {"head": "label_attention"},
    "decoder": {"head": "decoder"},
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
COLUMNS = ["P@1", "P@3", "P@5", "PSP@1", "PSP@3", "PSP@5", "SA", "F1"]


# What differs from the bag, sigmoids and cross-entropy in each set's rows, in
# order of interest: one thing at a time, then pairs.
_CE = "cross-entropy"
_HEAD_ROWS = tuple(
    ("bag", head, _CE)
    for head in ("chain", "cornet", "mach", "graph", "centroid")
)
_LOSS_ROWS = tuple(("bag", "sigmoid", loss) for loss in list(LOSSES)[1:])
_TITLE_ROWS = (
    ("bag + conv", "sigmoid", _CE),
    ("bag", "mach", _CE),
    ("bag", "centroid", _CE),
    ("bag", "sigmoid", "softmax"),
    ("bag", "chain", _CE),
    ("bag", "sigmoid", "propensity"),
    ("conv", "sigmoid", _CE),
    ("bag", "cornet", _CE),
)
_PLANTED_ROWS = (*_HEAD_ROWS[:-1], *_LOSS_ROWS[:2])
ROWS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "planted-order": (
        *((encoder, "sigmoid", _CE) for encoder in list(ENCODERS)[1:]),
        ("recurrent", "label_attention", _CE),
        ("conv", "decoder", _CE),
    ),
    "eurlex57k": (
        ("bag + conv", "sigmoid", _CE),
        *_LOSS_ROWS,
        ("bag", "chain", _CE),
        ("conv", "label_attention", _CE),
        ("bag", "centroid", _CE),
        ("conv", "sigmoid", _CE),
        ("bag", "cornet", _CE),
        ("conv", "decoder", _CE),
        ("bag", "mach", _CE),
        ("transformer", "sigmoid", _CE),
        ("bag + conv", "sigmoid", "softmax"),
        ("recurrent", "sigmoid", _CE),
        ("bag", "graph", _CE),
        ("bag + conv", "chain", _CE),
        ("bag + recurrent", "sigmoid", _CE),
    ),
    "eurlex57k-longer": (("bag + conv", "sigmoid", _CE),),
    "delicious": (
        *_HEAD_ROWS[:1],
        *_LOSS_ROWS,
        *_HEAD_ROWS[1:],
        ("bag", "cornet", "softmax"),
    ),
    "yso-en": _TITLE_ROWS,
    "tibkat-gnd": _TITLE_ROWS,
    "planted-dependent": _PLANTED_ROWS,
    "planted-independent": _PLANTED_ROWS,
}
SOURCES = {"eurlex57k-longer": "eurlex57k"}  # where the names differ
SEEDS = {"eurlex57k-longer": 3}
_USUAL = ("bag", "sigmoid", _CE)
NAMES = ("data", "encoder", "head", "loss", "seed")


def combinations() -> list[tuple[str, str, str, str, int]]:
    """Returns data, encoder, head, loss and seed of each row.

    The rows of all sets take turns, so that a table cut short has some of each.
    """
    of_sets = [
        [
            (data, *names, seed)
            for seed in range(SEEDS.get(data, 1))
            for names in (_USUAL, *ROWS[data])
        ]
        for data in ROWS
    ]
    turns = itertools.zip_longest(*of_sets)
    return [row for turn in turns for row in turn if row is not None]


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
        **DATA[data],
        **ENCODERS[encoder],
        **HEADS[head],
        **LOSSES[loss],
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
    source, pairs = scored_rows.of_split(run, "test")
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
    names = [name for name in NAMES[1:] if name != "seed" or data in SEEDS]
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
                SOURCES.get(row[0], row[0]),
                pathlib.Path(values.source),
                cut,
                SIZES[row[0]],
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
