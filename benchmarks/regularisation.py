"""What each regulariser recovers of the gap of a model that overfits.

    python benchmarks/regularisation.py
    python benchmarks/regularisation.py --data=bibtex --source=../shared/data

500 rows are learnt by heart by a wide model without any regulariser; other rows
are evaluated. The best P@1 on rows of `planted-independent` is known, and the
gap is what the model without regulariser lacks to it. For `bibtex`, rows of its
training split, the gap is P@1 on the 500 rows less P@1 on the others. What a
regulariser recovers is the share of the gap by which it lifts P@1 on the
others: means over seeds of rows and weights, and the standard error of a mean.

The strengths were chosen on `--split=dev`, which holds other rows than `test`.
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import tempfile

import held_out_cuts
import numpy as np
from absl import app, flags

from tfxml import config as config_lib
from tfxml import evaluate
from tfxml.run import train_and_evaluate

SIZES = {"planted-independent": (500, 3000, 3000), "bibtex": (500, 1500, 2500)}
NONE = "none"
REGULARISERS: dict[str, dict] = {
    NONE: {},
    "L1": {"l1": 0.6},
    "decoupled weight decay": {"weight_decay": 8.0},
    "max-norm": {"max_norm": 2.0},
    "dropout of hidden units": {"dropout": 0.9},
    "augmentation: dropout of features": {"feature_dropout": 0.05},
    "augmentation: mixup": {"mixup": 4.0},
    "label smoothing": {"loss": "label_smoothing", "label_smoothing": 0.3},
    # On a fifth of the 500 rows, which is then not trained on.
    "early stopping": {
        "early_stopping": 5,
        "validation_fraction": 0.2,
        "eval_epochs": 1,
    },
}


def measure(
    data: str, changes: dict, seed: int, source: str = "", split: str = "test"
) -> tuple[float, float]:
    """Returns P@1 on the 500 rows that were learnt, and on others.

    Args:
        data: a key of `SIZES`.
        changes: options of the recipe.
        seed: of rows and weights.
        source: the folder of the real sets.
        split: `dev` or `test`.
    """
    options = {
        "hidden_units": (512,),
        "dropout": 0.0,
        "num_epochs": 40,
        "eval_epochs": 40,
        "batch_size": 50,
        "decay": "constant",
        "metric_ks": (1,),
        **changes,
    }
    with tempfile.TemporaryDirectory() as folder:
        cut, workdir = pathlib.Path(folder, "cut"), f"{folder}/run"
        held_out_cuts.write(data, pathlib.Path(source), cut, SIZES[data], seed)
        config = config_lib.Config(seed=seed, **options)
        with contextlib.redirect_stdout(io.StringIO()):
            train_and_evaluate.train(config, workdir, str(cut))
        learnt, others = (
            evaluate.evaluate(workdir, name).result()["P@1"]
            for name in ("train", split)
        )
    return learnt, others


def best(data: str, seed: int, split: str = "test") -> float | None:
    """Returns the best P@1 on the others, in percent; None: it is unknown."""
    if data not in held_out_cuts.PLANTED:
        return None
    rows = held_out_cuts.planted_rows(data, SIZES[data], seed)[split]
    # Rows without a label count 0 whatever is answered.
    return float(100 * rows.marginals.max(axis=1).mean())


def shares(
    unregularised: np.ndarray, regularised: np.ndarray, bests: list
) -> np.ndarray:
    """Returns which share of the gap is recovered, of each seed, in percent.

    Args:
        unregularised: [seeds, 2], what `measure` returns.
        regularised: likewise.
        bests: of the seeds; see `best`.
    """
    learnt, before = unregularised.T
    top = np.array(
        [
            value if one is None else one
            for value, one in zip(learnt, bests, strict=True)
        ]
    )
    return 100 * (regularised[:, 1] - before) / (top - before)


def main(_) -> None:
    values = flags.FLAGS
    seeds = range(values.num_seeds)
    bests = [best(values.data, seed, values.split) for seed in seeds]
    known = [one for one in bests if one is not None]
    if known:
        print(f"The best P@1 on the others is {np.mean(known):.2f}.\n")
    print("| regulariser | P@1 learnt | P@1 others | gap recovered |")
    print("| --- | --- | --- | --- |")
    before = None
    for name, changes in REGULARISERS.items():
        pairs = np.array(
            [
                measure(values.data, changes, seed, values.source, values.split)
                for seed in seeds
            ]
        )
        before = pairs if before is None else before
        found = shares(before, pairs, bests)
        error = found.std(ddof=1) / len(found) ** 0.5
        learnt, others = pairs.mean(axis=0)
        print(
            f"| {name} | {learnt:.2f} | {others:.2f} | "
            f"{found.mean():.1f} ± {error:.1f} % |",
            flush=True,
        )


if __name__ == "__main__":
    flags.DEFINE_enum("data", next(iter(SIZES)), list(SIZES), "The set.")
    flags.DEFINE_string("source", "", "The folder of the real sets.")
    flags.DEFINE_enum("split", "test", ["dev", "test"], "The other rows.")
    flags.DEFINE_integer("num_seeds", 5, "Seeds of rows and weights.")
    app.run(main)
