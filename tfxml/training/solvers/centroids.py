"""Learns labels' centroids in one pass over the training split.

# N instances, D features, L labels, F weights per label, C labels per feature,
# W weights
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfxml.cpu import compiled
from tfxml.data.feeding import pipeline
from tfxml.models.heads import centroid
from tfxml.training.solvers import (
    feature_scales,
    label_pairs,
    label_problems,
    largest,
)

# Compiled loops read names of their own module.
_at_rank = compiled.at_rank
_with_space = label_problems.with_space


def solve(
    head: centroid.CentroidHead,
    source: pipeline.Source,
    options: Any,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Sets a head's weights to the centroids of the training split.

    Args:
        head: takes them.
        source: the training split.
        options: those of the head and of the re-ranker, or a whole config.
        between: called after each group of labels.
    """
    table = learn(
        source,
        options.centroid_features,
        options.centroid_labels,
        options.centroid_power,
        options.feature_idf,
        between,
    )
    head.assign(table)


def learn(
    source: pipeline.Source,
    mean_features: int,
    most_labels: int,
    power: float,
    uses_idf: bool = False,
    between: Callable[[], None] = lambda: None,
) -> centroid.Table:
    """Returns the largest weights of all labels' centroids.

    Args:
        source: the training split.
        mean_features: F, how many weights a label keeps on average; the
            largest of all labels are kept.
        most_labels: C, the most labels of a feature; those with the largest
            weights are kept.
        power: of the length by which a label's sum is divided; 1: cosines.
        uses_idf: whether rows are weighted by `feature_scales.idf`.
        between: called after each group of labels.
    """
    no_candidates = np.zeros((source.num_instances, 0), np.uint16)
    positives = label_pairs.pairs(source, no_candidates)
    largest_weights = largest.Largest(source.num_labels * mean_features)

    def solve_group(labels, rows, group):
        del labels
        return scaled_sums(rows, group, power, largest_weights.least)

    scales = feature_scales.idf(source) if uses_idf else None
    for labels, sums in label_pairs.by_group(
        source, positives, solve_group, scales
    ):
        largest_weights.add(labels, *sums)
        between()
    num_pages = centroid.capacity(
        source.num_labels, source.num_features, mean_features
    )
    splits = np.zeros(source.num_features + 1, np.int32)
    labels = np.zeros((num_pages, centroid.PAGE), np.int32)
    weights = np.zeros((num_pages, centroid.PAGE), np.float32)
    entries = largest_weights.result(scales)
    size = len(entries[0])
    order = np.empty(size, np.int32 if size < 1 << 31 else np.int64)
    _by_feature(*entries, most_labels, order, splits, labels, weights)
    return centroid.Table(splits, labels, weights)


