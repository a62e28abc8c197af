"""What a model must beat: the most frequent labels, and nearest centroids.

Both take seconds. A model that is not ahead of them has learnt too little of
the data, whatever its loss.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.cpu import predictor
from tfxml.data import inputs
from tfxml.models import extreme_classifier, row_forms
from tfxml.models.heads import centroid
from tfxml.run import datasets
from tfxml.training.solvers import centroids

_FEWEST = 1000  # training instances: with fewer, scores say little
_MOST_ENTRIES = 300_000_000  # features of all instances that are summed
_ROWS = 4000  # that are evaluated
_FEATURES, _LABELS = 100, 200  # weights of a centroid, labels of a feature
_FALLING = 0.03  # of a loss, in its last epoch


def of(data: datasets.TrainingData, k: int = 1) -> dict[str, float]:
    """Returns P@k of each baseline, in percent; empty where none is computed.

    They are computed on the first rows that a run evaluates.
    """
    train, evaluation = data.train, data.evaluation
    if not data.facts.data_dir or train.num_instances < _FEWEST:
        return {}
    number = min(evaluation.num_instances, _ROWS)
    found, labels = evaluation.rows(tf.range(number, dtype=tf.int64))
    ids = found[inputs.FEATURE_IDS]
    rows = row_forms.RaggedRows(
        ids.flat_values.numpy(),
        found[inputs.FEATURE_VALUES].flat_values.numpy(),
        ids.row_splits.numpy(),
    )
    frequent = np.argsort(-data.label_counts, kind="stable")[:k]
    answers = {"the most frequent labels": np.tile(frequent, (number, 1))}
    mean = len(rows.values) / max(number, 1)
    if mean * train.num_instances <= _MOST_ENTRIES:
        answers["nearest centroids"] = _nearest(data, rows, k)
    return {
        name: _precision(top, labels.row_splits.numpy(), labels)
        for name, top in answers.items()
    }


def remarks(
    precision: float, found: dict[str, float], losses: list[float]
) -> list[str]:
    """Returns what to tell of a run that ended.

    Args:
        precision: P@1 of the model, in percent.
        found: P@1 of the baselines.
        losses: of the epochs.
    """
    lines = []
    if found:
        words = ", ".join(f"{name} {v:.2f}" for name, v in found.items())
        lines.append(f"baselines P@1: {words}")
    lines += [
        f"the model is not ahead of {name}: try --recipe=auto, or more "
        "--num_epochs and --reranker_passes=6"
        for name, value in found.items()
        if precision <= value
    ]
    if len(losses) > 1 and losses[-1] < (1 - _FALLING) * losses[-2]:
        lines.append(
            f"the loss still fell in the last epoch, from {losses[-2]:.3g} to "
            f"{losses[-1]:.3g}: more --num_epochs may help"
        )
    return lines


def _nearest(
    data: datasets.TrainingData, rows: row_forms.RaggedRows, k: int
) -> np.ndarray:
    """Returns the labels with the nearest centroids, [N, k]."""
    train = data.train
    head = centroid.CentroidHead(
        train.num_labels, train.num_features, _FEATURES
    )
    head.assign(centroids.learn(train, _FEATURES, _LABELS, 1.0))
    model = extreme_classifier.ExtremeClassifier(
        [], head, train.num_features, "ragged"
    )
    return predictor.CpuPredictor(model).candidates(rows, k)


def _precision(top: np.ndarray, splits: np.ndarray, labels) -> float:
    """Returns P@k of labels [N, k], in percent."""
    flat = labels.flat_values.numpy()
    hits = sum(
        np.isin(top[row], flat[splits[row] : splits[row + 1]]).sum()
        for row in range(len(top))
    )
    return 100 * float(hits) / max(top.size, 1)
