"""Predicts with a trained model in compiled loops, on the CPUs of one machine.

# N instances, D features, E features of all rows, K top labels

A chain of TensorFlow ops takes a millisecond to start, and each op reads all
that the one before it wrote. A query needs a small part of a model: the weights
of its features, and the re-ranker's weights of its candidates. The loops read
little else. TensorFlow still multiplies many rows by a dense kernel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tfxml.cpu import (
    best,
    dense_stack,
    form_checks,
    margins,
    ranking,
    threads,
)
from tfxml.models import calibration, forms, row_forms

if TYPE_CHECKING:
    import tensorflow as tf

    from tfxml.models import contract, extreme_classifier

ROWS_AT_ONCE = 8192  # rows that share one pass over the re-ranker's weights

Ranked = tuple[np.ndarray, np.ndarray]  # scores and label ids, [N, K] each


def suits(
    model: extreme_classifier.ExtremeClassifier,
    strategy: tf.distribute.Strategy,
) -> bool:
    """Tells whether a `CpuPredictor` is faster than TensorFlow.

    It is if one process holds the model, without an accelerator, and the model
    declares its forms and does not decode by threshold (which scores few of
    very many labels).
    """
    import tensorflow as tf  # here: what predicts by arrays has none

    elsewhere = (
        tf.distribute.MultiWorkerMirroredStrategy,
        tf.distribute.ParameterServerStrategy,
        tf.distribute.TPUStrategy,
    )
    if isinstance(strategy, elsewhere):
        return False
    if tf.config.list_logical_devices("GPU") or why_not(model):
        return False
    form = model.head.form()
    return not isinstance(form, forms.BlockRanking) or form.is_exhaustive


def why_not(model: extreme_classifier.ExtremeClassifier) -> str:
    """Returns why a model has no compiled path, or '' if it has one."""
    from tfxml.models import contract_checks  # here: it imports TensorFlow

    layers: list[contract.Encoder | contract.Head]
    layers = [*model.encoders, model.head]
    for layer in layers:
        form, reason = contract_checks.checked_form(layer)
        if form is None:
            return f"{reason}, so TensorFlow alone can run it"
    return ""


def serving_model(
    model: extreme_classifier.ExtremeClassifier,
) -> forms.ServingModel:
    """Returns the forms of a model.

    Raises:
        ValueError: if a module declares none.
    """
    head = model.head.form()
    reason = why_not(model)
    if reason or head is None:
        raise ValueError(
            "`model` must be one that compiled loops can run. "
            f"Received: {reason}"
        )
    encoders = [encoder.form() for encoder in model.encoders]
    return forms.ServingModel(
        model.num_features,
        [form for form in encoders if form is not None],  # none is
        head,
        model.head.link,
        model.link,
        None if model.reranker is None else model.reranker.form(),
        model.calibration,
    )


class CpuPredictor:
    """Answers as an `ExtremeClassifier` does, in compiled loops.

    Scores may differ by rounding. All labels are scored, whatever the decode of
    a MACH head.

    Args:
        model: trained, or its forms. Weights that lie on a CPU are read there,
            so once they are trained on, it may answer with either.
        num_threads: how many processors share a batch.

    Raises:
        ValueError: if a module declares no form, or a weight is not finite.
    """

    def __init__(
        self,
        model: extreme_classifier.ExtremeClassifier | forms.ServingModel,
        num_threads: int = os.cpu_count() or 1,
    ):
        if not isinstance(model, forms.ServingModel):
            model = serving_model(model)
        form_checks.check(model)
        self.num_features = model.num_features
        self._link, self._head_link = model.link, model.head_link
        self._calibration = model.calibration
        self._encoders = [
            dense_stack.DenseStack(form) for form in model.encoders
        ]
        self._head = ranking.ranking(model.head)
        self._reranker: margins.Reranker | None = None
        if model.reranker is not None:
            self._reranker = margins.Reranker(model.reranker)
        self._pool = threads.Threads(num_threads)

    def top_k(
        self, rows: row_forms.RaggedRows, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the best labels' scores and ids, [N, K] each, best first.

        Args:
            rows: of arrays: feature ids and values [E], splits [N + 1].
            k: how many labels; with fewer, K is their number.

        Raises:
            ValueError: if a feature id is not a whole number in [0, D), a
                value is not finite, the splits do not fit, or `k` is not
                positive.
            FloatingPointError: if a score is not a number.
        """
        estimates, label_ids = self._by_batch(rows, k, self._reranked)
        scores = calibration.array_scores(
            estimates, self._link, self._calibration
        )
        return scores, label_ids

    def candidates(self, rows: row_forms.RaggedRows, k: int) -> np.ndarray:
        """Returns the head's best labels, without the re-ranker, [N, K]."""
        return self._by_batch(rows, k, self._head_top_k_in_chunks)[1]

    def of_head(
        self, rows: row_forms.RaggedRows, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the head's best labels, as the re-ranker gets them.

        Args:
            rows, k: as in `top_k`.

        Returns:
            Their logits and ids, [N, K] each, best first.
        """
        estimates, label_ids = self._by_batch(
            rows, k, self._head_top_k_in_chunks
        )
        return calibration.array_logits(estimates, self._head_link), label_ids

    def _by_batch(
        self,
        rows: row_forms.RaggedRows,
        k: int,
        top_k_of_rows: Callable[[row_forms.RaggedRows, int], Ranked],
    ) -> Ranked:
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        return _in_chunks(
            lambda part: top_k_of_rows(part, k),
            self._checked(rows),
            ROWS_AT_ONCE,
        )

    def _reranked(self, rows: row_forms.RaggedRows, k: int) -> Ranked:
        if self._reranker is None:
            return self._head_top_k_in_chunks(rows, k)
        size = max(k, self._reranker.num_candidates)
        estimates, label_ids = self._head_top_k_in_chunks(rows, size)
        logits = calibration.array_logits(estimates, self._head_link)
        k = min(k, logits.shape[1])
        return self._reranker.rerank(rows, logits, label_ids, k, self._pool)

    def _head_top_k_in_chunks(
        self, rows: row_forms.RaggedRows, k: int
    ) -> Ranked:
        return _in_chunks(
            lambda part: self._head_top_k(part, k),
            rows,
            self._head.rows_at_once or ROWS_AT_ONCE,
        )

    def _head_top_k(self, rows: row_forms.RaggedRows, k: int) -> Ranked:
        encoded: list = [
            encoder(rows, self._pool) for encoder in self._encoders
        ]
        encoded = encoded or [rows]
        k = min(k, self._head.num_answers)
        estimates, label_ids = self._head.top_k(encoded, k, self._pool)
        best.require_labels(label_ids)
        return estimates, label_ids

    def _checked(self, rows: row_forms.RaggedRows) -> row_forms.RaggedRows:
        """Returns the rows in the types that the loops read."""
        ids = np.asarray(rows.feature_ids)
        if len(ids) and not (
            ids.dtype.kind in "iu"
            and 0 <= ids.min() <= ids.max() < self.num_features
        ):
            raise ValueError(
                "`rows.feature_ids` must be whole numbers in "
                f"[0, {self.num_features}). "
                f"Received: {ids.dtype} from {ids.min()} to {ids.max()}"
            )
        values = np.asarray(rows.values, np.float32)
        if not np.isfinite(values).all():
            raise ValueError(
                "`rows.values` must be finite. Received: "
                f"{values[~np.isfinite(values)][0]}"
            )
        splits = np.asarray(rows.splits, np.int64)
        if (
            not len(splits)
            or splits[0] != 0
            or splits[-1] != len(ids)
            or (splits[1:] < splits[:-1]).any()
            or len(values) != len(ids)
        ):
            raise ValueError(
                "`rows.splits` must ascend from 0 to the number of features. "
                f"Received: {len(ids)} ids, {len(values)} values, "
                f"splits={splits}"
            )
        return row_forms.RaggedRows(
            ids.astype(np.uint32),  # Numba checks the sign of signed indices
            values,
            splits,
        )


def _in_chunks(
    top_k_of_rows: Callable[[row_forms.RaggedRows], Ranked],
    rows: row_forms.RaggedRows,
    max_rows: int,
) -> Ranked:
    """Calls `top_k_of_rows` on `max_rows` rows at a time; joins the lists."""
    num_rows = len(rows.splits) - 1
    if num_rows <= max_rows:
        return top_k_of_rows(rows)
    answers = [
        top_k_of_rows(
            rows._replace(splits=rows.splits[first : first + max_rows + 1])
        )
        for first in range(0, num_rows, max_rows)
    ]
    scores, label_ids = zip(*answers, strict=True)
    return np.concatenate(scores), np.concatenate(label_ids)
