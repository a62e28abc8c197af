"""Predicts for requests with a trained run, restored by TensorFlow."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import inputs, requests
from tfxml.models import row_forms
from tfxml.run import (
    answers,
    explanations,
    request_answers,
    restore,
    scored_rows,
    set_choices,
    text_inputs,
)


class RequestPredictor(request_answers.RequestAnswers):
    """Predicts label names with a trained run.

    Args:
        run: what `restore.restore` returns.
        k: how many labels an instance.
        runtime: what finds the labels: loops compiled for the `cpu`, or
            `tensorflow`. `auto` is the CPU where the model lies in a process
            without an accelerator and its modules declare serving forms.
        choice: which labels an instance is answered with; None: the k best.

    Attributes:
        note: why `auto` took TensorFlow, if a module is the reason; or ''.
    """

    def __init__(
        self,
        run: restore.TrainedRun,
        k: int = 5,
        runtime: str = "auto",
        choice: set_choices.SetChoice | None = None,
    ):
        if runtime not in answers.RUNTIMES:
            raise ValueError(
                f"`runtime` must be one of {answers.RUNTIMES}. "
                f"Received: {runtime=}"
            )
        choice = choice or set_choices.SetChoice(k=k)
        super().__init__(
            run.label_names,
            choice,
            run.facts.num_labels,
            run.config.normalize_rows,
            run.facts.num_features,
            run.facts.is_text,
            run.config.drop_own_labels,
        )
        self._run, self.stale = run, run.stale
        self.title_weight = run.config.title_weight
        if runtime == "auto":
            suits = cpu_predictor.suits(run.model, tf.distribute.get_strategy())
            runtime = "cpu" if suits else "tensorflow"
            self.note = cpu_predictor.why_not(run.model)
        self._find = (
            cpu_predictor.CpuPredictor(run.model).top_k
            if runtime == "cpu"
            else self._on_tensorflow()
        )
        # Traced or compiled now, so that the first request does not wait.
        if run.text_features is not None:
            self._inputs_of = text_inputs.TextInputs(
                run.config, run.text_features
            )
            self._features_of = tf.function(
                self._inputs_of,
                input_signature=[tf.TensorSpec([None], tf.string)],
                autograph=False,
            )
            self._predict_texts([""])
        else:
            no_ids, no_values = np.zeros(0, np.int32), np.zeros(0, np.float32)
            self._predict_rows([requests.Request(None, no_ids, no_values, 0)])

    @functools.cached_property
    def explainer(self) -> explanations.Explainer:
        """What finds the features that speak for a label."""
        return explanations.Explainer(self._run)

    def _predict_texts(self, texts: list[str]):
        if not texts:
            return (), [], None
        named = self._features_of(tf.constant(texts))
        ids = named[inputs.FEATURE_IDS]
        if self._inputs_of.max_tokens is not None:
            is_empty = named[inputs.TOKEN_IDS].row_lengths().numpy() == 0
            return self._answer_to(named), is_empty, None
        values = named[inputs.FEATURE_VALUES]
        return self._find_in(
            ids.flat_values, values.flat_values, ids.row_splits
        )

    def _on_tensorflow(self) -> Callable:
        """Returns what `CpuPredictor.top_k` does, by the model itself."""
        models_sets = self._run.model.head.Options.models_sets
        self._answer_to = scored_rows.answers_of(
            self._run.model,
            self._run.facts,
            self._num_found,
            models_sets and self._choice.way == set_choices.SET,
        )

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.int64),
            ],
            autograph=False,
        )
        def answer(*rows):
            ids, values, splits = rows
            ids = tf.RaggedTensor.from_row_splits(ids, splits)
            return self._answer_to(
                inputs.features(ids, ids.with_values(values))
            )

        return lambda rows, k: answer(*rows)

    def _top_k(self, rows: row_forms.RaggedRows):
        return self._find(rows, self._num_found)

    def _check_rows(self) -> None:
        if self._run.facts.is_text and self._inputs_of.max_tokens is not None:
            raise ValueError(
                "`feature_ids` must not be given to a model that reads words "
                "in their order. Received: features; give text"
            )
