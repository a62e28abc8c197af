"""How much head, re-ranker and centroid count, fitted on held-out rows.

# N held-out instances, S candidates of an instance

The final score is a weighted sum of the head's logit and the margin of the
re-ranker, whose weights may contain a multiple of the label's centroid. All
three are known for each candidate once the re-ranker is learnt, so every
mixture can be tried at the cost of a sort.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from tfxml.models import reranker_options

_HEAD_SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
_CENTROIDS = (0.0, 0.5, 1.0, 2.0, 4.0)
_SIZES = (20, 50, 100, 200, 400)
KS = (1, 3, 5)


class Candidates(NamedTuple):
    """What is known of the candidates of held-out rows, [N, S] each."""

    is_true: np.ndarray  # bool
    logits: np.ndarray  # of the head, best first
    margins: np.ndarray  # of the re-ranker, without centroids
    cosines: np.ndarray  # between instance and centroid


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The best mixture, and what it reaches."""

    head_share: float  # 1: the re-ranker is not needed
    centroid: float
    num_candidates: int
    precisions: tuple[float, ...]  # P@1, 3, 5, in percent

    @property
    def quality(self) -> float:
        """The mean of the precisions: a point of each counts alike."""
        return float(np.mean(self.precisions))

    def describe(self) -> str:
        """Returns its precisions in words."""
        pairs = zip(KS, self.precisions, strict=True)
        return " ".join(f"P@{k} {value:.2f}" for k, value in pairs)


def fit(candidates: Candidates) -> Mixture:
    """Returns the mixture with the best precisions; of equals the first."""
    width = candidates.logits.shape[1]
    sizes = sorted({min(size, width) for size in (*_SIZES, width)})
    tried = [
        _mixture(candidates, share, centroid, size)
        for size in sizes
        for share in _HEAD_SHARES
        for centroid in (_CENTROIDS if share < 1 else (0.0,))
    ]
    return max(tried, key=lambda mixture: mixture.quality)


def of_head(is_true: np.ndarray, logits: np.ndarray) -> Mixture:
    """Returns what a head reaches without a re-ranker; both are [N, S]."""
    return Mixture(1.0, 0.0, logits.shape[1], precisions(is_true, logits))


def precisions(is_true: np.ndarray, scores: np.ndarray) -> tuple[float, ...]:
    """Returns P@1, 3, 5 in percent of candidates ranked by scores [N, S]."""
    number = min(max(KS), scores.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :number]
    hits = np.take_along_axis(is_true, best, axis=1)
    return tuple(
        100 * float(hits[:, :k].sum()) / (k * max(len(hits), 1)) for k in KS
    )


def _mixture(
    candidates: Candidates, share: float, centroid: float, size: int
) -> Mixture:
    margins = candidates.margins + np.float32(centroid) * candidates.cosines
    scores = (
        np.float32((1 - share) * reranker_options.LOGIT_OF_MARGIN) * margins
        + np.float32(share) * candidates.logits
    )
    return Mixture(
        share,
        centroid,
        size,
        precisions(candidates.is_true[:, :size], scores[:, :size]),
    )
