"""Thresholds of scores above which labels are answered, from held-out rows.

# N instances, K candidates an instance, L labels, P pairs
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from tfxml.evaluation import label_sets, ranked_lists

MICRO_F1 = "micro_f1"
MACRO_F1 = "macro_f1"
PRECISION = "precision"
OBJECTIVES = (MICRO_F1, MACRO_F1, PRECISION)
NEVER = 2.0  # a threshold that no score reaches
_MOST_GRID = 100
_MOST_ROUNDS = 50


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Scores from which on labels are answered.

    Attributes:
        default: of labels that have none to themselves.
        of_labels: from label id to threshold.
    """

    default: float
    of_labels: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def choose(self, candidates: label_sets.Candidates) -> np.ndarray:
        """Tells which candidates are answered, [N, K]."""
        if not self.of_labels:
            return candidates.scores >= self.default
        ids = np.array(sorted(self.of_labels))
        values = np.array([self.of_labels[one] for one in ids.tolist()])
        places = np.searchsorted(ids, candidates.label_ids)
        places = places.clip(0, len(ids) - 1)
        is_own = ids[places] == candidates.label_ids
        limits = np.where(is_own, values[places], self.default)
        return candidates.scores >= limits


def fit_global(
    candidates: label_sets.Candidates,
    truth: label_sets.LabelSets,
    objective: str,
    floor: float = 0.0,
) -> Thresholds:
    """Returns one threshold for all labels.

    Args:
        candidates: of held-out rows.
        truth: their labels.
        objective: `micro_f1`, `macro_f1`, or `precision`: the lowest threshold
            from which on precision is at least `floor`.
        floor: in [0, 1].
    """
    scores = candidates.scores.ravel()
    is_true = candidates.is_true(truth).ravel()
    if objective == MACRO_F1:
        return Thresholds(_best_macro(candidates, truth))
    gain = _gain(objective, len(truth.ids), floor)
    return Thresholds(_best(scores, is_true, gain))


def fit_per_label(
    candidates: label_sets.Candidates,
    truth: label_sets.LabelSets,
    objective: str,
    floor: float = 0.0,
    fewest: int = 5,
) -> Thresholds:
    """Returns a threshold for each label that has enough held-out instances.

    `macro_f1` takes what is best for each label by itself. `micro_f1` is best
    for all labels together: with F its value, each label maximises
    2 hits - F * predicted, which is repeated until F stays (Dinkelbach's
    method). The other labels have the global threshold.

    Args:
        candidates: of held-out rows.
        truth: their labels.
        objective: as of `fit_global`.
        floor: in [0, 1].
        fewest: instances that a label needs to have its own threshold.
    """
    default = fit_global(candidates, truth, objective, floor).default
    ids = candidates.label_ids.ravel()
    order = np.argsort(ids, kind="stable")
    scores = candidates.scores.ravel()[order]
    is_true = candidates.is_true(truth).ravel()[order]
    labels, starts = np.unique(ids[order], return_index=True)
    stops = [*starts[1:], len(order)]
    names, supports = np.unique(truth.ids, return_counts=True)
    support = dict(zip(names.tolist(), supports.tolist(), strict=True))
    parts = [
        (label, slice(start, stop))
        for label, start, stop in zip(
            labels.tolist(), starts, stops, strict=True
        )
        if support.get(label, 0) >= fewest
    ]
    if objective != MICRO_F1:
        return Thresholds(
            default,
            {
                label: _best(
                    scores[part],
                    is_true[part],
                    _gain(objective, support[label], floor),
                )
                for label, part in parts
            },
        )
    return _dinkelbach(candidates, truth, default, parts, scores, is_true)


def _dinkelbach(
    candidates, truth, default, parts, scores, is_true
) -> Thresholds:
    """Returns the thresholds that are best for micro-F1 together."""
    found = Thresholds(default)
    value = _micro_f1(found, candidates, truth)
    for _ in range(_MOST_ROUNDS):

        def gain(hits, number, value=value):
            return 2 * hits - value * number

        of_labels = {
            label: _best(scores[part], is_true[part], gain)
            for label, part in parts
        }
        better = Thresholds(default, of_labels)
        new = _micro_f1(better, candidates, truth)
        if new <= value + 1e-12:
            break
        found, value = better, new
    return found


def _micro_f1(found: Thresholds, candidates, truth) -> float:
    is_chosen = found.choose(candidates)
    hits = int((is_chosen & candidates.is_true(truth)).sum())
    return 2 * hits / max(int(is_chosen.sum()) + len(truth.ids), 1)


def _gain(objective: str, support: int, floor: float):
    """Returns what is maximised, of hits and numbers answered, [P] each."""
    if objective not in OBJECTIVES:
        raise ranked_lists.argument_error(
            "objective", f"be one of {OBJECTIVES}", objective
        )
    if objective == PRECISION:
        # As many answers as the floor allows; else none.
        return lambda hits, number: np.where(hits >= floor * number, number, -1)
    return lambda hits, number: 2 * hits / np.maximum(number + support, 1)


def _best(scores: np.ndarray, is_true: np.ndarray, gain) -> float:
    """Returns the threshold of the largest gain; of several the highest.

    Thresholds lie midway between scores, so that rounding decides nothing.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # After none, and after the last of each run of equal scores.
    ends = np.flatnonzero(np.diff(ranked, append=-np.inf) < 0) + 1
    numbers = np.concatenate([[0], ends])
    hits = np.concatenate([[0], np.cumsum(is_true[order])])[numbers]
    number = int(numbers[np.argmax(gain(hits, numbers))])
    if number == 0:
        return NEVER
    below = ranked[number] if number < len(ranked) else 0.0
    return float((ranked[number - 1] + min(below, ranked[number - 1])) / 2)


def _best_macro(candidates, truth) -> float:
    """Returns the global threshold of the best macro-F1, on a grid."""
    quantiles = np.linspace(0, 1, _MOST_GRID)
    grid = np.unique(np.quantile(candidates.scores, quantiles))
    is_true = candidates.is_true(truth)
    number = 1 + max(
        int(candidates.label_ids.max()), int(np.max(truth.ids, initial=0))
    )
    support = np.bincount(truth.ids, minlength=number)
    values = []
    for limit in grid:
        is_chosen = candidates.scores >= limit
        sizes = support + np.bincount(
            candidates.label_ids[is_chosen], minlength=number
        )
        hits = np.bincount(
            candidates.label_ids[is_chosen & is_true], minlength=number
        )
        there = sizes > 0
        values.append((2 * hits[there] / sizes[there]).mean())
    return float(grid[int(np.argmax(values))])
