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
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from absl import flags as absl_flags

from tfxml import flags, restore
from tfxml.data import errors, requests
from tfxml.models import sparse_rows


class Predictor:
    """Predicts label names with a trained run.

    Args:
        run: what `restore.restore` returns.
        k: how many labels an instance.
    """

    def __init__(self, run: restore.TrainedRun, k: int = 5):
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        self._run = run
        self._k = k
        self._from_rows = tf.function(
            self._row_top_k,
            input_signature=[
                tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64),
                tf.RaggedTensorSpec([None, None], tf.float32, 1, tf.int64),
            ],
        )
        self._from_texts = tf.function(
            self._text_top_k, input_signature=[tf.TensorSpec([None], tf.string)]
        )

        # Traced now, so that the first request does not wait for it.
        if run.facts.is_text:
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
        return self._from_texts(tf.constant(texts))

    def _predict_rows(self, rows: list[requests.Request]):
        if not rows:
            return [], []
        splits = np.cumsum([0, *(len(one.feature_ids) for one in rows)])
        ids = np.concatenate([one.feature_ids for one in rows])
        values = np.concatenate([one.feature_values for one in rows])
        return self._from_rows(
            tf.RaggedTensor.from_row_splits(ids, splits),
            tf.RaggedTensor.from_row_splits(values, splits),
        )

    def _answers(self, top) -> Iterator[dict]:
        names = self._run.label_names
        for scores, ids in zip(*map(np.asarray, top), strict=True):
            yield {
                "label_names": [names[i] if names else str(i) for i in ids],
                "label_ids": ids.tolist(),
                "scores": [round(float(score), 6) for score in scores],
            }

    def _row_top_k(self, feature_ids, feature_values):
        if self._run.config.normalize_rows:
            feature_values = sparse_rows.normalize(feature_values)
        return self._top_k(feature_ids, feature_values)

    def _text_top_k(self, texts):
        return self._top_k(*self._run.text_features(texts))

    def _top_k(self, feature_ids, feature_values):
        facts = self._run.facts
        if facts.form == "padded":
            feature_ids = feature_ids.to_tensor(0)
            feature_values = feature_values.to_tensor(0.0)
        k = min(self._k, facts.num_labels)
        return self._run.model.top_k(feature_ids, feature_values, k)


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
    predictor = Predictor(run, values.k)
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
        raise errors.DataError(
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


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
