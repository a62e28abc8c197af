"""Predicts with a trained model in compiled loops, on the CPUs of one machine.

# N instances, D features, E features of all rows, K top labels

A chain of TensorFlow ops takes a millisecond to start, and each op reads all
that the one before it wrote. A query needs little of a model: the weights of
its features, and the re-ranker's of its candidates. The loops read little else.
Products of many rows with a dense kernel are still TensorFlow's.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfxml.cpu import best, dense_stack, margins, ranking, threads
from tfxml.models import (
    calibration,
    contract,
    contract_checks,
    extreme_classifier,
    forms,
    sparse_rows,
)

_ROWS_OF_HEAD = 512  # whose estimates are held together
ROWS_AT_ONCE = 8192  # that share what is read of the re-ranker's weights
_ELSEWHERE = (
    tf.distribute.MultiWorkerMirroredStrategy,
    tf.distribute.ParameterServerStrategy,
    tf.distribute.TPUStrategy,
)

Ranked = tuple[np.ndarray, np.ndarray]  # scores and label ids, [N, K] each


def suits(
    model: extreme_classifier.ExtremeClassifier,
    strategy: tf.distribute.Strategy,
) -> bool:
    """Tells whether a `CpuPredictor` is faster than TensorFlow.

    It is where one process holds the model, without an accelerator, and the
    model declares its forms and does not decode by threshold, which scores few
    of very many labels.
    """
    if isinstance(strategy, _ELSEWHERE):
        return False
    if tf.config.list_logical_devices("GPU") or why_not(model):
        return False
    form = model.head.form()
    return not isinstance(form, forms.BlockRanking) or form.is_exhaustive


def why_not(model: extreme_classifier.ExtremeClassifier) -> str:
    """Returns why a model has no compiled path, or '' if it has one."""
    layers: list[contract.Encoder | contract.Head]
    layers = [*model.encoders, model.head]
    for layer in layers:
        form, reason = contract_checks.checked_form(layer)
        if form is None:
            return f"{reason}, so TensorFlow alone can run it"
    return ""


class CpuPredictor:
    """Answers as an `ExtremeClassifier` does, in compiled loops.

    Scores may differ by rounding. All labels are scored, whatever the decode of
    a MACH head.

    Args:
        model: trained; its weights are copied.
        num_threads: how many processors share a batch.

    Raises:
        ValueError: if a module declares no form, or a weight is not finite.
    """

    def __init__(
        self,
        model: extreme_classifier.ExtremeClassifier,
        num_threads: int = os.cpu_count() or 1,
    ):
        head_form = model.head.form()
        reason = why_not(model)
        if reason or head_form is None:
            raise ValueError(
                "`model` must be one that compiled loops can run. "
                f"Received: {reason}"
            )
        self.num_features = model.num_features
        self._link, self._head_link = model.link, model.head.link
        encoder_forms = [encoder.form() for encoder in model.encoders]
        self._encoders = [
            dense_stack.DenseStack(form)
            for form in encoder_forms
            if form is not None  # none is: `why_not` checked
        ]
        self._head = ranking.ranking(head_form)
        self._reranker: margins.Reranker | None = None
        if model.reranker is not None:
            self._reranker = margins.Reranker(model.reranker)
        self._share = threads.Threads(num_threads)

    def top_k(
        self, rows: sparse_rows.RaggedRows, k: int
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
        return calibration.array_scores(estimates, self._link), label_ids

    def candidates(self, rows: sparse_rows.RaggedRows, k: int) -> np.ndarray:
        """Returns the head's best labels, without the re-ranker, [N, K]."""
        return self._by_batch(rows, k, self._of_head)[1]

    def _by_batch(
        self,
        rows: sparse_rows.RaggedRows,
        k: int,
        find: Callable[[sparse_rows.RaggedRows, int], Ranked],
    ) -> Ranked:
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        return _by_runs(
            lambda part: find(part, k), self._checked(rows), ROWS_AT_ONCE
        )

    def _reranked(self, rows: sparse_rows.RaggedRows, k: int) -> Ranked:
        if self._reranker is None:
            return self._of_head(rows, k)
        size = max(k, self._reranker.num_candidates)
        estimates, label_ids = self._of_head(rows, size)
        logits = calibration.array_logits(estimates, self._head_link)
        k = min(k, logits.shape[1])
        return self._reranker.rerank(rows, logits, label_ids, k, self._share)

    def _of_head(self, rows: sparse_rows.RaggedRows, k: int) -> Ranked:
        return _by_runs(
            lambda part: self._head_top_k(part, k), rows, _ROWS_OF_HEAD
        )

    def _head_top_k(self, rows: sparse_rows.RaggedRows, k: int) -> Ranked:
        encoded: list = [
            encoder(rows, self._share) for encoder in self._encoders
        ]
        encoded = encoded or [rows]
        k = min(k, self._head.num_answers)
        estimates, label_ids = self._head.top_k(encoded, k, self._share)
        if (label_ids == best.NO_LABEL).any():
            raise FloatingPointError(
                "scores are not numbers: feature values are too large"
            )
        return estimates, label_ids

    def _checked(self, rows: sparse_rows.RaggedRows) -> sparse_rows.RaggedRows:
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
        return sparse_rows.RaggedRows(
            ids.astype(np.uint32),  # Numba checks the sign of signed indices
            values,
            splits,
        )


def _by_runs(
    find: Callable[[sparse_rows.RaggedRows], Ranked],
    rows: sparse_rows.RaggedRows,
    most: int,
) -> Ranked:
    """Returns the joined lists of `find`, called on `most` rows at a time."""
    num_rows = len(rows.splits) - 1
    if num_rows <= most:
        return find(rows)
    parts = [
        find(rows._replace(splits=rows.splits[first : first + most + 1]))
        for first in range(0, num_rows, most)
    ]
    scores, label_ids = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(label_ids)
