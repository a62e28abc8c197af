"""How much head, re-ranker, centroid and name count, fitted on held-out rows.

# N held-out instances, S candidates of an instance

The final score is a weighted sum of the head's logit and the margin of the
re-ranker, whose weights may contain multiples of the label's centroid and of
its name's row. All four are known for each candidate once the re-ranker is
learnt, so every mixture can be tried at the cost of a sort.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfxml.models import reranker_options

_HEAD_SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.85, 1.0)
_CENTROIDS = (0.0, 0.5, 1.0, 2.0, 4.0)
_NAMES = (0.0, 0.25, 0.5, 1.0)
_SIZES = (20, 50, 100, 200, 400)
KS = (1, 3, 5)


class Candidates(NamedTuple):
    """What is known of the candidates of held-out rows, [N, S] each."""

    is_true: np.ndarray  # bool
    logits: np.ndarray  # of the head, best first
    margins: np.ndarray  # of the re-ranker, without centroids and names
    cosines: np.ndarray  # between instance and centroid
    names: np.ndarray  # cosines between instance and the label's name; or 0


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The best mixture, and what it reaches."""

    head_share: float  # 1: the re-ranker is not needed
    centroid: float
    num_candidates: int
    precisions: tuple[float, ...]  # P@1, 3, 5, in percent
    name: float = 0.0

    @property
    def quality(self) -> float:
        """The mean of the precisions: a point of each counts alike."""
        return float(np.mean(self.precisions))

    @property
    def quality_of_names(self) -> float:
        """A mean of the precisions in which P@1 counts twice.

        Names bring labels that few instances have, which raises P@3 and P@5,
        and may put the label that a text is named after before those that it
        has.
        """
        first, *others = self.precisions
        return (2 * first + sum(others)) / (2 + len(others))

    def describe(self) -> str:
        """Returns its precisions in words."""
        pairs = zip(KS, self.precisions, strict=True)
        return " ".join(f"P@{k} {value:.2f}" for k, value in pairs)


def fit(rerankers: Sequence[Candidates]) -> tuple[int, Mixture]:
    """Returns the best of some re-rankers and its mixture.

    A re-ranker's margins alone, but for names, are taken where the best of all
    mixtures is not ahead of them by a standard error: of so many mixtures one
    is ahead by chance.

    Args:
        rerankers: the candidates of the same rows with the margins of each.
    """
    plain = [_with_name(one, _plain(one)) for one in rerankers]
    tried = [
        (reranker, mixture)
        for reranker, one in enumerate(rerankers)
        for mixture in _grid(one, plain[reranker].name)
    ]
    best, mixture = max(tried, key=lambda pair: pair[1].quality)
    other = max(range(len(plain)), key=lambda one: plain[one].quality)
    gains = _of_rows(rerankers[best], mixture) - _of_rows(
        rerankers[other], plain[other]
    )
    if gains.mean() <= gains.std() / np.sqrt(len(gains)):
        return other, plain[other]
    return best, _with_name(rerankers[best], mixture)


def _plain(candidates: Candidates) -> Mixture:
    """Returns the margins of all candidates as a mixture."""
    return _mixture(candidates, 0.0, 0.0, candidates.logits.shape[1], 0.0)


def _grid(candidates: Candidates, name: float) -> list[Mixture]:
    """Returns the mixtures of all shares, centroids and sizes with a name's."""
    width = candidates.logits.shape[1]
    sizes = sorted({min(size, width) for size in (*_SIZES, width)})
    return [
        _mixture(candidates, share, centroid, size, name)
        for size in sizes
        for share in _HEAD_SHARES
        for centroid in (_CENTROIDS if share < 1 else (0.0,))
    ]


def _with_name(candidates: Candidates, mixture: Mixture) -> Mixture:
    """Returns a mixture with the best weight of names."""
    if mixture.head_share == 1 or not candidates.names.any():
        return mixture
    tried = [
        _mixture(
            candidates,
            mixture.head_share,
            mixture.centroid,
            mixture.num_candidates,
            name,
        )
        for name in _NAMES
    ]
    return max(tried, key=lambda one: one.quality_of_names)


def of_head(is_true: np.ndarray, logits: np.ndarray) -> Mixture:
    """Returns what a head reaches without a re-ranker; both are [N, S]."""
    return Mixture(1.0, 0.0, logits.shape[1], precisions(is_true, logits))


def precisions(is_true: np.ndarray, scores: np.ndarray) -> tuple[float, ...]:
    """Returns P@1, 3, 5 in percent of candidates ranked by scores [N, S]."""
    hits = _hits(is_true, scores)
    return tuple(
        100 * float(hits[:, :k].sum()) / (k * max(len(hits), 1)) for k in KS
    )


def _hits(is_true: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Tells which of each row's best five are true, [N, at most 5]."""
    number = min(max(KS), scores.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :number]
    return np.take_along_axis(is_true, best, axis=1)


def _of_rows(candidates: Candidates, mixture: Mixture) -> np.ndarray:
    """Returns each row's mean of P@1, 3, 5, [N]."""
    size = mixture.num_candidates
    scores = _scores(
        candidates, mixture.head_share, mixture.centroid, mixture.name
    )
    hits = _hits(candidates.is_true[:, :size], scores[:, :size])
    return np.mean([hits[:, :k].sum(axis=1) / k for k in KS], axis=0)


def _scores(
    candidates: Candidates, share: float, centroid: float, name: float
) -> np.ndarray:
    """Returns the candidates' final scores, [N, S]."""
    margins = candidates.margins + np.float32(centroid) * candidates.cosines
    if name:
        margins += np.float32(name) * candidates.names
    return (
        np.float32((1 - share) * reranker_options.LOGIT_OF_MARGIN) * margins
        + np.float32(share) * candidates.logits
    )


def _mixture(
    candidates: Candidates,
    share: float,
    centroid: float,
    size: int,
    name: float,
) -> Mixture:
    scores = _scores(candidates, share, centroid, name)
    reached = precisions(candidates.is_true[:, :size], scores[:, :size])
    return Mixture(share, centroid, size, reached, name)
