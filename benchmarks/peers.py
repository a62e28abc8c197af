"""Compares tfxml with its peers on the same features in one run.

    python -m venv peers-env && peers-env/bin/pip install torch==2.13.0 \\
        libpecos napkinxc omikuji "numpy<2" scikit-learn
    python benchmarks/peers.py --data_dir=../shared/data/bibtex \\
        --recipes=configs/bibtex_sigmoid.cfg,configs/bibtex_mach.cfg \\
        --peers_python=peers-env/bin/python

Text becomes TF-IDF rows by the first recipe, once. All train on these rows,
each in a separate process, one after the other. Columns: training seconds (from
rows in memory to a trained model, including tracing); milliseconds per query,
of all rows in one call (the median of three calls) and of one row per call (the
median and the 99th percentile); the process' peak memory; bytes on disk (ours:
a SavedModel's); and P@k and PSP@k by `tfxml.evaluation.metrics`. Ours are
computed by compiled loops on the host. Further rows are the same model by
TensorFlow's ops, as a SavedModel runs them, 512 rows per call, and with weights
in fewer bits, as exports store them. All have their default settings. A peer
that is not installed is named and left out.
"""

from __future__ import annotations

import contextlib
import functools
import json
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import peer_models
import tensorflow as tf
from absl import app, flags

from tfxml.cpu import predictor as host
from tfxml.data import inputs
from tfxml.data.feeding import pipeline
from tfxml.evaluation import metrics
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run, narrow_weights, weight_formats
from tfxml.models import extreme_classifier, row_forms
from tfxml.run import datasets, progress, workdir
from tfxml.run import flags as flags_lib
from tfxml.run import run as run_lib
from tfxml.training import checkpoints

_FOLDER = pathlib.Path(__file__).resolve().parent
_K, _SINGLE_QUERIES, _NOT_INSTALLED = 5, 500, 3
_BATCH_ROWS = 512  # of TensorFlow's ops
_TENSORFLOW = "TensorFlow"
_COSTS = {  # and their digits
    "train_s": 1,
    "batch_ms": 3,
    "p50_ms": 2,
    "p99_ms": 2,
    "peak_gib": 2,
    "disk_mb": 1,
}
_RECIPES = flags.DEFINE_list("recipes", [], "Flagfiles of ours.")
PEERS = flags.DEFINE_list(
    "peers", ["xr-linear", "plt", "omikuji"], "Peers; see peer_models.py."
)
PYTHON = flags.DEFINE_string(
    "peers_python", sys.executable, "A Python that has the peers."
)
_DATA_DIR = flags.DEFINE_string("data_dir", "", "The data set.")
_WRITE = flags.DEFINE_string("write", "", "Only write the features here.")
_TRAIN = flags.DEFINE_string("train", "", "Only train on features here.")
_TOP_IDS = flags.DEFINE_string("top_ids", "", "Where --train writes labels.")


def main(_) -> None:
    if _WRITE.value:
        _write_features(pathlib.Path(_WRITE.value))
    elif _TRAIN.value:
        print(json.dumps(_train(_TRAIN.value, _TOP_IDS.value)))
    else:
        _compare()


def _compare() -> None:
    if not _RECIPES.value or not _DATA_DIR.value:
        raise app.UsageError("--recipes and --data_dir must be given")
    print(
        "| | train s | batch ms | p50 ms | p99 ms | peak GiB | MB on disk | "
        "P@1 | P@3 | P@5 | PSP@1 | PSP@3 | PSP@5 |\n|" + " --- |" * 13
    )
    with tempfile.TemporaryDirectory() as temporary:
        features = pathlib.Path(temporary) / "features"
        own = [sys.executable, str(_FOLDER / "as_command.py"), __file__]
        call(
            [
                *own,
                f"--flagfile={_RECIPES.value[0]}",
                f"--data_dir={_DATA_DIR.value}",
                f"--write={features}",
            ]
        )
        output = f"{temporary}/top.npy"
        commands = {
            pathlib.Path(recipe).stem: [
                *own,
                f"--flagfile={recipe}",
                "--eval_split=auto",
                f"--train={features}",
                f"--data_dir={_DATA_DIR.value}",
                f"--top_ids={output}",
            ]
            for recipe in _RECIPES.value
        }
        script = str(_FOLDER / "peer_models.py")
        commands |= {
            peer: [PYTHON.value, script, peer, str(features), output]
            for peer in PEERS.value
        }
        for name, command in commands.items():
            cost = call(command)
            if cost is None:
                print(f"{name} is not installed in {PYTHON.value}")
                continue
            print(_line(name, cost, scores(features, np.load(output))))
            for kind, own in cost.get("variants", {}).items():
                top = np.load(_variant_path(output, kind))
                print(_line(f"{name}, {kind}", own, scores(features, top)))
            sys.stdout.flush()


