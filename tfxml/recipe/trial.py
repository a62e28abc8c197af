"""Trains a proposal on parts of the training split, and judges it.

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
from tfxml.data import own_labels
from tfxml.data.feeding import subset
from tfxml.evaluation import evaluator, exclusions
from tfxml.models import reranker, row_forms
from tfxml.recipe import mixing, rules
from tfxml.run import build, datasets, progress, run
from tfxml.training.solvers import label_classifiers

_RECALLED = 100  # candidates in which a power's recall is measured
_LAST = -1e9  # in place of the score of a label that is no answer


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trial has found out."""

    proposal: rules.Proposal
    options: dict[str, Any]  # of the config, beside those of the proposal
    mixture: mixing.Mixture
    seconds: float
    losses: tuple[float, ...]  # of the epochs
    data: datasets.TrainingData | None = None  # if read anew, as `options` say


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a training split to train on, and one to judge by."""

    data: datasets.TrainingData
    rows: row_forms.RaggedRows  # held out
    label_splits: np.ndarray  # [N + 1]
    label_ids: np.ndarray

    @property
    def own_labels(self) -> np.ndarray:
        """A label that each held-out row is not answered with, [N, 1]."""
        found = self.data.evaluation.own_labels()
        if found is None:
            found = np.full(len(self.label_splits) - 1, own_labels.NONE)
        return found[:, None]


def parts_of(
    data: datasets.TrainingData,
    num_tried: int,
    num_held_out: int,
    num_parts: int,
    seed: int,
) -> list[Part]:
    """Returns random parts of the training split, each with rows held out.

    No instance is held out twice.
    """
    order = np.random.default_rng(seed).permutation(data.train.num_instances)
    return [
        _part(
            data, np.roll(order, -part * num_held_out), num_tried, num_held_out
        )
        for part in range(num_parts)
    ]


def _part(
    data: datasets.TrainingData,
    order: np.ndarray,
    num_tried: int,
    num_held_out: int,
) -> Part:
    """Returns the first instances of an order held out, and the next ones."""
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
            exclusions=exclusions.NOTHING,
        ),
        evaluator.row_arrays(found),
        labels.row_splits.numpy(),
        labels.flat_values.numpy(),
    )


def judge(
    proposal: rules.Proposal, config: config_lib.Config, parts: list[Part]
) -> Outcome:
    """Trains a proposal on parts, and fits what is left open.

    Args:
        proposal: what is tried.
        config: its recipe.
        parts: of the training split; what they hold out judges together.
    """
    start = time.perf_counter()
    options: dict[str, Any] = {}
    losses: tuple[float, ...] = ()
    if len(proposal.powers) > 1:
        options["centroid_power"], heads = _best_power(proposal, config, parts)
    else:
        trained = [_head(config, part) for part in parts]
        heads, losses = [head for head, _ in trained], trained[0][1]
    pairs = list(zip(heads, parts, strict=True))
    if config.reranker_passes:
        if proposal.weighs_names:
            config = config.replace(reranker_name=1.0)
        found = [_Found(config, part, head) for head, part in pairs]
        best, mixture = mixing.fit(
            [
                _together([one.candidates(cost) for one in found])
                for cost in proposal.costs
            ]
        )
        options["reranker_cost"] = proposal.costs[best]
    else:
        mixture = _of_heads(pairs, config.drop_own_labels)
    seconds = time.perf_counter() - start
    return Outcome(proposal, options, mixture, seconds, losses)


def _best_power(
    proposal: rules.Proposal, config: config_lib.Config, parts: list[Part]
) -> tuple[float, list[predictor.CpuPredictor]]:
    """Returns the power whose candidates hold most labels, and its heads."""
    best_recall, best_power, best_heads = -1.0, 0.0, []
    for power in proposal.powers:
        tried = config.replace(centroid_power=power)
        heads = [_head(tried, part)[0] for part in parts]
        recall = _recall(heads, parts)
        if recall > best_recall:
            best_recall, best_power, best_heads = recall, power, heads
    return best_power, best_heads


def _of_heads(
    pairs: list[tuple[predictor.CpuPredictor, Part]], drops_own: bool
) -> mixing.Mixture:
    """Returns what heads reach on what their parts hold out."""
    k = mixing.KS[-1] + drops_own
    k = min(k, pairs[0][1].data.train.num_labels)
    is_true, logits = [], []
    for head, part in pairs:
        of_part, label_ids = head.of_head(part.rows, k)
        if drops_own:
            of_part = _without_own(of_part, label_ids, part)
        is_true.append(_is_true(label_ids, part))
        logits.append(of_part)
    return mixing.of_head(np.concatenate(is_true), np.concatenate(logits))


def _together(candidates: list[mixing.Candidates]) -> mixing.Candidates:
    """Returns the candidates of all parts."""
    members = zip(*candidates, strict=True)
    return mixing.Candidates(*(np.concatenate(member) for member in members))


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


def _recall(heads: list[predictor.CpuPredictor], parts: list[Part]) -> float:
    """Returns the share of true labels among heads' candidates."""
    hits = pairs = 0
    for head, part in zip(heads, parts, strict=True):
        k = min(_RECALLED, part.data.train.num_labels)
        hits += int(_is_true(head.candidates(part.rows, k), part).sum())
        pairs += len(part.label_ids)
    return hits / max(pairs, 1)


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
        self._name_rows = data.label_rows
        self._negatives = evaluator.cpu_candidates(
            head, source, min(config.num_hard_negatives, source.num_labels)
        )
        size = min(config.num_candidates, source.num_labels)
        self._logits, self._label_ids = head.of_head(part.rows, size)
        if config.drop_own_labels:
            self._logits = _without_own(self._logits, self._label_ids, part)
        self._share = threads.Threads(os.cpu_count() or 1)
        # Without a pass only the centroid, or the name, is left of a label's
        # weights.
        nothing = np.zeros((source.num_instances, 0), np.int32)
        self._cosines = self._margins(
            nothing,
            reranker_passes=0,
            reranker_centroid=1.0,
            reranker_name=0.0,
        )
        self._names = np.zeros_like(self._cosines)
        if config.reranker_name:
            self._names = self._margins(
                nothing,
                has_biases=False,
                reranker_passes=0,
                reranker_centroid=0.0,
                reranker_name=1.0,
            )

    def candidates(self, cost: float) -> mixing.Candidates:
        """Returns the candidates, with margins that a cost gives."""
        margins = self._margins(
            self._negatives,
            reranker_cost=cost,
            reranker_centroid=0.0,
            reranker_name=0.0,
        )
        if self._config.drop_own_labels:
            margins = _without_own(margins, self._label_ids, self._part)
        return mixing.Candidates(
            _is_true(self._label_ids, self._part),
            self._logits,
            margins,
            self._cosines,
            self._names,
        )

    def _margins(
        self, negatives: np.ndarray, has_biases: bool = True, **options: Any
    ) -> np.ndarray:
        """Returns the candidates' margins; `options` are of the re-ranker."""
        source = self._source
        settings = build.reranking(self._config.replace(**options))
        layer = reranker.Reranker(
            source.num_labels,
            source.num_features,
            settings.mean_features,
            self._label_ids.shape[1],
        )
        table = label_classifiers.learn(
            source, negatives, settings, name_rows=self._name_rows
        )
        if not has_biases:
            table = table._replace(bias=np.zeros_like(table.bias))
        layer.assign(table)
        return margins_lib.Reranker(layer).margins(
            self._part.rows, np.ascontiguousarray(self._label_ids), self._share
        )


def _without_own(
    scores: np.ndarray, label_ids: np.ndarray, part: Part
) -> np.ndarray:
    """Returns scores [N, S] that never put a row's own label first."""
    return np.where(label_ids == part.own_labels, np.float32(_LAST), scores)


def _is_true(label_ids: np.ndarray, part: Part) -> np.ndarray:
    """Tells which of the labels [N, S] an instance has, [N, S]."""
    width = part.data.train.num_labels
    number = len(part.label_splits) - 1
    owners = np.repeat(np.arange(number), np.diff(part.label_splits))
    true_pairs = owners * width + part.label_ids
    pairs = np.arange(number)[:, None] * width + label_ids
    return np.isin(pairs, true_pairs)
