"""Predicts for arrays and texts in memory with a trained run.

# N instances, K top labels
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import array_features, inputs, instances, own_labels
from tfxml.data.text import text_rows
from tfxml.evaluation import exclusions, label_sets
from tfxml.models import row_forms
from tfxml.run import restore, scored_rows, set_choices, text_inputs

_TEXTS_AT_ONCE = 4096


class ArrayPredictor:
    """Finds the best labels of rows or texts, in whatever is the faster way.

    Args:
        run: what `restore.restore` returns.
    """

    def __init__(self, run: restore.TrainedRun):
        self._run = run
        self._own_labels = None
        if run.config.drop_own_labels and run.label_names is not None:
            self._own_labels = own_labels.OwnLabels(run.label_names)
        self._on_cpu = None
        if cpu_predictor.suits(run.model, tf.distribute.get_strategy()):
            self._on_cpu = cpu_predictor.CpuPredictor(run.model)

    def top_k(
        self, features: array_features.Features, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' scores and ids, [N, K] each, best first.

        A label that is never answered is among them where K is L alone: last,
        with a score of 0.

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
        scores, label_ids, *_ = self._found(features, k, self._by_model)
        return scores, label_ids

    def chosen(
        self, features: array_features.Features, choice: set_choices.SetChoice
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns label ids, best first, and which are answered, [N, K] each.

        Raises:
            ValueError: as `top_k`.
        """
        with_sets = (
            choice.way == set_choices.SET
            and self._run.model.head.Options.models_sets
        )
        if not with_sets or not features.num_instances:
            found: tuple[np.ndarray, ...] = self.top_k(
                features, choice.num_ranked
            )
        else:
            self._check(features)
            k = min(choice.num_ranked, self._run.facts.num_labels)
            answer = scored_rows.answers_of(
                self._run.model, self._run.facts, k, with_sets=True
            )
            found = self._found(
                features,
                k,
                lambda named, k: tuple(one.numpy() for one in answer(named)),
            )
        scores, label_ids, *sets = found
        candidates = label_sets.Candidates(scores, label_ids)
        return label_ids, choice.choose(candidates, *sets)

    def _found(
        self, features: array_features.Features, k: int, by_model: Callable
    ) -> tuple[np.ndarray, ...]:
        """Returns scores, ids and whatever else `by_model` returns, [N, ...].

        It takes named inputs and `k`.
        """
        texts = features.texts
        if texts is None or self._own_labels is None:
            return self._best_of(features, k, by_model)
        num_found = min(k + 1, self._run.facts.num_labels)
        scores, label_ids, *sets = self._best_of(features, num_found, by_model)
        is_own = label_ids == self._own_labels.of(texts)[:, None]
        return exclusions.without(is_own, scores, label_ids, sets, k)

    def _best_of(
        self, features: array_features.Features, k: int, by_model: Callable
    ) -> tuple[np.ndarray, ...]:
        """Returns what the model finds; see `_found`."""
        fitted = self._run.text_features
        if features.texts is None or fitted is None:
            splits, ids, values = features.rows()
            if self._run.config.normalize_rows:
                values = instances.normalized(values, splits)
            rows = row_forms.RaggedRows(ids, values, splits)
            return self._find(rows, k, by_model)
        texts = features.texts
        runs = [
            texts[first : first + _TEXTS_AT_ONCE]
            for first in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        if text_inputs.max_tokens(self._run.config) is None:
            stream = text_rows.stream(fitted, runs, False, None)
            answers = [
                self._find(
                    row_forms.RaggedRows(ids, values, splits), k, by_model
                )
                for splits, ids, values, *_ in stream
            ]
        else:
            reader = text_inputs.TextInputs(self._run.config, fitted)
            answers = [by_model(reader(tf.constant(some)), k) for some in runs]
        return tuple(map(np.concatenate, zip(*answers, strict=True)))

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

    def _find(self, rows: row_forms.RaggedRows, k: int, by_model: Callable):
        if self._on_cpu is not None:
            return self._on_cpu.top_k(rows, k)
        ids = tf.RaggedTensor.from_row_splits(rows.feature_ids, rows.splits)
        return by_model(inputs.features(ids, ids.with_values(rows.values)), k)

    def _by_model(self, named: dict[str, tf.RaggedTensor], k: int):
        if self._run.facts.form == "padded":
            named = inputs.padded(named)
        scores, label_ids = self._run.model.top_k(named, k)
        return scores.numpy(), label_ids.numpy()