def call(command: list[str]) -> dict | None:
    """Returns the JSON that a process prints last, if any."""
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode == _NOT_INSTALLED:
        return None
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{process.stderr[-3000:]}")
    last_line = (process.stdout.strip().splitlines() or [""])[-1]
    return json.loads(last_line) if last_line.startswith("{") else {}


def _line(name: str, cost: dict, scores: list[float]) -> str:
    cells = [
        name,
        *(
            f"{cost[key]:.{digits}f}" if key in cost else ""
            for key, digits in _COSTS.items()
        ),
        *(f"{score:.2f}" for score in scores),
    ]
    return f"| {' | '.join(cells)} |"


def _variant_path(top_ids: str, kind: str) -> str:
    """Returns where a variant's labels are written."""
    return f"{top_ids}.{kind}.npy"


def scores(features: pathlib.Path, top: np.ndarray) -> list[float]:
    """Returns P@1, 3, 5 and PSP@1, 3, 5."""
    train, test = (
        np.load(features / f"Y.{part}.npz") for part in ("trn", "tst")
    )
    num_train, num_labels = train["shape"]
    counts = np.bincount(train["indices"], minlength=num_labels)
    result = metrics.RankingMetrics(
        (1, 3, 5), counts, metrics.inverse_propensities(counts, num_train)
    )
    result.update(top, test["indptr"], test["indices"])
    values = result.result()
    return [values[f"{name}@{k}"] for name in ("P", "PSP") for k in (1, 3, 5)]


def _write_features(folder: pathlib.Path) -> None:
    """Writes the rows of both splits as CSR arrays."""
    folder.mkdir(parents=True)
    config = flags_lib.read_config()
    data = datasets.training_data(config, _DATA_DIR.value)
    for part, split in (("trn", data.train), ("tst", data.evaluation)):
        rows, labels = split.rows(tf.range(split.num_instances, dtype=tf.int64))
        _write_csr(
            folder / f"X.{part}.npz",
            rows[inputs.FEATURE_IDS],
            rows[inputs.FEATURE_VALUES],
            split.num_features,
        )
        ones = tf.ones_like(labels, tf.float32)
        _write_csr(folder / f"Y.{part}.npz", labels, ones, split.num_labels)


def _write_csr(path, ids, values, width: int) -> None:
    np.savez(
        path,
        format=np.array(b"csr"),
        shape=np.array([ids.nrows(), width]),
        indptr=ids.row_splits.numpy(),
        indices=ids.flat_values.numpy(),
        data=values.flat_values.numpy(),
    )


def _train(features: str, top_ids: str) -> dict:
    """Trains the recipe of the flags; returns what it cost."""
    config = flags_lib.read_config()
    # Names of labels are texts; their rows are made before the clock starts.
    source = _DATA_DIR.value if config.label_name_weight else features
    data = datasets.training_data(config, source)
    start = time.perf_counter()
    run = run_lib.Run(config, tf.distribute.get_strategy(), data)
    silent = progress.Progress(1, 1, 1.0, is_shown=False)
    while not run.is_head_trained:
        run.train_epoch(silent, lambda: None)
    if run.steps_done < run.num_steps:
        run.learn_rest(lambda: None)
    train_seconds = time.perf_counter() - start
    rows, evaluation = _rows(data.evaluation), data.evaluation
    cost: dict[str, Any] = {"train_s": train_seconds, "variants": {}}
    top, times = _on_host(run.model, rows)
    np.save(top_ids, top)
    cost |= times | {"peak_gib": peer_models.peak_gib()}
    kinds = {
        _TENSORFLOW: lambda: _on_tensorflow(run.model, evaluation)
    } | dict.fromkeys(
        weight_formats.SAVED_MODEL[1:], lambda: _on_host(run.model, rows)
    )
    for kind, predict in kinds.items():
        weights = weight_formats.SAVED_MODEL[0] if kind == _TENSORFLOW else kind
        with _rounded(run.model, weights):
            top, cost["variants"][kind] = predict()
        np.save(_variant_path(top_ids, kind), top)
    with tempfile.TemporaryDirectory() as temporary:
        folder = workdir.Workdir(f"{temporary}/run")
        with folder.beginning() as new:
            run.start_folder(new)
        saved = checkpoints.Checkpoints(folder.checkpoints, run.state)
        saved.save(run.steps_done, {}, is_best=False)
        for weights in weight_formats.SAVED_MODEL:
            own = cost["variants"].get(weights, cost)
            own["disk_mb"] = _exported_bytes(folder, weights) / 1e6
    return cost


