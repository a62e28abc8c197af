"""Tests whether labels depend on one another beyond what a model's scores say.

# N instances, K candidates an instance, M labels looked at, B permutations

If labels are independent given the features, and p their probabilities, then
two labels occur together as often as the sum of p p' says. The excess is tested
by permuting each label among instances of nearly the same p, which keeps how
probable it is everywhere and breaks whatever else ties it to other labels.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfxml.evaluation import label_sets

_MOST_ROWS = 5000
_NEAR = 16  # instances of nearly the same p, which are permuted
_NUM_PAIRS = 10


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two labels, how often they occur together, and how often expected."""

    first: int
    second: int
    observed: int
    expected: float


@dataclasses.dataclass(frozen=True)
class Dependence:
    """What a permutation test found.

    Attributes:
        p_value: the share of permutations in which labels seem at least as
            dependent; its rate of false alarms is the level it is compared
            with.
        excess: the distance between observed and expected co-occurrences, less
            that of permuted labels, over all co-occurrences, in percent.
        pairs: those with the largest distance, largest first.
        observed: the sum of distances.
        permuted: [B], of permutations.
    """

    p_value: float
    excess: float
    pairs: list[Pair]
    observed: float
    permuted: np.ndarray


def test(
    candidates: label_sets.Candidates,
    truth: label_sets.LabelSets,
    num_labels: int = 100,
    num_permutations: int = 99,
    seed: int = 0,
) -> Dependence:
    """Returns how far labels depend on one another, given the scores.

    Args:
        candidates: calibrated scores of held-out rows; other labels count as
            impossible.
        truth: labels of the rows.
        num_labels: the most frequent ones are looked at.
        num_permutations: B; the smallest p-value is 1 / (B + 1).
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    number = min(len(truth), _MOST_ROWS)
    chosen = np.sort(rng.choice(len(truth), number, replace=False))
    truth = truth.select(chosen)
    candidates = label_sets.Candidates(
        candidates.scores[chosen], candidates.label_ids[chosen]
    )
    ids, counts = np.unique(truth.ids, return_counts=True)
    ids = np.sort(ids[np.argsort(-counts, kind="stable")[:num_labels]])
    p, is_on = _dense(candidates, truth, ids)
    order = np.argsort(p, axis=0, kind="stable")
    expected = _together(p)
    observed = _together(is_on)
    distance = np.abs(observed - expected).sum()
    permuted = np.array(
        [
            np.abs(_together(_permuted(is_on, order, rng)) - expected).sum()
            for _ in range(num_permutations)
        ]
    )
    total = max(observed.sum(), 1.0)
    return Dependence(
        float((1 + (permuted >= distance).sum()) / (1 + num_permutations)),
        float(100 * (distance - permuted.mean()) / total),
        _largest(observed, expected, ids),
        float(distance),
        permuted,
    )


def _dense(
    candidates: label_sets.Candidates,
    truth: label_sets.LabelSets,
    ids: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities and labels of the chosen labels, [N, M] each."""
    p = np.zeros([len(truth), len(ids)])
    is_on = np.zeros_like(p)
    places = np.searchsorted(ids, candidates.label_ids).clip(max=len(ids) - 1)
    is_here = ids[places] == candidates.label_ids
    rows, columns = np.nonzero(is_here)
    p[rows, places[rows, columns]] = candidates.scores[rows, columns]
    places = np.searchsorted(ids, truth.ids).clip(max=len(ids) - 1)
    is_here = ids[places] == truth.ids
    is_on[truth.rows()[is_here], places[is_here]] = 1
    # A label that is no candidate of a row says nothing of the model's p.
    return p, np.where(p > 0, is_on, 0)


def _together(values: np.ndarray) -> np.ndarray:
    """Returns how often each two labels occur together, once each, [M, M]."""
    return np.triu(values.T @ values, 1)


def _permuted(
    is_on: np.ndarray, order: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Returns labels [N, M], each permuted among rows of nearly its p."""
    number = len(is_on)
    shift = rng.integers(0, _NEAR)  # so that no border is always one
    block = (np.arange(number) + shift) // _NEAR
    keys = block[:, None] + rng.random(is_on.shape)
    new = np.take_along_axis(order, np.argsort(keys, axis=0), axis=0)
    permuted = np.zeros_like(is_on)
    values = np.take_along_axis(is_on, order, axis=0)
    np.put_along_axis(permuted, new, values, axis=0)
    return permuted


def _largest(
    observed: np.ndarray, expected: np.ndarray, ids: np.ndarray
) -> list[Pair]:
    """Returns the pairs that are the farthest from what was expected."""
    distances = np.abs(observed - expected)
    order = np.argsort(-distances, axis=None)[:_NUM_PAIRS]
    return [
        Pair(
            int(ids[first]),
            int(ids[second]),
            int(observed[first, second]),
            float(expected[first, second]),
        )
        for first, second in zip(
            *np.unravel_index(order, distances.shape), strict=True
        )
        if distances[first, second] > 0
    ]
