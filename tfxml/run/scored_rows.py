"""Scores the rows of a split: the candidates of every instance, and its labels.

# N instances, K candidates an instance, S sets an instance
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.data.feeding import pipeline
from tfxml.evaluation import filtered_pairs, label_sets
from tfxml.models import extreme_classifier
from tfxml.run import evaluation_split, paths, restore, set_choices, workdir

_ROWS, _ROWS_WITH_SETS = 512, 128  # at a time: S sets of each take memory


class ScoredRows(NamedTuple):
    """What a model says of a split, and what is true."""

    candidates: label_sets.Candidates
    truth: label_sets.LabelSets
    is_member: np.ndarray | None  # [N, S, K], of a head that models sets
    weights: np.ndarray | None  # [N, S]

    @property
    def is_true(self) -> np.ndarray:
        """Which candidates are labels of their instance, [N, K]."""
        return self.candidates.is_true(self.truth)


def held_out(
    run: restore.TrainedRun, split: str = "", data_dir: str = ""
) -> tuple[pipeline.Source, str]:
    """Returns rows that the run has not learnt, and their split's name.

    Args:
        run: trained.
        split: `validation` or `dev`; empty: the first of them that there is.
        data_dir: the folder of the data set; empty: the one of training.

    Raises:
        ValueError: for a split that was trained on, or that is for testing.
    """
    name = split or ("validation" if run.config.validation_fraction else "dev")
    if name not in ("validation", "dev"):
        raise ValueError(
            "`split` must be validation or dev: rows that were not trained on, "
            f"and are not those of the final test. Received: {split=}"
        )
    try:
        return of_split(run, name, data_dir)[0], name
    except ValueError as error:
        if split or name == "validation":
            raise
        raise ValueError(
            "`workdir` must be a run with rows held out: train it with "
            "--validation_fraction=0.1, or give the folder of a data set with "
            f"a dev split as --data_dir. Received: {error}"
        ) from error


def of_split(
    run: restore.TrainedRun, split: str = "", data_dir: str = ""
) -> tuple[pipeline.Source, np.ndarray | None]:
    """Returns a split of the run's data, and its pairs that are not scored.

    The arguments are those of `restore.make_evaluate`.
    """
    facts = run.facts
    if data_dir:
        folder = paths.absolute(data_dir, "data_dir")
        facts = dataclasses.replace(facts, data_dir=folder)
    return evaluation_split.read(
        run.config, facts, split, run.text_features, run.label_names
    )


def score(
    run: restore.TrainedRun,
    source: pipeline.Source,
    k: int,
    with_sets: bool = False,
    pairs: np.ndarray | None = None,
) -> ScoredRows:
    """Returns the candidates of all rows of a source, and their labels.

    Args:
        run: trained.
        source: of its data.
        k: K.
        with_sets: whether a head that models sets is asked for them.
        pairs: [F, 2], rows and labels that are not scored.
    """
    with_sets = with_sets and run.model.head.Options.models_sets
    most = 0 if pairs is None else _most_pairs(pairs)
    answer = answers_of(run.model, run.facts, k + most, with_sets)
    parts, lengths, true_ids = [], [], []
    size = _ROWS_WITH_SETS if with_sets else _ROWS
    for first in range(0, source.num_instances, size):
        last = min(first + size, source.num_instances)
        named, labels = source.rows(tf.range(first, last, dtype=tf.int64))
        parts.append([one.numpy() for one in answer(named)])
        lengths.append(labels.row_lengths().numpy())
        true_ids.append(labels.flat_values.numpy())
    scores, label_ids, *sets = map(np.concatenate, zip(*parts, strict=True))
    truth = label_sets.LabelSets(
        label_sets.splits_of(np.concatenate(lengths)), np.concatenate(true_ids)
    )
    if pairs is not None:
        scores, label_ids, sets, truth = _without_pairs(
            scores, label_ids, sets, truth, pairs, k
        )
    return ScoredRows(
        label_sets.Candidates(scores, label_ids),
        truth,
        *(sets or (None, None)),
    )


def _most_pairs(pairs: np.ndarray) -> int:
    """Returns the most pairs of a row."""
    counts = np.unique(pairs[:, 0], return_counts=True)[1]
    return int(counts.max(initial=0))


def _without_pairs(scores, label_ids, sets, truth, pairs, k: int):
    """Returns the same without (row, label) pairs: K labels, best first."""
    splits, ids = filtered_pairs.remove_from_labels(
        truth.splits, truth.ids, pairs
    )
    pairs = np.unique(pairs, axis=0)
    lengths = np.bincount(pairs[:, 0], minlength=len(scores))
    excluded = label_sets.LabelSets(label_sets.splits_of(lengths), pairs[:, 1])
    is_pair = label_sets.Candidates(scores, label_ids).is_true(excluded)
    # What a row cannot be answered with comes last, and is as good as never.
    scores = np.where(is_pair, 0, scores)
    order = np.argsort(is_pair, axis=1, kind="stable")[:, :k]
    if sets:
        is_member = sets[0] & ~is_pair[:, None]
        sets = [
            np.take_along_axis(is_member, order[:, None], axis=2),
            sets[1],
        ]
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(label_ids, order, axis=1),
        sets,
        label_sets.LabelSets(splits, ids),
    )


def answers_of(
    model: extreme_classifier.ExtremeClassifier,
    facts: workdir.Facts,
    k: int,
    with_sets: bool = False,
) -> Callable[[Mapping], tuple[tf.Tensor, ...]]:
    """Returns a function from named inputs to scores and label ids, [N, K].

    With sets, and which labels they have, [N, S, K], and how probable they
    are, [N, S].
    """
    is_padded = facts.form == "padded"
    k = min(k, model.head.num_answers)

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(named):
        if is_padded:
            named = inputs_lib.padded(named)
        if with_sets:
            return model.label_sets(named, k, set_choices.NUM_SETS)
        return model.top_k(named, k)

    return answer