def _rows(split) -> row_forms.RaggedRows:
    rows, _ = split.rows(tf.range(split.num_instances, dtype=tf.int64))
    ids, values = rows[inputs.FEATURE_IDS], rows[inputs.FEATURE_VALUES]
    return row_forms.RaggedRows(
        ids.flat_values.numpy(),
        values.flat_values.numpy(),
        ids.row_splits.numpy(),
    )


@contextlib.contextmanager
def _rounded(
    model: extreme_classifier.ExtremeClassifier, weights: str
) -> Iterator[None]:
    """Gives kernels the values that are read where they are stored so."""
    kernels = [
        weight
        for weight in model.named_variables().values()
        if narrow_weights.is_kernel(weight) and weights != "float32"
    ]
    values = [kernel.numpy() for kernel in kernels]
    for kernel, value in zip(kernels, values, strict=True):
        narrow = narrow_weights.NarrowWeight(value, weights)
        kernel.assign(tf.convert_to_tensor(narrow))
    yield
    for kernel, value in zip(kernels, values, strict=True):
        kernel.assign(value)


def _on_host(model, rows) -> tuple[np.ndarray, dict[str, float]]:
    """Returns the best labels, and ms per query in one call and singly."""
    finder = host.CpuPredictor(model)
    # As for the peers, the first call is of two rows.
    finder.top_k(_row_range(rows, 0, 2), _K)
    singles = [
        _row_range(rows, row, row + 1)
        for row in range(min(_SINGLE_QUERIES, len(rows.splits) - 1))
    ]
    return _timed(
        lambda: finder.top_k(rows, _K)[1],
        len(rows.splits) - 1,
        [functools.partial(finder.top_k, query, _K) for query in singles],
    )


def _row_range(rows, first: int, last: int) -> row_forms.RaggedRows:
    """Returns the rows [first, last)."""
    splits = rows.splits[first : last + 1]
    entries = slice(splits[0], splits[-1])
    return row_forms.RaggedRows(
        rows.feature_ids[entries], rows.values[entries], splits - splits[0]
    )


def _on_tensorflow(model, split) -> tuple[np.ndarray, dict[str, float]]:
    """Returns what `_on_host` does, from the model itself."""

    specs = inputs.features(
        tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64),
        tf.RaggedTensorSpec([None, None], tf.float32, 1, tf.int64),
    )

    @tf.function(input_signature=[specs])
    def top_k(rows):
        return model.top_k(rows, _K)[1]

    batches = [
        batch.inputs for batch in pipeline.evaluation(split, _BATCH_ROWS)
    ]  # rows in memory, as the peers have them
    singles = [
        split.rows(tf.range(row, row + 1, dtype=tf.int64))[0]
        for row in range(min(_SINGLE_QUERIES, split.num_instances))
    ]
    top, times = _timed(
        lambda: np.concatenate([top_k(rows).numpy() for rows in batches]),
        split.num_instances,
        [lambda rows=rows: top_k(rows).numpy() for rows in singles],
    )
    return top[: split.num_instances], times


def _timed(
    all_queries: Callable[[], np.ndarray],
    size: int,
    single_queries: list[Callable],
) -> tuple[np.ndarray, dict[str, float]]:
    """Returns the result of a call, and ms per query of it and of others."""
    single_queries[0]()
    single_ms = []
    for query in single_queries:
        start = time.perf_counter()
        query()
        single_ms.append(1e3 * (time.perf_counter() - start))
    batch_ms = []
    for _ in range(peer_models.NUM_BATCH_CALLS):
        start = time.perf_counter()
        result = all_queries()
        batch_ms.append(1e3 * (time.perf_counter() - start) / size)
    return result, {
        "batch_ms": float(np.median(batch_ms)),
        "p50_ms": float(np.median(single_ms)),
        "p99_ms": float(np.percentile(single_ms, 99)),
    }


def _exported_bytes(folder: workdir.Workdir, weights: str) -> int:
    with tempfile.TemporaryDirectory() as temporary:
        written = serving_model.write(
            checked_run.read(str(folder.path)), temporary, weights=weights
        )
        return sum(p.stat().st_size for p in written.rglob("*") if p.is_file())


if __name__ == "__main__":
    flags_lib.define_config()
    app.run(main)
