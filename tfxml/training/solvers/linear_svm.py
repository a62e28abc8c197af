"""Linear support vector machines of many labels, by dual coordinate descent.

# N instances, D features, L labels, W weights

Each label's weights w and bias b minimise

    (||w||^2 + b^2) / 2 + C sum_i c_i max(0, 1 - y_i (w x_i + b))^2

over the label's instances, y_i = 1 or -1 and c_i the instance's weight. In the
dual each instance has one variable, at least 0. A step moves one of them to its
optimum while the others are fixed (Hsieh et al., "A dual coordinate descent
method for large-scale linear SVM", ICML 2008). It reads and writes the few
weights of one row. NumPy would take ten times as long: hence a compiled loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfxml.cpu import compiled
from tfxml.training.solvers import label_problems

_FULL_PASSES = 2  # at first; later passes leave pairs out
_FULL_PASS_EVERY = 4  # passes
_EARLIEST_STOP = 8  # passes: with fewer, all are taken
_TOLERANCE = 0.003  # of the gradient; LIBLINEAR's is 0.1
_MIN_WEIGHT = 1e-12  # of an instance: as good as 0, and a divisor

# Compiled loops read names of their own module.
_with_space = label_problems.with_space


class Solved(NamedTuple):
    """The labels' weights that are not 0, and their biases."""

    splits: np.ndarray  # [L + 1] int64: where a label's weights begin
    feature_ids: np.ndarray  # [W] int32
    weights: np.ndarray  # [W] float32
    biases: np.ndarray  # [L] float32


class Settings(NamedTuple):
    """Settings of the solver."""

    cost: float  # C
    num_passes: int  # over the pairs, at most
    centroid: float = 0.0  # how much of the centroid is added, see `solve`


def solve(
    rows: label_problems.Rows,
    pairs: label_problems.Pairs,
    settings: Settings,
    seeds: np.ndarray,
    min_weight: float = 0.0,
) -> Solved:
    """Returns the labels' classifiers. Releases the GIL while it works.

    A pair beyond its margin does not contribute to the weights, so most passes
    after the second leave it out. From the ninth pass on, a label is done when
    no pair's projected gradient is larger than 0.003. Rows that share most of
    their features need tens of passes, sparse ones few.

    At the end `settings.centroid` times the label's centroid is added to its
    weights: the sum of its positives, divided by its length. Margins then grow
    with the cosine between instance and centroid, about which the optimum over
    few positives says little.

    Args:
        rows: the instances.
        pairs: which instances each label learns from.
        settings: of all labels.
        seeds: [L] uint64, for the order in which each label's pairs are moved.
            Each pass draws a new order: with a fixed one the descent takes
            many times longer.
        min_weight: weights of a smaller absolute value are not returned.
    """
    splits, feature_ids, weights, biases = _solve_labels(
        label_problems.typed_rows(rows),
        label_problems.typed_pairs(pairs, len(rows.splits) - 1),
        Settings(
            float(settings.cost),
            int(settings.num_passes),
            float(settings.centroid),
        ),
        seeds.astype(np.uint64, copy=False),
        float(min_weight),
    )
    return Solved(splits, feature_ids.view(np.int32), weights, biases)


@compiled.loop
def _solve_labels(rows, pairs, settings, seeds, min_weight):
    """Solves one label after the other; returns the members of `Solved`."""
    num_labels = len(pairs.splits) - 1
    ridges = _ridges(rows, settings.cost)
    diagonal = _diagonal(rows, ridges)
    weights = np.zeros(rows.num_features, np.float32)
    sums = np.zeros(rows.num_features, np.float32)
    biases = np.zeros(num_labels, np.float32)
    splits = np.zeros(num_labels + 1, np.int64)
    kept_ids = np.empty(0, np.uint32)
    kept_weights = np.empty(0, np.float32)
    for label in range(num_labels):
        first, last = pairs.splits[label], pairs.splits[label + 1]
        row_ids = pairs.row_ids[first:last]
        is_positive = pairs.is_positive[first:last]
        biases[label] = _descend(
            rows,
            diagonal,
            ridges,
            row_ids,
            is_positive,
            settings.num_passes,
            seeds[label],
            weights,
        )
        if settings.centroid > 0:
            positives = _positives(row_ids, is_positive)
            _add_centroid(rows, positives, settings.centroid, sums, weights)
        start = splits[label]
        kept_ids, kept_weights = _with_space(
            kept_ids, kept_weights, start, rows.num_features
        )
        num_kept = _take_weights(
            rows,
            row_ids,
            weights,
            min_weight,
            kept_ids[start:],
            kept_weights[start:],
        )
        splits[label + 1] = start + num_kept
    end = splits[num_labels]
    return splits, kept_ids[:end], kept_weights[:end], biases


