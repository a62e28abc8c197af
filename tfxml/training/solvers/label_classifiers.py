"""Learns the re-ranker's classifiers from the labels that a head confuses.

# N instances, L labels, D features, S candidates of an instance, F weights per
# label

A label learns from its positives and its hard negatives: the instances that do
not have it, but have it among their candidates. Labels are solved in groups,
and only the largest weights of all labels are kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from tfxml.cpu import host_memory
from tfxml.data.feeding import in_memory, pipeline
from tfxml.models import weight_table
from tfxml.training.solvers import (
    feature_scales,
    label_pairs,
    largest,
    linear_svm,
    name_weights,
    weight_places,
)

# The margin of a label without training instances, as for a negative.
_UNSEEN_BIAS = -1.0
_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings of the re-ranker's solver."""

    cost: float  # C of `linear_svm`
    num_passes: int
    mean_features: int  # F: how many weights a label keeps on average
    centroid: float  # how much of its centroid is added to a label's weights
    seed: int
    uses_idf: bool = False  # whether rows are weighted by `feature_scales.idf`
    name: float = 0.0  # how much of its name's row is added to its weights
    skips_own: bool = False  # whether rows are no negatives of their own label


def learn(
    source: pipeline.Source,
    candidates: np.ndarray,
    settings: Settings,
    between: Callable[[], None] = lambda: None,
    name_rows: in_memory.InMemorySource | None = None,
) -> weight_table.Table:
    """Returns the weights and biases of all labels' classifiers.

    Args:
        source: the training split.
        candidates: [N, S] ids of the head's best labels.
        settings: how they are learnt.
        between: called after each group of labels.
        name_rows: labels' names, one row each, if `settings.name`.
    """
    most = source.num_labels * settings.mean_features
    names = None
    if settings.name and name_rows is not None:
        names = name_weights.of_rows(name_rows, settings.name, most)
        most -= len(names.values)  # their places are kept for them
    largest_weights = largest.Largest(most)
    biases = np.full(source.num_labels, _UNSEEN_BIAS, np.float32)
    svm_settings = linear_svm.Settings(
        settings.cost, settings.num_passes, settings.centroid
    )

    def solve(labels, rows, pairs):
        seeds = _seeds(labels, settings.seed)
        return linear_svm.solve(
            rows, pairs, svm_settings, seeds, largest_weights.least
        )

    host_memory.give_back()  # of what found the candidates
    pairs = label_pairs.pairs(source, candidates, settings.skips_own)
    del candidates  # the caller keeps none: they are large
    scales = feature_scales.idf(source) if settings.uses_idf else None
    for labels, solved in label_pairs.by_group(source, pairs, solve, scales):
        largest_weights.add(
            labels, solved.splits, solved.feature_ids, solved.weights
        )
        biases[labels] = solved.biases
        between()
    del pairs  # as large
    host_memory.give_back()
    entries = largest_weights.result(scales)
    if names is not None:
        entries = name_weights.add(*entries, names)
    return weight_places.place(
        *entries,
        biases,
        source.num_features,
        settings.mean_features,
    )


def _seeds(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns each label's seed, which does not depend on the groups."""
    states = np.random.SeedSequence(seed).generate_state(2, np.uint64)
    mixed = (labels.astype(np.uint64) + states[0]) * np.uint64(_MULTIPLIER)
    return (mixed ^ (mixed >> np.uint64(32))) * np.uint64(_MULTIPLIER)
