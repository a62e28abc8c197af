"""Predicts for requests, one by one or line by line, with a trained run."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import data_errors, inputs, instances, requests
from tfxml.evaluation import label_sets
from tfxml.models import sparse_rows
from tfxml.run import (
    answers,
    explanations,
    restore,
    scored_rows,
    set_choices,
    text_inputs,
)

RUNTIMES = ("auto", "cpu", "tensorflow")


class RequestPredictor:
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
        if runtime not in RUNTIMES:
            raise ValueError(
                f"`runtime` must be one of {RUNTIMES}. Received: {runtime=}"
            )
        self._run = run
        self._choice = choice or set_choices.SetChoice(k=k)
        self._k = min(self._choice.num_ranked, run.facts.num_labels)
        self.note = ""
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
            )
            self._predict_texts([""])
        else:
            no_ids, no_values = np.zeros(0, np.int32), np.zeros(0, np.float32)
            self._predict_rows([requests.Request(None, no_ids, no_values, 0)])

    @functools.cached_property
    def explainer(self) -> explanations.Explainer:
        """What finds the features that speak for a label."""
        return explanations.Explainer(self._run)

    def predict(
        self,
        batch: list[requests.Request],
        k: int | None = None,
        explain: int = 0,
    ) -> list[dict]:
        """Returns label names, ids and scores for each request.

        Args:
            batch: the requests.
            k: how many labels an instance; None: as many as there may be.
            explain: how many features are told a label, those that speak most
                for it or against it.

        Raises:
            ValueError: if scores are not finite: values are too large. Or if
                the model's labels cannot be explained, and are to be.
        """
        texts = [one.text for one in batch if one.text is not None]
        rows = [one for one in batch if one.text is None]
        k = self._k if k is None else min(k, self._k)
        text_answers = self._answers(self._predict_texts(texts), k, explain)
        row_answers = self._answers(self._predict_rows(rows), k, explain)
        results = []
        for one in batch:
            answer = next(row_answers if one.text is None else text_answers)
            name = _name(one)
            if not np.isfinite(answer["scores"]).all():
                raise ValueError(
                    f"the scores of {name or 'a request'} are not finite: its "
                    "feature values are too large for the model"
                )
            results.append({**name, **answer})
        return results

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

    def _predict_rows(self, batch: list[requests.Request]):
        if not batch:
            return (), [], None
        if self._run.facts.is_text and self._inputs_of.max_tokens is not None:
            raise ValueError(
                "`feature_ids` must not be given to a model that reads words "
                "in their order. Received: features; give text"
            )
        all_ids, all_values = zip(
            *(one.features() for one in batch), strict=True
        )
        splits = instances.splits_from_lengths([len(ids) for ids in all_ids])
        ids, values = np.concatenate(all_ids), np.concatenate(all_values)
        if self._run.config.normalize_rows:
            values = instances.normalized(values, splits)
        return self._find_in(ids, values, splits)

    def _find_in(self, ids, values, splits):
        """Returns what was found, which rows have no feature, the rows."""
        rows = sparse_rows.RaggedRows(*map(np.asarray, (ids, values, splits)))
        # Zeros stand for nothing too.
        before = np.cumsum([0, *(rows.values != 0)])
        is_empty = before[rows.splits[1:]] == before[rows.splits[:-1]]
        return self._find(rows, self._k), is_empty, rows

    def _answers(self, found, k: int, explain: int) -> Iterator[dict]:
        """Yields answers of `scored_rows.answers_of` and what goes with it."""
        arrays, is_empty, rows = found
        if not len(is_empty):
            return
        names = self._run.label_names
        scores, label_ids, *sets = map(np.asarray, arrays)
        # A row that is not finite keeps its scores, which `predict` refuses.
        is_wrong = ~np.isfinite(scores).all(axis=1)
        candidates = label_sets.Candidates(
            np.where(is_wrong[:, None], 0, scores), label_ids
        )
        is_chosen = self._choice.choose(candidates, *sets)
        is_chosen = is_chosen | is_wrong[:, None]
        abstains = self._choice.abstains(candidates)
        for place, empty in enumerate(is_empty):
            ids = label_ids[place][is_chosen[place]][:k]
            of_ids = scores[place][is_chosen[place]][:k]
            answer = {
                "label_names": [names[i] if names else str(i) for i in ids],
                "label_ids": ids.tolist(),
                "scores": [round(float(score), 6) for score in of_ids],
            }
            if empty:
                answer["empty"] = True
            if abstains[place]:
                answer["abstained"] = True
            if explain:
                answer["explanations"] = self.explainer.explain(
                    *_row(rows, place), ids, explain
                )
            yield answer

    def _on_tensorflow(self) -> Callable:
        """Returns what `CpuPredictor.top_k` does, by the model itself."""
        is_of_sets = self._choice.way == set_choices.SET
        self._answer_to = scored_rows.answers_of(
            self._run, self._k, is_of_sets and self._run.model.head.models_sets
        )

        @tf.function(
            input_signature=[
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.int64),
            ]
        )
        def answer(*rows):
            ids, values, splits = rows
            ids = tf.RaggedTensor.from_row_splits(ids, splits)
            return self._answer_to(
                inputs.features(ids, ids.with_values(values))
            )

        return lambda rows, k: answer(*rows)


def predict_lines(
    predictor: RequestPredictor,
    read: Iterable[requests.Request | requests.Skipped],
    batch_size: int,
    k: int | None = None,
    explain: int = 0,
) -> Iterator[str]:
    """Yields a line of JSON for each line read.

    Args:
        predictor: of the labels.
        read: what `requests.read` yields.
        batch_size: how many requests at once.
        k, explain: see `RequestPredictor.predict`.

    Raises:
        DataError: for what cannot be read, after the answers to what stands
            before it.
    """
    read, failure = iter(read), None
    while failure is None:
        batch = []
        try:
            for one in itertools.islice(read, batch_size):
                batch.append(one)
        except data_errors.DataError as error:
            failure = error
        if not batch:
            break
        yield from map(answers.to_line, _answer(predictor, batch, k, explain))
    if failure is not None:
        raise failure


def _answer(
    predictor: RequestPredictor, batch: list, k: int | None, explain: int
) -> Iterator[dict]:
    """Yields an answer to each line, in order."""
    good = [one for one in batch if isinstance(one, requests.Request)]
    found = iter(predictor.predict(good, k, explain))
    for one in batch:
        if isinstance(one, requests.Request):
            yield next(found)
        elif one.error is not None:
            yield {"line": one.line, "error": str(one.error)}
        else:
            yield {
                "line": one.line,
                "label_names": [],
                "label_ids": [],
                "scores": [],
                "empty": True,
            }


def _name(request: requests.Request) -> dict:
    """Returns what an answer says of its request: the uid, or the line."""
    if request.uid is not None:
        return {"uid": request.uid}
    return {} if request.line is None else {"line": request.line}


def _row(
    rows: sparse_rows.RaggedRows | None, place: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns feature ids and values of one of the rows, [E] each."""
    if rows is None:  # of words in their order, which are not explained
        return np.zeros(0, np.int32), np.zeros(0, np.float32)
    run = slice(rows.splits[place], rows.splits[place + 1])
    return rows.feature_ids[run], rows.values[run]
