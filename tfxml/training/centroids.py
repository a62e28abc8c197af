"""The centroids of labels' positives, in one look at the training split.

# N instances, D features, L labels, F weights a label, C labels a feature
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np

from tfxml import compiled
from tfxml.data import parallel, pipeline
from tfxml.models import centroids
from tfxml.training import label_pairs, largest, linear_svm


def learn(
    source: pipeline.Source,
    mean_features: int,
    most_labels: int,
    between: Callable[[], None] = lambda: None,
) -> centroids.Table:
    """Returns the labels' centroids, but for their smallest weights.

    Args:
        source: the training split.
        mean_features: F, how many weights a label keeps on average; the
            largest of all labels are kept.
        most_labels: C, the most labels of a feature; those with the largest
            weights are kept.
        between: called whenever some labels are done.
    """
    none = np.zeros((source.num_instances, 0), np.int64)
    pairs = label_pairs.pairs(source, none)
    kept = largest.Largest(source.num_labels * mean_features)
    groups = label_pairs.groups(pairs)

    def find(labels):
        rows, own = label_pairs.of_labels(source, pairs, labels)
        splits, feature_ids, weights = _centroids(
            rows.splits,
            rows.feature_ids.astype(np.uint32),
            rows.values,
            rows.num_features,
            own.splits,
            own.row_ids,
        )
        no_biases = np.zeros(len(labels), np.float32)
        return linear_svm.Solved(
            splits, feature_ids.astype(np.int32), weights, no_biases
        )

    found = parallel.in_order(find, groups, os.cpu_count() or 1)
    for labels, some in zip(groups, found, strict=True):
        kept.add(labels, some)
        between()
    shape = centroids.room(
        source.num_labels, source.num_features, mean_features
    )
    splits = np.zeros(source.num_features + 1, np.int32)
    labels = np.zeros((shape, centroids.PAGE), np.int32)
    weights = np.zeros((shape, centroids.PAGE), np.float32)
    _by_feature(*kept.result(), most_labels, splits, labels, weights)
    return centroids.Table(splits, labels, weights)


@compiled.loop
def _centroids(
    row_splits, feature_ids, values, num_features, pair_splits, row_ids
):
    """Returns each label's features and weights, and where they begin."""
    num_labels = len(pair_splits) - 1
    splits = np.zeros(num_labels + 1, np.int64)
    most = 0
    for pair in range(len(row_ids)):
        row = row_ids[pair]
        most += row_splits[row + 1] - row_splits[row]
    found_ids, found = np.empty(most, np.uint32), np.empty(most, np.float32)
    sums = np.zeros(num_features, np.float32)
    for label in range(num_labels):
        own = row_ids[pair_splits[label] : pair_splits[label + 1]]
        for row in own:
            for place in range(row_splits[row], row_splits[row + 1]):
                sums[feature_ids[place]] += values[place]
        first = end = splits[label]
        square = np.float32(1e-30)
        for row in own:
            for place in range(row_splits[row], row_splits[row + 1]):
                feature = feature_ids[place]
                if sums[feature] != 0:
                    found_ids[end], found[end] = feature, sums[feature]
                    square += sums[feature] * sums[feature]
                    sums[feature] = 0
                    end += 1
        found[first:end] /= np.sqrt(square)
        splits[label + 1] = end
    number = splits[num_labels]
    return splits, found_ids[:number], found[:number]


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
