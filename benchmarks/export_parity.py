"""Compares each export of trained runs with the trained model itself.

    python benchmarks/export_parity.py --workdir=runs/one --workdir=runs/two \\
        [--tfjs_env=tfjs] [--instances=200]

Columns: the largest difference of two scores of the same rank, the percentage
of instances with the same five labels in the same order, milliseconds per call
of one instance (median and 99th percentile) and of 64, and megabytes on disk.
MACH runs are exported once for each estimator. Browser figures are of headless
Chromium, WebGL in software where there is no GPU.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags

from tfxml.data import inputs
from tfxml.data.formats import folder, json_lines
from tfxml.export.js import js_model, offline_page
from tfxml.export.lite import lite_model, lite_report
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import (
    accuracy,
    checked_run,
    keras_file,
    weight_formats,
)
from tfxml.mach import mach_choices
from tfxml.run import restore

_BATCH = 64
_WORKDIRS = flags.DEFINE_multi_string("workdir", [], "Trained runs.")
_TFJS_ENV = flags.DEFINE_string("tfjs_env", "", "See export/js/js_model.py.")
_INSTANCES = flags.DEFINE_integer("instances", 200, "Of the evaluation split.")


class Case(NamedTuple):
    """A run to export, and the answers that exports should give."""

    run: restore.TrainedRun
    texts: list[str] | None
    rows: accuracy.Sample
    reference: accuracy.Answers


class Result(NamedTuple):
    """One line of the table."""

    name: str
    answers: accuracy.Answers
    single: list[float]  # seconds
    batch: list[float]
    num_bytes: int


def main(_) -> None:
    print(
        f"{'run, estimator':<28} {'export':<31} max |delta|  same top 5"
        "   p50 ms   p99 ms  64: p50   64: p99        MB"
    )
    for workdir in _WORKDIRS.value:
        run = checked_run.read(workdir)
        if run.config.head != "mach":
            report(f"{pathlib.Path(workdir).name}", run)
            continue
        for estimator in mach_choices.ESTIMATORS:
            run.model.head.estimator = estimator
            report(f"{pathlib.Path(workdir).name}, {estimator}", run)


def report(title: str, run) -> None:
    """Prints the lines of a run."""
    rows = accuracy.sample(run, _INSTANCES.value)
    texts = read_texts(run) if run.facts.is_text else None
    case = Case(run, texts, rows, accuracy.trained(run, rows))
    for result in measure(case):
        costs = accuracy.compare(result.answers, case.reference, rows)
        numbers = [
            f"{1e3 * value:8.2f}" if value else f"{'':>8}"
            for times in (result.single, result.batch)
            for value in percentiles(times)
        ]
        print(
            f"{title:<28} {result.name:<31} {costs['max_delta']:11.1e} "
            f"{costs['same_top']:10.1f}% {' '.join(numbers)} "
            f"{result.num_bytes / 1e6:9.1f}",
            flush=True,
        )


def measure(case: Case) -> Iterator[Result]:
    """Yields each export in turn; only one is on disk at a time."""
    for exports in (trained, saved_models, keras_files, lites, pages):
        with tempfile.TemporaryDirectory() as folder:
            yield from exports(case, pathlib.Path(folder))


def trained(case: Case, _) -> Iterator[Result]:
    top_k = accuracy.model_top_k(case.run)

    def best(ids, values):
        return top_k(ids, values, accuracy.K)

    yield of_rows("trained model, features", case, best, 0)


def saved_models(case: Case, folder: pathlib.Path) -> Iterator[Result]:
    for weights in weight_formats.SAVED_MODEL:
        path = serving_model.write(case.run, folder, weights=weights)
        model = tf.saved_model.load(str(path))
        features = model.signatures["features"]
        k = tf.constant(accuracy.K)

        def best(ids, values, features=features, k=k):
            outputs = features(
                feature_ids=tf.constant(ids),
                feature_values=tf.constant(values),
                k=k,
            )
            return outputs["scores"], outputs["label_ids"]

        name = f"saved_model {weights}"
        yield of_rows(f"{name}, features", case, best, size(path))
        if case.texts is None:
            continue

        def best_of_texts(
            texts, serve=model.signatures["serving_default"], k=k
        ):
            outputs = serve(text=tf.constant(texts), k=k)
            return outputs["scores"], outputs["label_ids"]

        runs = chunks(case.texts, _BATCH)
        yield Result(
            f"{name}, text",
            accuracy.joined([best_of_texts(run) for run in runs]),
            clock(best_of_texts, [([text],) for text in case.texts]),
            clock(best_of_texts, [(run,) for run in runs]),
            size(path),
        )


def keras_files(case: Case, folder: pathlib.Path) -> Iterator[Result]:
    path = keras_file.write(case.run, folder)
    loaded = keras.saving.load_model(path)
    best = tf.function(
        lambda ids, values: loaded(inputs.features(ids, values)),
        reduce_retracing=True,
    )
    yield of_rows("keras, features", case, best, size(path))


def lites(case: Case, folder: pathlib.Path) -> Iterator[Result]:
    for precision, path in lite_model.write(case.run, folder).items():
        runner = lite_report.Runner(path)

        def best(ids, values, runner=runner):
            return runner.top_k(ids, values, accuracy.K)

        yield of_rows(f"tflite {precision}, features", case, best, size(path))


def pages(case: Case, folder: pathlib.Path) -> Iterator[Result]:
    if not _TFJS_ENV.value:
        return
    environment = js_model.check_environment(_TFJS_ENV.value)
    model = js_model.write(case.run, folder, environment)
    page_path = offline_page.write(case.run, folder, environment, "parity")
    for backend in ("wasm", "webgl"):
        with browser_page(page_path, backend) as page:
            rows: list
            if case.texts is None:
                rows = [
                    sparse(*row)
                    for row in zip(
                        case.rows.feature_ids,
                        case.rows.feature_values,
                        strict=True,
                    )
                ]
                call = "rows.map(([ids, values]) => r.rankRow(ids, values, 5))"
            else:
                rows = case.texts
                call = "rows.map((text) => r.rank(text, 5))"
            answers = page.evaluate(
                f"(rows) => app.ready.then((r) => {call})", rows
            )
        yield Result(
            f"tfjs float32, {backend}",
            accuracy.Answers(
                np.array([answer["scores"] for answer in answers]),
                np.array([answer["labelIds"] for answer in answers]),
            ),
            [answer["milliseconds"] / 1e3 for answer in answers[10:]],
            [],
            size(model),
        )


@contextlib.contextmanager
def browser_page(path: pathlib.Path, backend: str):
    """Opens the page offline in headless Chromium."""
    from playwright import sync_api

    arguments = ["--no-sandbox", "--use-angle=swiftshader"]
    arguments += ["--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=arguments
        )
        context = browser.new_context()
        context.set_offline(True)
        page = context.new_page()
        page.set_default_timeout(300_000)
        page.goto(f"file://{path}?backend={backend}")
        page.evaluate("app.ready.then(() => null)")
        yield page
        browser.close()


def of_rows(name: str, case: Case, best, num_bytes: int) -> Result:
    """Measures a function of padded rows."""
    single = [trimmed(*rows) for rows in case.rows.batches(1)]
    batches = [trimmed(*rows) for rows in case.rows.batches(_BATCH)]
    return Result(
        name,
        accuracy.joined([best(*rows) for rows in batches]),
        clock(best, single),
        clock(best, batches),
        num_bytes,
    )


def clock(function, calls: list[tuple]) -> list[float]:
    """Returns the seconds of each call, after calling each once to warm up.

    If there are few calls they are repeated, up to at least 100.
    """
    for arguments in calls:
        function(*arguments)
    seconds: list[float] = []
    while len(seconds) < 100:
        for arguments in calls:
            start = time.perf_counter()
            function(*arguments)
            seconds.append(time.perf_counter() - start)
    return seconds


def percentiles(seconds: list[float]) -> tuple[float, float]:
    if not seconds:
        return 0.0, 0.0
    return float(np.percentile(seconds, 50)), float(np.percentile(seconds, 99))


def trimmed(ids: np.ndarray, values: np.ndarray):
    """Returns rows without the columns that none of them uses."""
    width = max(1, int((values != 0).sum(axis=1).max()))
    return ids[:, :width], values[:, :width]


def sparse(ids: np.ndarray, values: np.ndarray) -> list[list]:
    is_used = values != 0
    return [ids[is_used].tolist(), values[is_used].tolist()]


def chunks(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def size(path: pathlib.Path) -> int:
    files = [path] if path.is_file() else path.rglob("*")
    return sum(p.stat().st_size for p in files if p.is_file())


def read_texts(run) -> list[str]:
    """Returns the texts of the instances that `accuracy.sample` returns."""
    data = folder.detect(run.facts.data_dir)
    split = "test" if "test" in data.splits else "dev"
    if run.config.eval_split != "auto":
        split = run.config.eval_split
    texts: list[str] = []
    for instances in json_lines.read(data.split_paths[split][0]):
        texts += instances.texts
        if len(texts) >= _INSTANCES.value:
            break
    return texts[: _INSTANCES.value]


if __name__ == "__main__":
    app.run(main)
