"""Predicts labels: `python -m tfxml.predict --workdir=... --input=...`.

Each line read is one JSON object: {"text": "..."}, {"title": "...",
"content": "..."} or {"feature_ids": [...], "feature_values": [...]}. Each line
written is one too: label names, label ids and scores, best first, and the
"uid" of the line read where it has one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from tfxml.cpu import predictor as host
from tfxml.data import data_errors, inputs, instances, requests
from tfxml.models import sparse_rows
from tfxml.run import flags, restore

RUNTIMES = ("auto", "host", "tensorflow")


class Predictor:
    """Predicts label names with a trained run.

    Args:
        run: what `restore.restore` returns.
        k: how many labels an instance.
        runtime: what finds the labels: compiled loops on the `host`, or
            `tensorflow`. `auto` is the host where the model lies in a process
            without an accelerator.
    """

    def __init__(
        self, run: restore.TrainedRun, k: int = 5, runtime: str = "auto"
    ):
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        if runtime not in RUNTIMES:
            raise ValueError(
                f"`runtime` must be one of {RUNTIMES}. Received: {runtime=}"
            )
        self._run = run
        self._k = min(k, run.facts.num_labels)
        if runtime == "auto":
            is_host = host.suits(run.model, tf.distribute.get_strategy())
            runtime = "host" if is_host else "tensorflow"
        self._find = (
            host.CpuPredictor(run.model).top_k
            if runtime == "host"
            else self._on_tensorflow()
        )
        # Traced or compiled now, so that the first request does not wait.
        if run.facts.is_text:
            self._features_of = tf.function(
                run.text_features,
                input_signature=[tf.TensorSpec([None], tf.string)],
            )
            self._predict_texts([""])
        else:
            no_ids, no_values = np.zeros(0, np.int32), np.zeros(0, np.float32)
            self._predict_rows([requests.Request(None, no_ids, no_values, 0)])

    def predict(self, batch: list[requests.Request]) -> list[dict]:
        """Returns label names, ids and scores for each request."""
        texts = [one.text for one in batch if one.text is not None]
        rows = [one for one in batch if one.text is None]
        answers = iter(self._answers(self._predict_texts(texts)))
        row_answers = iter(self._answers(self._predict_rows(rows)))
        results = []
        for one in batch:
            answer = next(row_answers if one.text is None else answers)
            named = {} if one.uid is None else {"uid": one.uid}
            results.append({**named, **answer})
        return results

    def _predict_texts(self, texts: list[str]):
        if not texts:
            return [], []
        ids, values = self._features_of(tf.constant(texts))
        rows = ids.flat_values, values.flat_values, ids.row_splits
        return self._find(sparse_rows.RaggedRows(*rows), self._k)

    def _predict_rows(self, batch: list[requests.Request]):
        if not batch:
            return [], []
        splits = np.cumsum([0, *(len(one.feature_ids) for one in batch)])
        ids = np.concatenate([one.feature_ids for one in batch])
        values = np.concatenate([one.feature_values for one in batch])
        if self._run.config.normalize_rows:
            values = instances.normalized(values, splits)
        return self._find(sparse_rows.RaggedRows(ids, values, splits), self._k)

    def _answers(self, top) -> Iterator[dict]:
        names = self._run.label_names
        for scores, ids in zip(*map(np.asarray, top), strict=True):
            yield {
                "label_names": [names[i] if names else str(i) for i in ids],
                "label_ids": ids.tolist(),
                "scores": [round(float(score), 6) for score in scores],
            }

    def _on_tensorflow(self) -> Callable:
        """Returns what `CpuPredictor.top_k` does, by the model itself."""
        model, is_padded = self._run.model, self._run.facts.form == "padded"

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.int64),
            ]
        )
        def top_k(*rows):
            ids, values, splits = rows
            ids = tf.RaggedTensor.from_row_splits(ids, splits)
            found = inputs.features(ids, ids.with_values(values))
            return model.top_k(
                inputs.padded(found) if is_padded else found, self._k
            )

        return lambda rows, k: top_k(*rows)


def predict_lines(
    predictor: Predictor, read: Iterable[requests.Request], batch_size: int
) -> Iterator[str]:
    """Yields a line of JSON for each request."""
    read = iter(read)
    while batch := list(itertools.islice(read, batch_size)):
        for answer in predictor.predict(batch):
            yield json.dumps(answer, ensure_ascii=False)


def main() -> None:
    values = absl_flags.FLAGS
    run = restore.restore(
        values.workdir, tf.distribute.get_strategy(), values.checkpoint
    )
    predictor = Predictor(run, values.k, values.runtime)
    with contextlib.ExitStack() as files:
        lines, name = sys.stdin, "<standard input>"
        if values.input != "-":
            name = values.input
            lines = files.enter_context(_open(name))
        sink = sys.stdout
        if values.output != "-":
            sink = files.enter_context(open(values.output, "w"))
        read = requests.read(
            lines, name, run.facts.num_features, run.facts.is_text
        )
        for line in predict_lines(predictor, read, values.batch_size):
            sink.write(line + "\n")
            sink.flush()


def _open(path: str):
    try:
        return open(path, encoding="utf-8")
    except OSError as error:
        raise data_errors.DataError(
            path, error.strerror, "a file of JSON lines"
        ) from error


def define_flags() -> None:
    restore.define_flags()
    absl_flags.DEFINE_string("input", "-", "JSON lines; -: standard input.")
    absl_flags.DEFINE_string("output", "-", "JSON lines; -: standard output.")
    absl_flags.DEFINE_integer("k", 5, "Labels an instance.", lower_bound=1)
    absl_flags.DEFINE_integer(
        "batch_size",
        256,
        "Instances at once; 1 answers each line as it comes.",
        lower_bound=1,
    )
    absl_flags.DEFINE_enum(
        "runtime",
        "auto",
        RUNTIMES,
        "What finds labels; auto: the host where there is no accelerator.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
