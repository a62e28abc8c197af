"""The centroids of labels' positives, in one look at the training split.

# N instances, D features, L labels, F weights a label, C labels a feature
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tfxml import compiled
from tfxml.data import pipeline
from tfxml.models import centroids
from tfxml.training import label_pairs, refining


def learn(
    source: pipeline.Source,
    mean_features: int,
    most_labels: int,
    power: float,
    between: Callable[[], None] = lambda: None,
) -> centroids.Table:
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
    settings = refining.Settings(
        cost=1.0,
        num_passes=0,
        mean_features=mean_features,
        centroid=1.0,
        centroid_power=power,
        seed=0,
    )
    entries, _ = refining.solve_all(
        source, label_pairs.pairs(source, none), settings, between
    )
    shape = centroids.room(
        source.num_labels, source.num_features, mean_features
    )
    splits = np.zeros(source.num_features + 1, np.int32)
    labels = np.zeros((shape, centroids.PAGE), np.int32)
    weights = np.zeros((shape, centroids.PAGE), np.float32)
    _by_feature(*entries, most_labels, splits, labels, weights)
    return centroids.Table(splits, labels, weights)


@compiled.loop
def _by_feature(
    label_ids, feature_ids, weights, most_labels, splits, labels, kernel
):
    """Fills the pages of each feature with its largest weights' labels."""
    counts = np.zeros(len(splits), np.int64)
    for feature in feature_ids:
        counts[feature + 1] += 1
    starts = np.cumsum(counts)
    order = np.empty(len(weights), np.int64)
    ends = starts.copy()
    for entry in range(len(weights)):
        feature = feature_ids[entry]
        order[ends[feature]] = entry
        ends[feature] += 1
    size = labels.shape[1]
    for feature in range(len(splits) - 1):
        own = order[starts[feature] : ends[feature]]
        page = splits[feature]
        used = 0
        least = np.float32(0)
        equals = 0
        if len(own) > most_labels:
            sizes = np.abs(weights[own])
            last = len(own) - most_labels
            least = np.partition(sizes, last)[last]
            equals = most_labels - np.count_nonzero(sizes > least)
        for entry in own:
            weight = weights[entry]
            if abs(weight) < least:
                continue
            if abs(weight) == least:  # of equals the first
                if equals == 0:
                    continue
                equals -= 1
            labels[page + used // size, used % size] = label_ids[entry]
            kernel[page + used // size, used % size] = weight
            used += 1
        splits[feature + 1] = page + (used + size - 1) // size
