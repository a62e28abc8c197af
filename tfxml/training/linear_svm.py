"""Many small linear classifiers at once, by dual coordinate descent.

# N instances, D features, L labels, P pairs of a label and an instance

Each label's weights w and bias b minimize

    (||w||^2 + b^2) / 2 + C sum_i max(0, 1 - y_i (w x_i + b))^2

over its own instances, y_i = 1 or -1. In the dual an instance is one number, at
least 0, and a move brings one of them to its optimum while the others rest
(Hsieh et al., "A dual coordinate descent method for large-scale linear SVM",
ICML 2008). Labels know nothing of each other, so a step here makes one move of
every label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_FULL_PASSES = 2  # before pairs are left out
_FULL_AGAIN = 4  # each so many passes all pairs are looked at


class Rows(NamedTuple):
    """Sparse rows [N, D]; no row has a feature twice."""

    splits: np.ndarray  # [N + 1] int64
    feature_ids: np.ndarray  # int64
    values: np.ndarray  # float32
    num_features: int  # D


class Pairs(NamedTuple):
    """Which instances each label learns from, and how; each once a label."""

    splits: np.ndarray  # [L + 1] int64: where a label's pairs begin
    row_ids: np.ndarray  # [P] int64
    is_positive: np.ndarray  # [P] bool


def solve(
    rows: Rows,
    pairs: Pairs,
    cost: float,
    num_passes: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the labels' weights, [L, D], and biases, [L].

    A pair that is on the right side with room to spare, and so has no part in
    the weights, is left out of most of the passes after the second.

    Args:
        rows: the instances.
        pairs: of labels and instances.
        cost: C.
        num_passes: how often a pair is moved.
        rng: of the order, a new one each pass: in an order that stays the
            descent is many times slower.
    """
    problem = _Problem(rows, pairs, cost)
    num_labels = len(pairs.splits) - 1
    labels = np.repeat(np.arange(num_labels), np.diff(pairs.splits))
    for number in range(num_passes):
        if number < _FULL_PASSES or number % _FULL_AGAIN == 0:
            left = np.arange(len(labels))
        else:
            left = np.flatnonzero((problem.duals > 0) | (problem.slopes <= 0))
        order = left[np.argsort(labels[left] + rng.random(len(left)))]
        problem.move(order, np.bincount(labels[left], minlength=num_labels))
    weights = problem.weights.reshape(num_labels, rows.num_features)
    return weights, problem.biases


class _Problem:
    """The labels' weights and duals as they move."""

    def __init__(self, rows: Rows, pairs: Pairs, cost: float):
        self._rows, self._row_ids = rows, pairs.row_ids
        self._sizes = np.diff(rows.splits)
        num_labels = len(pairs.splits) - 1
        most = int(self._sizes.max(initial=0))
        self._counting = np.arange(num_labels * max(most, 1))
        # Of the dual of the squared loss; the bias is a feature more, of 1.
        self._ridge = np.float32(0.5 / cost)
        owners = np.repeat(np.arange(len(self._sizes)), self._sizes)
        norms = np.bincount(owners, rows.values**2, len(self._sizes))
        curvatures = norms[pairs.row_ids] + 1 + self._ridge
        self._rates = (1 / curvatures).astype(np.float32)
        self._signs = np.where(pairs.is_positive, 1, -1).astype(np.float32)
        self.duals = np.zeros(len(pairs.row_ids), np.float32)
        self.slopes = np.zeros(len(pairs.row_ids), np.float32)
        self.weights = np.zeros(num_labels * rows.num_features, np.float32)
        self.biases = np.zeros(num_labels, np.float32)

    def move(self, order: np.ndarray, sizes: np.ndarray) -> None:
        """Moves the pairs `order`, label by label, `sizes` of each label."""
        starts = np.cumsum(sizes) - sizes
        by_size = np.argsort(-sizes, kind="stable")
        starts = starts[by_size]
        most = int(sizes.max(initial=0))
        # How many labels have more than t pairs, for each step t.
        num_active = np.searchsorted(-sizes[by_size], -np.arange(most))
        for step in range(most):
            active = num_active[step]
            self._step(order[starts[:active] + step], by_size[:active])

    def _step(self, pairs: np.ndarray, labels: np.ndarray) -> None:
        """Moves a pair of each of the labels."""
        rows, chosen = self._rows, self._row_ids[pairs]
        lengths = self._sizes[chosen]
        # The rows one after the other, and whose each entry is.
        owners = np.repeat(self._counting[: len(labels)], lengths)
        shifts = rows.splits[chosen] - (np.cumsum(lengths) - lengths)
        places = shifts.take(owners, mode="clip")
        places += self._counting[: len(places)]
        values = rows.values.take(places, mode="clip")
        places = rows.feature_ids.take(places, mode="clip")
        places += (labels * rows.num_features).take(owners, mode="clip")

        weights = self.weights.take(places, mode="clip")
        sums = np.bincount(owners, weights * values, len(labels))
        signs, old = self._signs[pairs], self.duals[pairs]
        margins = signs * (sums + self.biases[labels])
        slopes = margins - 1 + self._ridge * old
        new = np.maximum(old - slopes * self._rates[pairs], 0)
        self.duals[pairs], self.slopes[pairs] = new, slopes
        moves = ((new - old) * signs).astype(np.float32)
        self.biases[labels] += moves
        values *= moves.take(owners, mode="clip")
        values += weights
        self.weights[places] = values
