"""Encoders and losses on one real text set: what pays, and what it costs.

    python benchmarks/encoders_losses.py --data_dir=../shared/data/eurlex57k

A part of the training split is trained on and another is evaluated; no other
split is read. Every row is a run of `tfxml.train` with the sigmoid
head. Seconds are of the whole run, from reading to the last evaluation.
"""

from __future__ import annotations

import gzip
import itertools
import pathlib
import shutil
import tempfile
import time

import tensorflow as tf
from absl import app, flags

from tfxml import config as config_lib
from tfxml import train
from tfxml.run import restore

_CONV = {"conv_filters": 64, "conv_widths": (2, 3)}
_RECURRENT = {"recurrent_units": 64}
ENCODERS = {
    "bag": {"encoder": "bag"},
    "bag + conv": {"encoder": "joint", **_CONV},
    "conv": {"encoder": "conv", **_CONV},
    "recurrent (GRU)": {"encoder": "recurrent", **_RECURRENT},
    "transformer": {"encoder": "transformer"},
    "bag + recurrent": {
        "encoder": "joint",
        "joint_sequence": "recurrent",
        **_RECURRENT,
    },
    "bag + transformer": {"encoder": "joint", "joint_sequence": "transformer"},
}
USUAL = "sigmoid_cross_entropy"
LOSSES = (
    "focal",
    "asymmetric",
    "propensity",
    "label_smoothing",
    "squared_hinge",
    "softmax_cross_entropy",
    "squared_error",
)


def main(_) -> None:
    values = flags.FLAGS
    rows = [(name, USUAL) for name in ENCODERS]
    rows += [("bag", loss) for loss in LOSSES]
    rows += [("bag + conv", loss) for loss in LOSSES[:4]]
    print(
        "| encoder | loss | P@1 | P@3 | P@5 | PSP@1 | PSP@5 | s | parameters "
        "|\n| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder) / "data"
        cut(pathlib.Path(values.data_dir), data, values.num_train, values.held)
        for number, (encoder, loss) in enumerate(rows):
            start = time.perf_counter()
            workdir = f"{folder}/{number}"
            config = config_lib.Config(
                **ENCODERS[encoder],
                loss=loss,
                several_labels="average",
                num_epochs=values.num_epochs,
                eval_epochs=values.num_epochs,
                batch_size=64,
                word_dim=64,
                max_tokens=values.max_tokens,
                min_df=3,
                metric_ks=(1, 3, 5),
            )
            found = train.train(config, workdir, str(data))
            took = time.perf_counter() - start
            run = restore.restore(workdir, tf.distribute.get_strategy())
            figures = [
                f"{found[key]:.2f}"
                for key in ("P@1", "P@3", "P@5", "PSP@1", "PSP@5")
            ]
            words = [encoder, f"`{loss}`", *figures, f"{took:.0f}"]
            words.append(f"{run.model.count_params():,}")
            print("| " + " | ".join(words) + " |", flush=True)
            shutil.rmtree(workdir)


def cut(source: pathlib.Path, output: pathlib.Path, train_rows, held) -> None:
    """Writes the first training rows, and the next ones as a test split."""
    output.mkdir()
    shutil.copy(source / "lbl.json.gz", output)
    with gzip.open(source / "trn.json.gz", "rt") as lines:
        for name, number in (("trn", train_rows), ("tst", held)):
            with gzip.open(output / f"{name}.json.gz", "wt") as file:
                file.writelines(itertools.islice(lines, number))


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "A folder with trn.json.gz.")
    flags.DEFINE_integer("num_train", 9000, "Rows to train on.")
    flags.DEFINE_integer("held", 3000, "The next rows, to evaluate on.")
    flags.DEFINE_integer("num_epochs", 10, "Passes.")
    flags.DEFINE_integer("max_tokens", 100, "Words that sequences read.")
    flags.mark_flag_as_required("data_dir")
    app.run(main)
