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
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.evaluation import label_sets
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
) -> tuple[pipeline.Source, exclusions_lib.Exclusions, str]:
    """Returns rows that the run has not learnt, and their split's name.

    Between them, what is left out of the answers to them.

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
        return *of_split(run, name, data_dir), name
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
) -> tuple[pipeline.Source, exclusions_lib.Exclusions]:
    """Returns a split of the run's data, and what answers to it leave out.

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
    exclusions: exclusions_lib.Exclusions = exclusions_lib.NOTHING,
) -> ScoredRows:
    """Returns the candidates of all rows of a source, and their labels.

    Args:
        run: trained.
        source: of its data.
        k: K.
        with_sets: whether a head that models sets is asked for them.
        exclusions: what is left out of the answers.
    """
    with_sets = with_sets and run.model.head.Options.models_sets
    answer = answers_of(run.model, run.facts, k + exclusions.most, with_sets)
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
    truth = label_sets.LabelSets(
        *exclusions.from_labels(truth.splits, truth.ids)
    )
    if exclusions.most:
        is_excluded = label_sets.Candidates(scores, label_ids).is_true(
            _sets_of(exclusions.pairs, len(scores))
        )
        scores, label_ids, *sets = exclusions_lib.without(
            is_excluded, scores, label_ids, sets, k
        )
    return ScoredRows(
        label_sets.Candidates(scores, label_ids),
        truth,
        *(sets or (None, None)),
    )


def _sets_of(pairs: np.ndarray, number: int) -> label_sets.LabelSets:
    """Returns pairs of a row and a label as the labels of `number` rows."""
    pairs = pairs[pairs[:, 0] < number]
    lengths = np.bincount(pairs[:, 0], minlength=number)
    return label_sets.LabelSets(label_sets.splits_of(lengths), pairs[:, 1])


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
