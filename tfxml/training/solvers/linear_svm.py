"""Many small linear classifiers, each by dual coordinate descent.

# N instances, D features, E features of all rows, L labels, P pairs of a label
# and an instance, W weights

Each label's weights w and bias b minimize

    (||w||^2 + b^2) / 2 + C sum_i max(0, 1 - y_i (w x_i + b))^2

over its own instances, y_i = 1 or -1. In the dual an instance is one number, at
least 0, and a move brings one of them to its optimum while the others rest
(Hsieh et al., "A dual coordinate descent method for large-scale linear SVM",
ICML 2008). A move reads and writes the few weights of one row, which arrays at
a time do a tenth as fast: hence a compiled loop.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfxml.cpu import compiled
from tfxml.training.solvers import label_problems

_FULL_PASSES = 2  # before pairs are left out
_FULL_AGAIN = 4  # each so many passes all pairs are looked at
_FIRST_ROOM = 1 << 16  # weights, before there must be more


class Solved(NamedTuple):
    """The labels' weights that are not 0, and their biases."""

    splits: np.ndarray  # [L + 1] int64: where a label's weights begin
    feature_ids: np.ndarray  # [W] int32
    weights: np.ndarray  # [W] float32
    biases: np.ndarray  # [L] float32


def solve(
    rows: label_problems.Rows,
    pairs: label_problems.Pairs,
    cost: float,
    num_passes: int,
    seeds: np.ndarray,
    least: float = 0.0,
    centroid: float = 0.0,
) -> Solved:
    """Returns the labels' classifiers. Holds no lock while it works.

    A pair that is on the right side with room to spare, and so has no part in
    the weights, is left out of most of the passes after the second.

    Args:
        rows: the instances.
        pairs: of labels and instances.
        cost: C.
        num_passes: how often a pair is moved.
        seeds: [L] uint64, of each label's order of pairs, a new one each pass:
            in an order that stays the descent is many times slower.
        least: weights smaller in size are not returned.
        centroid: how much of its centroid, the sum of its positives divided by
            its length, is added to a label's weights in the end. A margin so
            grows with the cosine between the two: what an optimum that has
            few positives to learn from does not know.
    """
    found = _solve_labels(
        rows.splits.astype(np.int64, copy=False),
        rows.feature_ids.astype(np.uint32),  # a sign would be asked for
        rows.values.astype(np.float32, copy=False),
        rows.num_features,
        pairs.splits.astype(np.int64, copy=False),
        pairs.row_ids.astype(np.int64, copy=False),
        pairs.is_positive.astype(np.bool_, copy=False),
        0.5 / cost,
        num_passes,
        seeds.astype(np.uint64, copy=False),
        least,
        centroid,
    )
    splits, feature_ids, weights, biases = found
    return Solved(splits, feature_ids.astype(np.int32), weights, biases)


@compiled.loop
def _solve_labels(
    row_splits,
    feature_ids,
    values,
    num_features,
    pair_splits,
    row_ids,
    is_positive,
    ridge,
    num_passes,
    seeds,
    least,
    centroid,
):
    """The loop over labels, passes and pairs; see `solve`.

    `ridge` is what the squared loss adds to the dual's diagonal. The bias is
    the weight of a feature more, which all rows have, of 1.
    """
    num_labels = len(pair_splits) - 1
    norms = np.ones(len(row_splits) - 1, np.float32)
    for row in range(len(norms)):
        for place in range(row_splits[row], row_splits[row + 1]):
            norms[row] += values[place] * values[place]
    norms += np.float32(ridge)
    weights = np.zeros(num_features, np.float32)
    sums = np.zeros(num_features, np.float32)
    biases = np.zeros(num_labels, np.float32)
    splits = np.zeros(num_labels + 1, np.int64)
    found_ids = np.empty(_FIRST_ROOM, np.uint32)
    found = np.empty(_FIRST_ROOM, np.float32)
    most = 0
    for label in range(num_labels):
        most = max(most, pair_splits[label + 1] - pair_splits[label])
    duals, slopes = np.empty(most, np.float32), np.empty(most, np.float32)
    order = np.empty(most, np.int64)
    ridge = np.float32(ridge)
    zero, one, tiny = np.float32(0), np.float32(1), np.float32(1e-30)

    for label in range(num_labels):
        first = pair_splits[label]
        size = pair_splits[label + 1] - first
        duals[:size] = 0
        slopes[:size] = 0
        bias = zero
        state = seeds[label] | np.uint64(1)
        for number in range(num_passes):
            is_full = number < _FULL_PASSES or number % _FULL_AGAIN == 0
            left = 0
            for pair in range(size):
                if is_full or duals[pair] > 0 or slopes[pair] <= 0:
                    order[left] = pair
                    left += 1
            for last in range(left - 1, -1, -1):
                # A xorshift generator (Marsaglia, 2003) draws the next pair.
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                chosen = np.int64(
                    (state >> np.uint64(33)) % np.uint64(last + 1)
                )
                pair = order[chosen]
                order[chosen] = order[last]
                row = row_ids[first + pair]
                start, end = row_splits[row], row_splits[row + 1]
                margin = bias
                for place in range(start, end):
                    margin += weights[feature_ids[place]] * values[place]
                sign = one if is_positive[first + pair] else -one
                old = duals[pair]
                slope = sign * margin - one + ridge * old
                slopes[pair] = slope
                new = max(old - slope / norms[row], zero)
                if new != old:
                    duals[pair] = new
                    move = (new - old) * sign
                    bias += move
                    for place in range(start, end):
                        weights[feature_ids[place]] += move * values[place]
        biases[label] = bias
        # The length of the sum of all positives is that of their products
        # with it.
        square = zero
        for again in range(3 if centroid > 0 else 0):
            share = np.float32(centroid * max(square, tiny) ** -0.5)
            for pair in range(size):
                if not is_positive[first + pair]:
                    continue
                row = row_ids[first + pair]
                for place in range(row_splits[row], row_splits[row + 1]):
                    feature = feature_ids[place]
                    if again == 0:
                        sums[feature] += values[place]
                    elif again == 1:
                        square += values[place] * sums[feature]
                    else:
                        sums[feature] = 0
                        weights[feature] += share * values[place]
        # What was found is taken, and all is 0 again for the next label.
        end_of_found = splits[label]
        for pair in range(size):
            row = row_ids[first + pair]
            for place in range(row_splits[row], row_splits[row + 1]):
                feature = feature_ids[place]
                weight = weights[feature]
                if weight == 0:
                    continue
                weights[feature] = 0
                if abs(weight) < least:
                    continue
                if end_of_found == len(found):
                    fewer_ids, fewer = found_ids, found
                    found_ids = np.empty(2 * len(fewer), np.uint32)
                    found = np.empty(2 * len(fewer), np.float32)
                    for entry in range(len(fewer)):
                        found_ids[entry] = fewer_ids[entry]
                        found[entry] = fewer[entry]
                found_ids[end_of_found] = feature
                found[end_of_found] = weight
                end_of_found += 1
        splits[label + 1] = end_of_found
    number = splits[num_labels]
    return splits, found_ids[:number], found[:number], biases
