"""The model as it is served: raw text or features in, label names out.

# N instances, M entries of a padded row, C candidates, K top labels
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfxml.data import inputs, own_labels
from tfxml.data.text import own_label_ops
from tfxml.export.saved_model import request_rows
from tfxml.models import sparse_rows
from tfxml.run import restore, text_inputs

DEFAULT_K = 5
_K_SPEC = tf.TensorSpec(None, tf.int32, "k")


class _Untracked:
    """Hides a Keras layer from a SavedModel, which needs only its weights."""

    def __init__(self, value: Any):
        self.value = value


class ServedModel(tf.Module):
    """A trained run with the signatures that servers call.

    Each returns `label_names` (string), `label_ids` (int32), `scores` (float32)
    and `is_answered` (bool: whether a label reaches its threshold), [N, K],
    best first. `k` is one number, or one per instance, so
    that servers can batch requests; the largest counts. K is at most the number
    of labels.

    - `serving_default`: `text` [N], or the inputs of `features`, depending on
      the training data.
    - `features`: `feature_ids` and `feature_values` [N, M], in any order;
      entries with value 0 are ignored.
    - `examples`: serialized `tf.Example` protos [N] with `text`, or with
      `feature_ids` and `feature_values`.
    - `candidates`: the inputs of `serving_default`, and `candidates` [C], the
      labels to rank.

    Where the run drops the labels that texts are named after, no `text` is
    answered with its own, unless it is one of `candidates`.

    Args:
        run: what `checked_run.read` returns.
        variables: the variables that its model reads.
        max_k: the largest `k` of a request.
    """

    def __init__(
        self,
        run: restore.TrainedRun,
        variables: list[tf.Variable],
        max_k: int,
    ):
        super().__init__()
        if max_k < 1:
            raise ValueError(f"`max_k` must be at least 1. Received: {max_k=}")
        facts = run.facts
        self.max_k = max_k
        self._model = _Untracked(run.model)
        self._facts = facts
        self._normalize = run.config.normalize_rows
        self._variables = variables
        self._answering = _Untracked(run.model.answering)
        self._table = run.model.answering.table(facts.num_labels)
        if self._table is not None:
            self._table = tf.constant(self._table)
        self._text_inputs = None
        if run.text_features is not None:
            self._text_features = run.text_features  # tracked: it has a table
            self._text_inputs = text_inputs.TextInputs(
                run.config, run.text_features
            )
        self._own_labels = None
        if run.config.drop_own_labels and run.label_names is not None:
            self._own_labels = own_label_ops.OwnLabelOps(
                own_labels.OwnLabels(run.label_names)
            )
        self._label_names = None  # labels without names are named by their ids
        if run.label_names is not None:
            with tf.device("CPU"):  # the only device with strings
                self._label_names = tf.constant(run.label_names, tf.string)

    def functions(self) -> dict[str, Callable]:
        """Returns the function of each signature, by name."""
        facts, default_k = self._facts, tf.constant(min(DEFAULT_K, self.max_k))
        text = tf.TensorSpec([None], tf.string, "text")
        ids = tf.TensorSpec([None, None], tf.int32, "feature_ids")
        values = tf.TensorSpec([None, None], tf.float32, "feature_values")
        examples = tf.TensorSpec([None], tf.string, "examples")
        candidates = tf.TensorSpec([None], tf.int32, "candidates")

        def from_features(feature_ids, feature_values, k=default_k):
            return self._rank_all(self._padded(feature_ids, feature_values), k)

        def from_text(text, k=default_k):
            return self._rank_texts(text, k)

        def from_examples(examples, k=default_k):
            if self._text_inputs is not None:
                texts = request_rows.texts_from_examples(examples)
                return self._rank_texts(texts, k)
            rows = request_rows.from_examples(examples, facts.num_features)
            return self._rank_all(self._normalized(rows), k)

        def features_candidates(
            feature_ids, feature_values, candidates, k=default_k
        ):
            rows = self._padded(feature_ids, feature_values)
            return self._rank_candidates(rows, candidates, k)

        def text_candidates(text, candidates, k=default_k):
            return self._rank_candidates(self._text_rows(text), candidates, k)

        rank_candidates: Callable[..., dict[str, tf.Tensor]]
        rank_all: Callable[..., dict[str, tf.Tensor]]
        if self._text_inputs is None:
            rank_candidates, input_specs = features_candidates, [ids, values]
            rank_all = from_features
        else:
            rank_candidates, input_specs, rank_all = (
                text_candidates,
                [text],
                from_text,
            )
        signatures = {
            "serving_default": (rank_all, input_specs),
            "features": (from_features, [ids, values]),
            "examples": (from_examples, [examples]),
            "candidates": (rank_candidates, [*input_specs, candidates]),
        }
        if self._text_inputs and self._text_inputs.max_tokens is not None:
            del signatures["features"]  # feature rows have no word order
        return {
            name: tf.function(
                function, input_signature=[*specs, _K_SPEC], autograph=False
            )
            for name, (function, specs) in signatures.items()
        }

    def _padded(self, feature_ids, feature_values):
        return self._normalized(
            request_rows.from_padded(
                feature_ids, feature_values, self._facts.num_features
            )
        )

    def _text_rows(self, text):
        if self._text_inputs is None:
            raise ValueError("The model reads features, not text.")
        return self._text_inputs(text)

    def _normalized(self, rows):
        ids, values = rows
        if self._normalize:
            values = sparse_rows.normalize(values)
        return inputs.features(ids, values)

    def _rank_texts(self, texts, k) -> dict[str, tf.Tensor]:
        own = None if self._own_labels is None else self._own_labels(texts)
        return self._rank_all(self._text_rows(texts), k, own)

    def _rank_all(self, rows, k, own=None) -> dict[str, tf.Tensor]:
        """Answers rows; `own` [N] are labels that they are not to have."""
        k = request_rows.checked_k(k, self.max_k)
        # The model needs a Python number: rank `max_k`, and cut to `k`.
        max_labels = min(self.max_k + (own is not None), self._facts.num_labels)
        scores, ids = self._model.value.top_k(
            self._in_model_form(rows), max_labels
        )
        if own is not None:
            scores, ids = _without(own, scores, ids)
        return self._answer(scores[:, :k], ids[:, :k])

    def _rank_candidates(self, rows, candidates, k) -> dict[str, tf.Tensor]:
        candidates = request_rows.checked_labels(
            candidates,
            self._facts.num_labels,
            self._model.value.head.dropped,
        )
        return self._answer(
            *self._model.value.rank(
                self._in_model_form(rows),
                candidates,
                request_rows.checked_k(k, self.max_k),
            )
        )

    def _in_model_form(self, rows):
        is_padded = self._facts.form == "padded"
        return inputs.padded(rows) if is_padded else rows

    def _answer(self, scores, label_ids) -> dict[str, tf.Tensor]:
        with tf.device("CPU"):
            if self._label_names is None:
                names = tf.strings.as_string(label_ids)
            else:
                names = tf.gather(self._label_names, label_ids)
        return {
            "label_names": names,
            "label_ids": label_ids,
            "scores": scores,
            "is_answered": self._answering.value.is_answered(
                scores, label_ids, self._table
            ),
        }


def _without(
    own: tf.Tensor, scores: tf.Tensor, label_ids: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns labels [N, K] with those of `own` [N] last, their scores 0."""
    is_own = label_ids == own[:, None]
    order = tf.argsort(tf.cast(is_own, tf.int32), axis=1, stable=True)
    scores = tf.where(is_own, tf.zeros_like(scores), scores)
    return (
        tf.gather(scores, order, batch_dims=1),
        tf.gather(label_ids, order, batch_dims=1),
    )
