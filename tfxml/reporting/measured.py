"""A run and what it answers to a split: all that a report is made of.

# N instances
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import tensorflow as tf

from tfxml.data.feeding import pipeline
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.evaluation import metrics, resampling, set_metrics
from tfxml.run import build, restore, scored_rows, set_choices
from tfxml.run import workdir as workdir_lib

_MOST_RANKED = 10  # labels an instance, where k asks for fewer


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
        choice: how labels are chosen by thresholds.
        sets: figures of the labels that are chosen.
        seconds: that scoring took.
    """

    name: str
    run: restore.TrainedRun
    about: dict
    history: list[dict]
    is_finished: bool
    source: pipeline.Source
    split: str
    answers: scored_rows.ScoredRows
    top_ids: np.ndarray
    metrics: metrics.RankingMetrics
    shares: resampling.Shares
    choice: set_choices.SetChoice
    sets: set_metrics.SetMetrics
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
    source, exclusions = scored_rows.of_split(run, split, data_dir)
    ks = run.config.metric_ks
    choice = set_choices.SetChoice(
        set_choices.THRESHOLD,
        limits=run.fitted.thresholds
        if run.fitted
        else set_choices.DEFAULT_LIMITS,
    )
    start = time.perf_counter()
    answers = scored_rows.score(
        run, source, max(*ks, choice.num_candidates), exclusions=exclusions
    )
    seconds = time.perf_counter() - start
    candidates = answers.candidates.first(choice.num_candidates)
    sets = set_metrics.SetMetrics(
        candidates.chosen(choice.choose(candidates)),
        answers.truth,
        run.facts.num_labels,
    )
    answers = answers._replace(
        candidates=answers.candidates.first(max(*ks, _MOST_RANKED))
    )
    top_ids, splits, true_ids = _scored(answers, exclusions, max(ks))
    ranking = build.ranking_metrics(run.config, run.facts, run.label_counts)
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
                run.facts.num_train,
                *build.propensities(run.config),
            ),
            ks,
        ),
        choice=choice,
        sets=sets,
        seconds=seconds,
    )


def _scored(
    answers: scored_rows.ScoredRows,
    exclusions: exclusions_lib.Exclusions,
    k: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns ranked ids, and splits and ids of labels, as metrics take them.

    Without what answers leave out, and with at least `k` places.
    """
    top_ids = answers.candidates.label_ids
    splits, true_ids = answers.truth.splits, answers.truth.ids
    if exclusions.most:
        top_ids = exclusions.from_predictions(top_ids, top_ids.shape[1])
    missing = max(0, k - top_ids.shape[1])  # fewer labels than k
    top_ids = np.pad(top_ids, [(0, 0), (0, missing)], constant_values=-1)
    return top_ids, splits, true_ids
