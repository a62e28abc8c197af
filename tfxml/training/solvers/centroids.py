"""The centroids of labels' positives, in one look at the training split.

# N instances, D features, L labels, F weights a label, C labels a feature
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfxml.cpu import compiled
from tfxml.data.feeding import pipeline
from tfxml.models.heads import centroid
from tfxml.training.solvers import label_classifiers, label_pairs

_at_rank = compiled.at_rank


def solve(
    head: centroid.CentroidHead,
    source: pipeline.Source,
    options: centroid.CentroidOptions,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Gives a head the centroids of the training split."""
    table = learn(
        source,
        options.centroid_features,
        options.centroid_labels,
        options.centroid_power,
        between,
    )
    head.assign(table)


def learn(
    source: pipeline.Source,
    mean_features: int,
    most_labels: int,
    power: float,
    between: Callable[[], None] = lambda: None,
) -> centroid.Table:
    """Returns the labels' centroids, but for their smallest weights.

    Args:
        source: the training split.
        mean_features: F, how many weights a label keeps on average; the
            largest of all labels are kept.
        most_labels: C, the most labels of a feature; those with the largest
            weights are kept.
        power: of the length that a label's sum is divided by; 1: cosines.
        between: called whenever some labels are done.
    """
    none = np.zeros((source.num_instances, 0), np.int64)
    # A classifier that is not moved at all has its centroid's weights alone.
    settings = label_classifiers.Settings(
        cost=1.0,
        num_passes=0,
        mean_features=mean_features,
        centroid=1.0,
        centroid_power=power,
        seed=0,
    )
    entries, _ = label_classifiers.solve_all(
        source, label_pairs.pairs(source, none), settings, between
    )
    shape = centroid.capacity(
        source.num_labels, source.num_features, mean_features
    )
    splits = np.zeros(source.num_features + 1, np.int32)
    labels = np.zeros((shape, centroid.PAGE), np.int32)
    weights = np.zeros((shape, centroid.PAGE), np.float32)
    _by_feature(*entries, most_labels, splits, labels, weights)
    return centroid.Table(splits, labels, weights)


@compiled.loop
def _by_feature(
    label_ids, feature_ids, weights, most_labels, splits, labels, kernel
):
    """Fills the pages of each feature with its largest weights' labels."""
    num_features, page_size = len(splits) - 1, labels.shape[1]
    starts = np.zeros(num_features + 1, np.int64)
    for feature in feature_ids:
        starts[feature + 1] += 1
    for feature in range(num_features):
        starts[feature + 1] += starts[feature]
    order = np.empty(len(weights), np.int64)
    ends = starts.copy()
    for entry in range(len(weights)):
        feature = feature_ids[entry]
        order[ends[feature]] = entry
        ends[feature] += 1
    sizes = np.empty(len(weights), np.float32)
    for feature in range(num_features):
        own = order[starts[feature] : starts[feature + 1]]
        page = splits[feature]
        used = 0
        least = np.float32(0)
        equals = len(own)  # how many of the least size there is room for
        if len(own) > most_labels:
            for place in range(len(own)):
                sizes[place] = abs(weights[own[place]])
            least = _at_rank(sizes[: len(own)], most_labels)
            equals = most_labels
            for entry in own:
                equals -= abs(weights[entry]) > least
        for entry in own:
            weight = weights[entry]
            if abs(weight) < least:
                continue
            if abs(weight) == least:  # of equals the first
                if equals == 0:
                    continue
                equals -= 1
            at, slot = page + used // page_size, used % page_size
            labels[at, slot] = label_ids[entry]
            kernel[at, slot] = weight
            used += 1
        splits[feature + 1] = page + (used + page_size - 1) // page_size