@compiled.loop
def _ridges(rows, cost):
    """Returns the squared loss's part of the dual's diagonal, [N]."""
    ridges = np.empty(len(rows.splits) - 1, np.float32)
    for row in range(len(ridges)):
        ridges[row] = 0.5 / (cost * max(rows.weights[row], _MIN_WEIGHT))
    return ridges


@compiled.loop
def _diagonal(rows, ridges):
    """Returns the diagonal of the dual problem's matrix, [N].

    The bias is the weight of one more feature, which is 1 in every row.
    """
    diagonal = np.ones(len(rows.splits) - 1, np.float32)
    for row in range(len(diagonal)):
        for position in range(rows.splits[row], rows.splits[row + 1]):
            diagonal[row] += rows.values[position] * rows.values[position]
        diagonal[row] += ridges[row]
    return diagonal


@compiled.loop
def _descend(
    rows, diagonal, ridges, row_ids, is_positive, num_passes, state, weights
):
    """Descends in one label's dual; writes its weights, returns its bias.

    Args:
        rows, diagonal, ridges: the same for all labels.
        row_ids, is_positive: the label's pairs.
        num_passes: over the pairs, at most.
        state: seed of the generator that orders the pairs.
        weights: [D], zeros.
    """
    row_splits, feature_ids, values = rows.splits, rows.feature_ids, rows.values
    size = len(row_ids)
    duals = np.zeros(size, np.float32)
    slopes = np.zeros(size, np.float32)
    order = np.empty(size, np.int64)
    zero, one = np.float32(0), np.float32(1)
    bias = zero
    state |= np.uint64(1)
    for pass_number in range(num_passes):
        is_full = (
            pass_number < _FULL_PASSES or pass_number % _FULL_PASS_EVERY == 0
        )
        violation = zero
        num_active = 0
        for pair in range(size):
            if is_full or duals[pair] > 0 or slopes[pair] <= 0:
                order[num_active] = pair
                num_active += 1
        for last in range(num_active - 1, -1, -1):
            # A xorshift generator (Marsaglia, 2003) draws the next pair.
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            drawn = np.int64((state >> np.uint64(33)) % np.uint64(last + 1))
            pair = order[drawn]
            order[drawn] = order[last]
            row = row_ids[pair]
            start, end = row_splits[row], row_splits[row + 1]
            margin = bias
            for position in range(start, end):
                margin += weights[feature_ids[position]] * values[position]
            sign = one if is_positive[pair] else -one
            old_dual = duals[pair]
            slope = sign * margin - one + ridges[row] * old_dual
            slopes[pair] = slope
            # At the optimum a dual of 0 may only have a slope upwards.
            if old_dual > 0 or slope < 0:
                violation = max(violation, abs(slope))
            new_dual = max(old_dual - slope / diagonal[row], zero)
            if new_dual != old_dual:
                duals[pair] = new_dual
                move = (new_dual - old_dual) * sign
                bias += move
                for position in range(start, end):
                    weights[feature_ids[position]] += move * values[position]
        if is_full and pass_number >= _EARLIEST_STOP:
            if violation <= _TOLERANCE:
                break
    return bias


@compiled.loop
def _positives(row_ids, is_positive):
    """Returns the row ids of a label's positives."""
    positives = np.empty(len(row_ids), np.int64)
    num_positives = 0
    for pair in range(len(row_ids)):
        positives[num_positives] = row_ids[pair]
        num_positives += is_positive[pair]
    return positives[:num_positives]


@compiled.loop
def _add_centroid(rows, positives, centroid, sums, weights):
    """Adds `centroid` times the centroid of rows to a label's weights.

    `sums` [D] are zeros before and after.
    """
    for row in positives:
        for position in range(rows.splits[row], rows.splits[row + 1]):
            value = rows.weights[row] * rows.values[position]
            sums[rows.feature_ids[position]] += value
    # A sum's squared length is the sum of its products with the rows.
    square = np.float32(0)
    for row in positives:
        for position in range(rows.splits[row], rows.splits[row + 1]):
            value = rows.weights[row] * rows.values[position]
            square += value * sums[rows.feature_ids[position]]
    scale = np.float32(centroid * max(square, np.float32(1e-30)) ** -0.5)
    for row in positives:
        for position in range(rows.splits[row], rows.splits[row + 1]):
            feature = rows.feature_ids[position]
            sums[feature] = 0
            value = rows.weights[row] * rows.values[position]
            weights[feature] += scale * value


@compiled.loop
def _take_weights(rows, row_ids, weights, min_weight, kept_ids, kept_weights):
    """Copies a label's absolute weights of at least `min_weight`.

    Sets all of its weights to 0, for the next label. Returns how many are kept.
    """
    num_kept = 0
    for row in row_ids:
        for position in range(rows.splits[row], rows.splits[row + 1]):
            feature = rows.feature_ids[position]
            weight = weights[feature]
            if weight == 0:
                continue
            weights[feature] = 0
            if abs(weight) >= min_weight:
                kept_ids[num_kept] = feature
                kept_weights[num_kept] = weight
                num_kept += 1
    return num_kept
