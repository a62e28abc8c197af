"""Trains a proposal on a part of the training split, and judges it.

# N instances, L labels, S candidates of an instance
"""

from __future__ import annotations

import dataclasses
import os
import time
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.cpu import margins as margins_lib
from tfxml.cpu import predictor, threads
from tfxml.data.feeding import subset
from tfxml.evaluation import evaluator
from tfxml.models import reranker, row_forms
from tfxml.recipe import mixing, rules
from tfxml.run import build, datasets, progress, run
from tfxml.training.solvers import label_classifiers

_RECALLED = 100  # candidates in which a power's recall is measured


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trial has found out."""

    proposal: rules.Proposal
    options: dict[str, Any]  # of the config, beside those of the proposal
    mixture: mixing.Mixture
    seconds: float
    losses: tuple[float, ...]  # of the epochs


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a training split to train on, and one to judge by."""

    data: datasets.TrainingData
    rows: row_forms.RaggedRows  # held out
    label_splits: np.ndarray  # [N + 1]
    label_ids: np.ndarray


def part_of(
    data: datasets.TrainingData, num_tried: int, num_held_out: int, seed: int
) -> Part:
    """Returns random instances of the training split, some held out."""
    order = np.random.default_rng(seed).permutation(data.train.num_instances)
    held_out = subset.SubsetSource(data.train, np.sort(order[:num_held_out]))
    chosen = np.sort(order[num_held_out : num_held_out + num_tried])
    train = subset.SubsetSource(data.train, chosen)
    everything = tf.range(num_held_out, dtype=tf.int64)
    found, labels = held_out.rows(everything)
    return Part(
        dataclasses.replace(
            data,
            train=train,
            evaluation=held_out,
            facts=dataclasses.replace(data.facts, num_train=num_tried),
            label_counts=train.label_counts(),
            pairs=None,
        ),
        evaluator.row_arrays(found),
        labels.row_splits.numpy(),
        labels.flat_values.numpy(),
    )


def judge(
    proposal: rules.Proposal, config: config_lib.Config, part: Part
) -> Outcome:
    """Trains a proposal on a part, and fits what is left open.

    Args:
        proposal: what is tried.
        config: its recipe.
        part: of the training split.
    """
    start = time.perf_counter()
    options: dict[str, Any] = {}
    losses: tuple[float, ...] = ()
    if len(proposal.powers) > 1:
        heads = [
            (power, _head(config.replace(centroid_power=power), part)[0])
            for power in proposal.powers
        ]
        power, head = max(heads, key=lambda pair: _recall(pair[1], part))
        options["centroid_power"] = power
    else:
        head, losses = _head(config, part)
    if config.reranker_passes:
        found = _Found(config, part, head)
        fits = [
            (cost, mixing.fit(found.candidates(cost)))
            for cost in proposal.costs
        ]
        cost, mixture = max(fits, key=lambda pair: pair[1].quality)
        options["reranker_cost"] = cost
    else:
        k = min(mixing.KS[-1], part.data.train.num_labels)
        logits, label_ids = head.of_head(part.rows, k)
        mixture = mixing.of_head(_is_true(label_ids, part), logits)
    seconds = time.perf_counter() - start
    return Outcome(proposal, options, mixture, seconds, losses)


def _head(
    config: config_lib.Config, part: Part
) -> tuple[predictor.CpuPredictor, tuple[float, ...]]:
    """Returns a trained head without a re-ranker, and its epochs' losses."""
    config = config.replace(reranker_passes=0)
    data = datasets.of_config(config, part.data)
    trained = run.Run(config, tf.distribute.get_strategy(), data)
    losses, silent = [], progress.Progress(1, 1, 1.0, is_shown=False)
    while not trained.is_head_trained:
        losses.append(trained.train_epoch(silent, lambda: None))
    if trained.steps_done < trained.num_steps:
        trained.learn_rest(lambda: None)
    return predictor.CpuPredictor(trained.model), tuple(losses)


def _recall(head: predictor.CpuPredictor, part: Part) -> float:
    """Returns the share of true labels among a head's candidates."""
    k = min(_RECALLED, part.data.train.num_labels)
    is_true = _is_true(head.candidates(part.rows, k), part)
    return float(is_true.sum()) / max(len(part.label_ids), 1)


class _Found:
    """A head's candidates for the rows of a part.

    Args:
        config: the proposal's recipe.
        part: of the training split.
        head: trained on it.
    """

    def __init__(
        self,
        config: config_lib.Config,
        part: Part,
        head: predictor.CpuPredictor,
    ):
        self._config = config
        self._part = part
        data = datasets.of_config(config, part.data)
        source = self._source = data.training_rows
        self._negatives = evaluator.cpu_candidates(
            head, source, min(config.num_hard_negatives, source.num_labels)
        )
        size = min(config.num_candidates, source.num_labels)
        self._logits, self._label_ids = head.of_head(part.rows, size)
        self._share = threads.Threads(os.cpu_count() or 1)
        # Without a pass only the centroid is left of a label's weights.
        self._cosines = self._margins(
            np.zeros((source.num_instances, 0), np.int32),
            reranker_passes=0,
            reranker_centroid=1.0,
        )

    def candidates(self, cost: float) -> mixing.Candidates:
        """Returns the candidates, with margins that a cost gives."""
        return mixing.Candidates(
            _is_true(self._label_ids, self._part),
            self._logits,
            self._margins(
                self._negatives, reranker_cost=cost, reranker_centroid=0.0
            ),
            self._cosines,
        )

    def _margins(self, negatives: np.ndarray, **options: Any) -> np.ndarray:
        """Returns the candidates' margins; `options` are of the re-ranker."""
        source = self._source
        settings = build.reranking(self._config.replace(**options))
        layer = reranker.Reranker(
            source.num_labels,
            source.num_features,
            settings.mean_features,
            self._label_ids.shape[1],
        )
        layer.assign(label_classifiers.learn(source, negatives, settings))
        return margins_lib.Reranker(layer).margins(
            self._part.rows, np.ascontiguousarray(self._label_ids), self._share
        )


def _is_true(label_ids: np.ndarray, part: Part) -> np.ndarray:
    """Tells which of the labels [N, S] an instance has, [N, S]."""
    width = part.data.train.num_labels
    number = len(part.label_splits) - 1
    owners = np.repeat(np.arange(number), np.diff(part.label_splits))
    true_pairs = owners * width + part.label_ids
    pairs = np.arange(number)[:, None] * width + label_ids
    return np.isin(pairs, true_pairs)