def scaled_sums(
    rows: label_problems.Rows,
    positives: label_problems.Pairs,
    power: float,
    min_weight: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns each label's sum of rows, divided by a power of its length.

    Args:
        rows: the instances.
        positives: pairs of labels and instances, all positive.
        power: of the length.
        min_weight: weights of a smaller absolute value are not returned.

    Returns:
        Where each label's weights begin [L + 1], their features [W] int32 in
        the order in which the rows have them, and the weights [W] float32.
    """
    splits, feature_ids, weights = _scaled_sums(
        label_problems.typed_rows(rows),
        label_problems.typed_pairs(positives, len(rows.splits) - 1),
        float(power),
        float(min_weight),
    )
    return splits, feature_ids.view(np.int32), weights


@compiled.loop
def _scaled_sums(rows, positives, power, min_weight):
    """Sums one label after the other; see `scaled_sums`."""
    num_labels = len(positives.splits) - 1
    sums = np.zeros(rows.num_features, np.float64)
    last_label = np.full(rows.num_features, -1, np.int32)
    splits = np.zeros(num_labels + 1, np.int64)
    kept_ids = np.empty(0, np.uint32)
    kept_weights = np.empty(0, np.float32)
    for label in range(num_labels):
        row_ids = positives.row_ids[
            positives.splits[label] : positives.splits[label + 1]
        ]
        start = splits[label]
        # One more: `_sum_rows` writes before it knows whether to keep.
        kept_ids, kept_weights = _with_space(
            kept_ids, kept_weights, start, rows.num_features + 1
        )
        num_kept = _sum_rows(
            rows, row_ids, label, sums, last_label, kept_ids[start:]
        )
        num_kept = _take_scaled(
            sums,
            power,
            min_weight,
            kept_ids[start : start + num_kept],
            kept_weights[start:],
        )
        splits[label + 1] = start + num_kept
    end = splits[num_labels]
    return splits, kept_ids[:end], kept_weights[:end]


@compiled.loop
def _sum_rows(rows, row_ids, label, sums, last_label, label_features):
    """Adds a label's rows to sums [D], and lists the features of these rows.

    `last_label` [D] is the last label whose rows had a feature. Returns how
    many features are listed.
    """
    num_listed = 0
    for row in row_ids:
        for position in range(rows.splits[row], rows.splits[row + 1]):
            feature = rows.feature_ids[position]
            # Always written, kept if new: no branch to predict.
            label_features[num_listed] = feature
            num_listed += last_label[feature] != label
            last_label[feature] = label
            sums[feature] += rows.weights[row] * rows.values[position]
    return num_listed


@compiled.loop
def _take_scaled(sums, power, min_weight, feature_ids, weights):
    """Writes listed features' sums, divided by a power of their length.

    Features with absolute weights below `min_weight` are removed from the list.
    All sums are set to 0, for the next label. Returns how many features remain.
    """
    square = 0.0
    for feature in feature_ids:
        square += sums[feature] * sums[feature]
    scale = 0.0 if square == 0 else square ** (-power / 2)
    num_kept = 0
    for feature in feature_ids:
        weight = np.float32(scale * sums[feature])
        sums[feature] = 0
        if weight != 0 and abs(weight) >= min_weight:
            feature_ids[num_kept] = feature
            weights[num_kept] = weight
            num_kept += 1
    return num_kept


@compiled.loop
def _by_feature(
    label_ids, feature_ids, weights, most_labels, order, splits, labels, kernel
):
    """Fills each feature's pages with the labels of its largest weights.

    `order` [W] is for the places of the weights, by feature.
    """
    num_features = len(splits) - 1
    starts = np.zeros(num_features + 1, np.int64)
    for feature in feature_ids:
        starts[feature + 1] += 1
    for feature in range(num_features):
        starts[feature + 1] += starts[feature]
    ends = starts.copy()
    for entry in range(len(weights)):
        feature = feature_ids[entry]
        order[ends[feature]] = entry
        ends[feature] += 1
    for feature in range(num_features):
        entries = order[starts[feature] : starts[feature + 1]]
        entries = _largest(entries, weights, most_labels)
        page = splits[feature]
        for position in range(len(entries)):
            entry = entries[position]
            entry_page, slot = (
                page + position // labels.shape[1],
                position % labels.shape[1],
            )
            labels[entry_page, slot] = label_ids[entry]
            kernel[entry_page, slot] = weights[entry]
        num_pages = (len(entries) + labels.shape[1] - 1) // labels.shape[1]
        splits[feature + 1] = page + num_pages


@compiled.loop
def _largest(entries, weights, max_entries):
    """Returns the `max_entries` entries with the largest absolute weights.

    They stay in their order; of equal weights the first are chosen.
    """
    if len(entries) <= max_entries:
        return entries
    sizes = np.empty(len(entries), np.float32)
    for position in range(len(entries)):
        sizes[position] = abs(weights[entries[position]])
    threshold = _at_rank(sizes, max_entries)
    num_ties = max_entries  # that may be taken of those as large as the least
    for entry in entries:
        num_ties -= abs(weights[entry]) > threshold
    chosen = np.empty(max_entries, entries.dtype)
    num_chosen = 0
    for entry in entries:
        size = abs(weights[entry])
        if size > threshold or (size == threshold and num_ties > 0):
            num_ties -= size == threshold
            chosen[num_chosen] = entry
            num_chosen += 1
    return chosen
