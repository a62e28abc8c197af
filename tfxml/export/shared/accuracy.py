"""Accuracy of an export, compared with the trained model.

# N instances, M entries of a padded row, K top labels
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.run import evaluation_split, restore

K = 5


@dataclasses.dataclass(frozen=True)
class Sample:
    """Instances of the split that training evaluated."""

    feature_ids: np.ndarray  # [N, M] int32, 0 where unused
    feature_values: np.ndarray  # [N, M] float32, 0 where unused
    label_sets: list[set[int]]

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields ids and values of up to `size` instances at a time."""
        for start in range(0, len(self.label_sets), size):
            rows = slice(start, start + size)
            yield self.feature_ids[rows], self.feature_values[rows]


@dataclasses.dataclass(frozen=True)
class Answers:
    """The best labels of a sample, best first."""

    scores: np.ndarray  # [N, K]
    label_ids: np.ndarray  # [N, K]


def sample(run: restore.TrainedRun, limit: int) -> Sample:
    """Returns the first `limit` instances of the evaluation split.

    Raises:
        ValueError: if the run's data are no longer there.
    """
    try:
        source, _ = evaluation_split.read(
            run.config, run.facts, "", run.text_features
        )
    except OSError as error:
        raise ValueError(
            f"The run's data in {run.facts.data_dir} cannot be read: {error}"
        ) from error
    num_instances = min(limit, source.num_instances)
    rows, labels = source.rows(tf.range(num_instances, dtype=tf.int64))
    padded = inputs.padded(rows)
    return Sample(
        padded[inputs.FEATURE_IDS].numpy(),
        padded[inputs.FEATURE_VALUES].numpy(),
        [set(row.numpy().tolist()) for row in labels],
    )


def trained(run: restore.TrainedRun, instances: Sample) -> Answers:
    """Returns the answers of the model in TensorFlow."""
    top_k = model_top_k(run)
    k = min(K, run.facts.num_labels)
    return joined(
        [top_k(ids, values, k) for ids, values in instances.batches(128)]
    )


def model_top_k(run: restore.TrainedRun) -> Callable:
    """Returns the model as a function of padded ids, padded values and k."""
    form = run.facts.form

    @tf.function(reduce_retracing=True, autograph=False)
    def top_k(ids, values, k):
        if form == "padded":
            return run.model.top_k(inputs.features(ids, values), k)
        is_used = values != 0
        rows = inputs.features(
            tf.ragged.boolean_mask(ids, is_used),
            tf.ragged.boolean_mask(values, is_used),
        )
        return run.model.top_k(rows, k)

    return lambda ids, values, k: top_k(
        tf.constant(ids), tf.constant(values), k
    )


def joined(batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> Answers:
    """Returns the answers of batches of (scores, label ids)."""
    scores, label_ids = zip(*batches, strict=True)
    return Answers(np.concatenate(scores), np.concatenate(label_ids))


def compare(
    answers: Answers, reference: Answers, instances: Sample
) -> dict[str, float]:
    """Returns P@1, P@3 and P@5 in percent, and the distance to `reference`.

    `max_delta` is the largest difference of scores at the same rank.
    `same_top` is the percentage of instances with the same best labels in the
    same order.
    """
    is_same = (answers.label_ids == reference.label_ids).all(axis=1)
    result = {
        "max_delta": float(np.abs(answers.scores - reference.scores).max()),
        "same_top": 100 * float(is_same.mean()),
    }
    hits = np.array(
        [
            [label in labels for label in row]
            for row, labels in zip(
                answers.label_ids.tolist(), instances.label_sets, strict=True
            )
        ]
    )
    for k in (1, 3, 5):
        result[f"P@{k}"] = 100 * float(hits[:, :k].sum() / (k * len(hits)))
    return result
