"""What a model must beat: frequent labels, centroids, a quick linear model.

Each takes seconds. A model that is not ahead of them has learnt too little of
the data, whatever its loss.
"""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from tfxml.cpu import margins as margins_lib
from tfxml.cpu import predictor, threads
from tfxml.data import instances as instances_lib
from tfxml.data.feeding import in_memory, pipeline
from tfxml.evaluation import evaluator
from tfxml.models import extreme_classifier, reranker, row_forms
from tfxml.models.heads import centroid
from tfxml.run import datasets
from tfxml.training.solvers import centroids, label_classifiers

_FEWEST = 1000  # training instances: with fewer, scores say little
_MOST_ENTRIES = 300_000_000  # features of all instances that are summed
_ROWS = 4000  # that are evaluated
_FEATURES, _LABELS = 100, 200  # weights of a centroid, labels of a feature
_LINEAR_LABELS = 300  # the most frequent, each with a linear classifier
_LINEAR_ENTRIES = 1_000_000  # features of the instances that they learn from
_LINEAR_FEATURES = 20_000  # weights of each, at most
_FALLING = 0.03  # of a loss, in its last epoch


def of(data: datasets.TrainingData, k: int = 1) -> dict[str, float]:
    """Returns P@k of each baseline, in percent; empty where none is computed.

    They are computed on the first rows that a run evaluates.
    """
    train, evaluation = data.train, data.evaluation
    if not data.facts.data_dir or train.num_instances < _FEWEST:
        return {}
    number = min(evaluation.num_instances, _ROWS)
    rows, labels = _rows(evaluation, np.arange(number))
    frequent = np.argsort(-data.label_counts, kind="stable")[:k]
    answers = {"the most frequent labels": np.tile(frequent, (number, 1))}
    mean = len(rows.values) / max(number, 1)
    if mean * train.num_instances <= _MOST_ENTRIES:
        answers["nearest centroids"] = _nearest(data, rows, k)
    answers["quick linear classifiers"] = _linear(data, rows, k)
    return {
        name: _precision(top, labels.row_splits.numpy(), labels)
        for name, top in answers.items()
    }


def remarks(
    precision: float,
    found: dict[str, float],
    losses: list[float],
    is_recipe_found: bool,
) -> list[str]:
    """Returns what to tell of a run that ended.

    Args:
        precision: P@1 of the model, in percent.
        found: P@1 of the baselines.
        losses: of the epochs.
        is_recipe_found: whether a recipe chose the options.
    """
    lines = []
    if found:
        words = ", ".join(f"{name} {v:.2f}" for name, v in found.items())
        lines.append(f"baselines P@1: {words}")
    ahead = [name for name, value in found.items() if value >= precision]
    if ahead and precision < 100:
        advice = (
            "--recipe=auto with --reranker_passes=30, or more --time_budget if "
            "the recipe names what was not tried"
            if is_recipe_found
            else "--recipe=auto, or more --num_epochs and --reranker_passes=30"
        )
        lines.append(
            f"the model is not ahead of {' and '.join(ahead)}: try {advice}"
        )
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


def _linear(
    data: datasets.TrainingData, rows: row_forms.RaggedRows, k: int
) -> np.ndarray:
    """Returns the best of the most frequent labels, [N, k].

    Their linear classifiers learn from a part of the training split, one
    against all others (Fan et al., LIBLINEAR, JMLR 2008).
    """
    source, label_ids = _frequent_part(data)
    everything = np.arange(source.num_labels, dtype=np.int32)

    def every_label(number: int) -> np.ndarray:
        return np.tile(everything, (number, 1))

    settings = label_classifiers.Settings(
        cost=1.0,
        num_passes=30,
        mean_features=min(_LINEAR_FEATURES, source.num_features),
        centroid=0.0,
        seed=0,
    )
    layer = reranker.Reranker(
        source.num_labels,
        source.num_features,
        settings.mean_features,
        source.num_labels,
    )
    layer.assign(
        label_classifiers.learn(
            source, every_label(source.num_instances), settings
        )
    )
    margins = margins_lib.Reranker(layer).margins(
        rows,
        every_label(len(rows.splits) - 1),
        threads.Threads(os.cpu_count() or 1),
    )
    best = np.argsort(-margins, axis=1, kind="stable")[:, :k]
    return label_ids[best]


def _frequent_part(
    data: datasets.TrainingData,
) -> tuple[in_memory.InMemorySource, np.ndarray]:
    """Returns some training instances, whose only labels are frequent ones.

    And the ids of those labels, by their ids in the part.
    """
    train = data.train
    order = np.argsort(-data.label_counts, kind="stable")
    label_ids = np.sort(order[:_LINEAR_LABELS])
    lengths = train.row_lengths()
    chosen = np.random.default_rng(0).permutation(train.num_instances)
    number = np.searchsorted(np.cumsum(lengths[chosen]), _LINEAR_ENTRIES)
    rows, labels = _rows(train, np.sort(chosen[: max(number, 1)]))
    splits, flat = labels.row_splits.numpy(), labels.flat_values.numpy()
    is_kept = np.isin(flat, label_ids)
    part = instances_lib.Instances(
        rows.splits,
        rows.feature_ids.astype(np.int32),
        rows.values,
        np.concatenate([[0], np.cumsum(is_kept)])[splits],
        np.searchsorted(label_ids, flat[is_kept]).astype(np.int32),
    )
    source = in_memory.InMemorySource(part, train.num_features, len(label_ids))
    return source, label_ids


def _rows(
    source: pipeline.Source, indices: np.ndarray
) -> tuple[row_forms.RaggedRows, tf.RaggedTensor]:
    """Returns rows of a source, and their label ids, [n, None]."""
    inputs, labels = source.rows(tf.constant(indices, tf.int64))
    return evaluator.row_arrays(inputs), labels


def _precision(top: np.ndarray, splits: np.ndarray, labels) -> float:
    """Returns P@k of labels [N, k], in percent."""
    flat = labels.flat_values.numpy()
    hits = sum(
        np.isin(top[row], flat[splits[row] : splits[row + 1]]).sum()
        for row in range(len(top))
    )
    return 100 * float(hits) / max(top.size, 1)
