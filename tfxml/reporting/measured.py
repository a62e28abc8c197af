"""A run and what it answers to a split: all that a report is made of.

# N instances, K candidates an instance
"""

from __future__ import annotations

import dataclasses
import pathlib
import time

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.data.feeding import pipeline
from tfxml.evaluation import filtered_pairs, metrics, ranked_lists, resampling
from tfxml.run import build, evaluation_split, restore
from tfxml.run import workdir as workdir_lib

_MOST_RANKED = 10  # labels an instance, where k asks for fewer
_ROWS = 512  # that are scored at once


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model says of a split, and what is true.

    Attributes:
        scores: [N, K], best first.
        label_ids: [N, K].
        splits: [N + 1], row splits of `true_ids`.
        true_ids: true labels, ascending within an instance.
    """

    scores: np.ndarray
    label_ids: np.ndarray
    splits: np.ndarray
    true_ids: np.ndarray

    @property
    def num_true(self) -> np.ndarray:
        """How many labels each instance has, [N]."""
        return np.diff(self.splits)

    @property
    def is_true(self) -> np.ndarray:
        """Which answers are labels of their instance, [N, K]."""
        rows = np.repeat(np.arange(len(self.scores)), self.num_true)
        found, ranks = ranked_lists.find(self.label_ids, rows, self.true_ids)
        is_true = np.zeros(self.label_ids.shape, bool)
        is_true[rows[found], ranks] = True
        return is_true


@dataclasses.dataclass(frozen=True)
class Measured:
    """A run that was evaluated.

    Attributes:
        name: of the folder.
        run: restored.
        about: what `run.json` says.
        history: its evaluations while it was trained.
        is_finished: whether training came to its end.
        source: the rows that were scored.
        split: their name; empty: the one that training evaluated.
        answers: to every instance, and its labels.
        top_ids: [N, at least the largest k], without pairs not scored.
        metrics: over all instances.
        shares: what each instance adds to the metrics.
        seconds: that scoring took.
    """

    name: str
    run: restore.TrainedRun
    about: dict
    history: list[dict]
    is_finished: bool
    source: pipeline.Source
    split: str
    answers: Answers
    top_ids: np.ndarray
    metrics: metrics.RankingMetrics
    shares: resampling.Shares
    seconds: float

    @property
    def num_instances(self) -> int:
        """N."""
        return len(self.top_ids)

    def label_name(self, label_id: int) -> str:
        """Returns the name of a label; its id where labels have none."""
        names = self.run.label_names
        return names[label_id] if names else str(label_id)


def measure(
    path: str,
    split: str = "",
    data_dir: str = "",
    checkpoint: str = "auto",
) -> Measured:
    """Returns a run in the folder `path`, evaluated.

    Args:
        path: the run directory.
        split, data_dir, checkpoint: see `evaluate.evaluate`.
    """
    workdir = workdir_lib.Workdir(path)
    run = restore.restore(path, tf.distribute.get_strategy(), checkpoint)
    facts = run.facts
    if data_dir:
        folder = str(pathlib.Path(data_dir).resolve())
        facts = dataclasses.replace(facts, data_dir=folder)
    source, pairs = evaluation_split.read(
        run.config, facts, split, run.text_features, run.label_names
    )
    ks = run.config.metric_ks
    start = time.perf_counter()
    answers = _answers(run, source, max(*ks, _MOST_RANKED))
    seconds = time.perf_counter() - start
    top_ids, splits, true_ids = _scored(answers, pairs, max(ks))
    ranking = build.ranking_metrics(run.config, facts, run.label_counts)
    ranking.update(top_ids, splits, true_ids)
    return Measured(
        name=workdir.path.resolve().name,
        run=run,
        about=workdir.read_about(),
        history=workdir.read_metrics(),
        is_finished=workdir.is_finished,
        source=source,
        split=split,
        answers=answers,
        top_ids=top_ids,
        metrics=ranking,
        shares=resampling.shares(
            top_ids,
            splits,
            true_ids,
            metrics.inverse_propensities(
                run.label_counts,
                facts.num_train,
                *build.propensities(run.config),
            ),
            ks,
        ),
        seconds=seconds,
    )


def _answers(
    run: restore.TrainedRun, source: pipeline.Source, k: int
) -> Answers:
    """Returns the answers to all rows of a source."""
    model, is_padded = run.model, run.facts.form == "padded"
    k = min(k, model.head.num_answers)

    @tf.function(reduce_retracing=True)
    def top_k(named):
        return model.top_k(inputs.padded(named) if is_padded else named, k)

    parts = []
    for first in range(0, source.num_instances, _ROWS):
        last = min(first + _ROWS, source.num_instances)
        named, labels = source.rows(tf.range(first, last, dtype=tf.int64))
        found = *top_k(named), labels.row_lengths(), labels.flat_values
        parts.append([tensor.numpy() for tensor in found])
    scores, label_ids, lengths, true_ids = map(
        np.concatenate, zip(*parts, strict=True)
    )
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return Answers(scores, label_ids, splits, true_ids)


def _scored(
    answers: Answers, pairs: np.ndarray | None, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns ranked ids, and splits and ids of labels, as metrics take them.

    Without pairs that are not scored, and with at least `k` places.
    """
    top_ids = answers.label_ids
    splits, true_ids = answers.splits, answers.true_ids
    if pairs is not None:
        top_ids = filtered_pairs.remove_from_predictions(
            top_ids, pairs, top_ids.shape[1]
        )
        splits, true_ids = filtered_pairs.remove_from_labels(
            splits, true_ids, pairs
        )
    missing = max(0, k - top_ids.shape[1])  # fewer labels than k
    top_ids = np.pad(top_ids, [(0, 0), (0, missing)], constant_values=-1)
    return top_ids, splits, true_ids
