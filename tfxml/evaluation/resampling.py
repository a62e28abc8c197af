"""Bootstrap intervals of ranking metrics, and of differences between two runs.

# N instances, K predictions an instance, M metrics, B resamples
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfxml.evaluation import ranked_lists

NUM_RESAMPLES = 1000
_CONFIDENCE = 95  # percent
_BLOCK = 1 << 24  # weights that are held at once


class Shares(NamedTuple):
    """What each instance adds to metrics; a metric is a ratio of two sums.

    P@k and nDCG@k are means; PSP@k is a ratio of sums over the split.
    """

    keys: tuple[str, ...]  # [M]
    above: np.ndarray  # [N, M]
    below: np.ndarray  # [N, M]

    def values(self) -> dict[str, float]:
        """Returns the metrics, in percent."""
        ratios = _ratio(self.above.sum(0), self.below.sum(0))
        return dict(zip(self.keys, (100 * ratios).tolist(), strict=True))


class Interval(NamedTuple):
    """Where a metric lies in 95 of 100 resamples, in percent."""

    low: float
    high: float


def shares(
    top_ids: np.ndarray,
    label_splits: np.ndarray,
    label_ids: np.ndarray,
    inverse_propensities: np.ndarray,
    ks: Sequence[int],
) -> Shares:
    """Returns what each instance adds to P@k, nDCG@k and PSP@k.

    Args:
        top_ids: [N, K], labels by descending score; -1: none.
        label_splits: [N + 1], row splits of `label_ids`.
        label_ids: true labels, ascending within an instance.
        inverse_propensities: [L].
        ks: cut-offs, K at most.
    """
    number, most = len(top_ids), max(ks)
    lengths = np.diff(label_splits)
    rows = np.repeat(np.arange(number), lengths)
    weights = np.asarray(inverse_propensities)[label_ids]
    found, ranks = ranked_lists.find(top_ids[:, :most], rows, label_ids)
    hits = np.zeros((number, most))
    hits[rows[found], ranks] = 1
    gains = np.zeros((number, most))
    gains[rows[found], ranks] = weights[found]
    best = np.zeros((number, most))
    order = np.lexsort((-weights, rows))
    places = np.arange(len(order)) - label_splits[rows]
    inside = places < most
    best[rows[inside], places[inside]] = weights[order][inside]
    discounts = 1 / np.log2(np.arange(most) + 2)
    ideal = np.concatenate([[1], np.cumsum(discounts)])
    ones = np.ones(number)
    columns = {}
    for k in ks:
        columns[f"P@{k}"] = hits[:, :k].sum(1) / k, ones
        dcg = (hits * discounts)[:, :k].sum(1)
        columns[f"nDCG@{k}"] = (
            dcg / np.maximum(ideal[np.minimum(lengths, k)], 1e-12),
            ones,
        )
        columns[f"PSP@{k}"] = gains[:, :k].sum(1), best[:, :k].sum(1)
    above, below = (
        np.stack([pair[side] for pair in columns.values()], axis=1)
        for side in (0, 1)
    )
    return Shares(tuple(columns), above, below)


def intervals(
    shares: Shares, seed: int = 0, num_resamples: int = NUM_RESAMPLES
) -> dict[str, Interval]:
    """Returns the percentile interval of each metric over resampled instances.

    Args:
        shares: of all instances of a split.
        seed: of the resamples.
        num_resamples: B.
    """
    return _percentiles(shares.keys, _resampled(shares, seed, num_resamples))


def differences(
    first: Shares,
    second: Shares,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> dict[str, Interval]:
    """Returns the interval of first - second, over the same resamples.

    Both are of the same instances, in the same order: what is hard for both
    runs so does not widen the interval.
    """
    if first.keys != second.keys or len(first.above) != len(second.above):
        raise ranked_lists.argument_error(
            "second",
            f"be of the same {len(first.above)} instances and metrics",
            f"{len(second.above)} instances",
        )
    resampled = [
        _resampled(one, seed, num_resamples) for one in (first, second)
    ]
    return _percentiles(first.keys, resampled[0] - resampled[1])


def _resampled(shares: Shares, seed: int, num_resamples: int) -> np.ndarray:
    """Returns the metrics of resamples, [B, M], as shares of 1."""
    generator = np.random.default_rng(seed)
    number = len(shares.above)
    parts = []
    step = max(1, _BLOCK // number)
    for first in range(0, num_resamples, step):
        size = min(step, num_resamples - first)
        # How often each instance is drawn.
        counts = np.stack(
            [
                np.bincount(
                    generator.integers(0, number, number), minlength=number
                )
                for _ in range(size)
            ]
        ).astype(np.float64)
        parts.append(_ratio(counts @ shares.above, counts @ shares.below))
    return np.concatenate(parts)


def _percentiles(
    keys: Sequence[str], resampled: np.ndarray
) -> dict[str, Interval]:
    tail = (100 - _CONFIDENCE) / 2
    ends = np.percentile(100 * resampled, [tail, 100 - tail], axis=0)
    return {
        key: Interval(*map(float, pair))
        for key, pair in zip(keys, ends.T, strict=True)
    }


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Divides, with 0 / 0 = 0."""
    return above / np.where(below == 0, 1, below)
