"""Predicts for arrays and texts in memory with a trained run.

# N instances, K top labels
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import array_features, inputs, instances
from tfxml.data.text import text_rows
from tfxml.models import sparse_rows
from tfxml.run import restore, text_inputs

_TEXTS_AT_ONCE = 4096


class ArrayPredictor:
    """Finds the best labels of rows or texts, in whatever is the faster way.

    Args:
        run: what `restore.restore` returns.
    """

    def __init__(self, run: restore.TrainedRun):
        self._run = run
        self._on_cpu = None
        if cpu_predictor.suits(run.model, tf.distribute.get_strategy()):
            self._on_cpu = cpu_predictor.CpuPredictor(run.model)

    def top_k(
        self, features: array_features.Features, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' scores and ids, [N, K] each, best first.

        Raises:
            ValueError: if `k` is not positive, or the features are not of the
                kind or the number that the run was trained on.
        """
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        k = min(k, self._run.facts.num_labels)
        self._check(features)
        if not features.num_instances:
            return np.zeros((0, k), np.float32), np.zeros((0, k), np.int32)
        fitted = self._run.text_features
        if features.texts is None or fitted is None:
            splits, ids, values = features.rows()
            return self._of_rows(ids, values, splits, k)
        texts = features.texts
        runs = [
            texts[first : first + _TEXTS_AT_ONCE]
            for first in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        if text_inputs.max_tokens(self._run.config) is None:
            stream = text_rows.stream(fitted, runs, False, None)
            answers = [
                self._find(sparse_rows.RaggedRows(ids, values, splits), k)
                for splits, ids, values, *_ in stream
            ]
        else:
            reader = text_inputs.TextInputs(self._run.config, fitted)
            answers = [
                self._by_model(reader(tf.constant(some)), k) for some in runs
            ]
        scores, label_ids = zip(*answers, strict=True)
        return np.concatenate(scores), np.concatenate(label_ids)

    def _check(self, features: array_features.Features) -> None:
        facts = self._run.facts
        kinds = {True: "texts", False: "numbers"}
        has_texts = features.texts is not None
        if facts.is_text != has_texts:
            raise ValueError(
                f"`X` must hold {kinds[facts.is_text]}, as in training. "
                f"Received: {kinds[has_texts]}"
            )
        if not has_texts and features.num_features != facts.num_features:
            raise ValueError(
                f"`X` must have {facts.num_features} features, as in training. "
                f"Received: {features.num_features}"
            )

    def _of_rows(self, ids, values, splits, k: int):
        if self._run.config.normalize_rows:
            values = instances.normalized(values, splits)
        return self._find(sparse_rows.RaggedRows(ids, values, splits), k)

    def _find(self, rows: sparse_rows.RaggedRows, k: int):
        if self._on_cpu is not None:
            return self._on_cpu.top_k(rows, k)
        ids = tf.RaggedTensor.from_row_splits(rows.feature_ids, rows.splits)
        return self._by_model(
            inputs.features(ids, ids.with_values(rows.values)), k
        )

    def _by_model(self, named: dict[str, tf.RaggedTensor], k: int):
        if self._run.facts.form == "padded":
            named = inputs.padded(named)
        scores, label_ids = self._run.model.top_k(named, k)
        return scores.numpy(), label_ids.numpy()
