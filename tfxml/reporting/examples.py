"""Examples of a report: what the model got right, and where it was most wrong.

# N instances, K candidates an instance
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.reporting import measured as measured_lib
from tfxml.run import explanations, scored_rows

_LABELS = 5  # that are shown of an answer
_FEATURES = 5  # that are shown of a label
_TERMS = 16  # that are shown of an instance
_MISSED = 10  # true labels beyond the answer


class Answer(TypedDict):
    """A label that was predicted."""

    name: str
    score: float
    is_true: bool
    features: list[tuple[str, float]]  # with their contributions


class Example(TypedDict):
    """An instance as a report shows it."""

    row: int
    features: list[str]
    num_features: int
    answers: list[Answer]
    missed: list[str]
    num_missed: int


def choose(
    answers: scored_rows.ScoredRows, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns instances that went well and ones that went badly, by row.

    Well: most true labels before the first wrong one. Badly: the best label is
    wrong, and surest. Ties go to the surer, then to the earlier row.

    Args:
        answers: to N instances.
        number: how many of each, at most.
    """
    is_true = answers.is_true
    best = answers.candidates.scores[:, 0]
    before = np.cumprod(is_true, axis=1).sum(axis=1)
    good = np.lexsort((-best, -before))
    good = good[before[good] > 0][:number]
    wrong = np.flatnonzero(~is_true[:, 0] & (answers.truth.lengths() > 0))
    bad = wrong[np.argsort(-best[wrong], kind="stable")][:number]
    return good, bad


def show(measured: measured_lib.Measured, rows: np.ndarray) -> list[Example]:
    """Returns the instances as a report shows them."""
    explainer = None
    if explanations.can_explain(measured.run):
        explainer = explanations.Explainer(measured.run)
    return [_example(measured, int(row), explainer) for row in rows]


def _example(
    measured: measured_lib.Measured,
    row: int,
    explainer: explanations.Explainer | None,
) -> Example:
    candidates, truth, *_ = measured.answers
    named, _ = measured.source.rows(tf.constant([row], tf.int64))
    ids = named[inputs.FEATURE_IDS].flat_values.numpy()
    values = named[inputs.FEATURE_VALUES].flat_values.numpy()
    label_ids = candidates.label_ids[row, :_LABELS]
    true_ids = truth.ids[truth.splits[row] : truth.splits[row + 1]]
    told: list[dict] = [{"features": [], "contributions": []}] * len(label_ids)
    if explainer is not None:
        told = explainer.explain(ids, values, label_ids, _FEATURES)
    names = explanations.FeatureNames(measured.run)
    strongest = np.argsort(-np.abs(values), kind="stable")[:_TERMS]
    missed = np.setdiff1d(true_ids, label_ids)
    return {
        "row": row,
        "features": [str(names.of(i)) for i in ids[strongest]],
        "num_features": len(ids),
        "answers": [
            {
                "name": measured.label_name(label),
                "score": float(score),
                "is_true": bool(np.isin(label, true_ids)),
                "features": [
                    (str(name), share)
                    for name, share in zip(
                        one["features"], one["contributions"], strict=True
                    )
                ],
            }
            for label, score, one in zip(
                label_ids, candidates.scores[row], told, strict=False
            )
        ],
        "missed": [measured.label_name(label) for label in missed[:_MISSED]],
        "num_missed": len(missed),
    }
