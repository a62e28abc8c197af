"""Sets of labels that are best in expectation, from what is known of labels.

# N instances, K candidates an instance, S sets an instance

From marginals, as if labels were independent, and from weighted sets, which
know how labels depend on one another. Labels that are no candidates count as
absent. Sets are masks [N, K] of the candidates; see `Candidates.chosen`.
"""

from __future__ import annotations

import numpy as np

from tfxml.evaluation import ranked_lists

_AT_ONCE = 1 << 22  # numbers of a block of instances


def most_probable(probabilities: np.ndarray) -> np.ndarray:
    """Returns the most probable sets if labels are independent: p > 1/2.

    That is the best prediction for subset accuracy and for Hamming loss.
    """
    return _checked(probabilities) > 0.5


def best_f1(probabilities: np.ndarray) -> np.ndarray:
    """Returns the sets of the highest expected F1 if labels are independent.

    Exact, among sets of candidates: the best set of each size has the most
    probable labels, and the expectation follows from the distributions of how
    many labels are true among them and among the others (Ye et al.,
    "Optimizing F-measure: a tale of two approaches", ICML 2012). The F1 of an
    empty set is 1 where there is no label, 0 elsewhere.
    """
    probabilities = _checked(probabilities)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    number = probabilities.shape[1]
    sizes = np.zeros(len(probabilities), np.int64)
    step = max(1, _AT_ONCE // ((number + 1) ** 2))
    for first in range(0, len(sizes), step):
        rows = slice(first, first + step)
        ranked = np.take_along_axis(probabilities[rows], order[rows], axis=1)
        sizes[rows] = expected_f1(ranked).argmax(axis=1)
    is_chosen = np.zeros(probabilities.shape, bool)
    np.put_along_axis(
        is_chosen, order, np.arange(number) < sizes[:, None], axis=1
    )
    return is_chosen


def expected_f1(ranked: np.ndarray) -> np.ndarray:
    """Returns the expected F1 of the k first labels, [N, K + 1], k from 0.

    `ranked` are probabilities of independent labels, [N, K].
    """
    number = ranked.shape[1]
    behind = _counts_behind(ranked)
    # P(a of the first k labels are true), from k = 0 on.
    among = np.ones([len(ranked), 1])
    values = np.empty([len(ranked), number + 1])
    values[:, 0] = behind[0][:, 0]
    for k in range(1, number + 1):
        p = ranked[:, k - 1, None]
        among = _with_label(among, p)
        true, others = np.ogrid[: k + 1, : number - k + 1]
        gains = 2 * true / (k + true + others)
        values[:, k] = np.einsum(
            "na,nb,ab->n", among, behind[k], gains, optimize=True
        )
    return values


def best_f1_of_sets(
    is_member: np.ndarray,
    weights: np.ndarray,
    marginals: np.ndarray | None = None,
) -> np.ndarray:
    """Returns the sets of the highest expected F1 under weighted sets.

    Exact for any dependence: with D(i, k) = sum over sets y that hold i of
    P(y) 2 / (|y| + k), the best set of size k holds the k labels of the largest
    D(i, k), and their sum is its expected F1 (Dembczynski et al., "An exact
    algorithm for F-measure maximization", NeurIPS 2011).

    Args:
        is_member: [N, S, K], which candidates are in each set.
        weights: [N, S], the sets' probabilities.
        marginals: [N, K]; sets that are not given are then as probable, one to
            another, as if labels were independent. None: there are no others.
    """
    weights = np.asarray(weights, np.float64)
    if is_member.ndim != 3 or is_member.shape[:2] != weights.shape:
        need = f"have shape {(*weights.shape, 'K')}"
        raise ranked_lists.argument_error("is_member", need, is_member.shape)
    number = is_member.shape[2]
    is_chosen = np.zeros((len(weights), number), bool)
    step = max(1, _AT_ONCE // (number * max(number, is_member.shape[1])))
    for first in range(0, len(weights), step):
        rows = slice(first, first + step)
        members = is_member[rows].astype(np.float64)
        of_sets, rest = weights[rows], None
        if marginals is not None:
            rest = _Rest(_checked(marginals[rows]), members, of_sets)
        else:
            of_sets = of_sets / of_sets.sum(axis=1, keepdims=True)
        is_chosen[rows] = _best_of_gains(members, of_sets, rest)
    return is_chosen


class _Rest:
    """Sets beside the given ones, as if labels were independent.

    Args:
        p: [N, K], marginals.
        members: [N, S, K], the given sets.
        weights: [N, S], their probabilities.
    """

    def __init__(self, p: np.ndarray, members: np.ndarray, weights: np.ndarray):
        self._p = p
        # How probable the given sets would be.
        factors = np.where(members > 0, p[:, None], 1 - p[:, None])
        self._weights = factors.prod(axis=2)
        left = 1 - self._weights.sum(axis=1)
        missing = (1 - weights.sum(axis=1)).clip(0, 1)
        self._scale = np.where(left > 1e-9, missing / left.clip(1e-9), 0)
        self._members, self._lengths = members, members.sum(axis=2)
        # P(so many other labels are true), [N, K, K]: of each label.
        counts = np.ones([*p.shape, 1])
        for place in range(p.shape[1]):
            others = np.repeat(p[:, place, None], p.shape[1], axis=1)
            others[:, place] = 0
            counts = _with_label(counts, others[..., None])
        self._counts = counts[..., : p.shape[1]]

    def empty(self) -> np.ndarray:
        """Returns the probability that no label is true, [N]."""
        of_sets = (self._weights * (self._lengths == 0)).sum(axis=1)
        return self._scale * ((1 - self._p).prod(axis=1) - of_sets)

    def gains(self, k: int) -> np.ndarray:
        """Returns what each label adds to a set of k labels, [N, K]."""
        sizes = np.arange(self._p.shape[1]) + 1  # with the label itself
        every = self._p * (self._counts @ (2 / (sizes + k)))
        of_sets = np.einsum(
            "ns,nsk->nk", self._weights * 2 / (self._lengths + k), self._members
        )
        return self._scale[:, None] * (every - of_sets)


def _best_of_gains(
    members: np.ndarray, weights: np.ndarray, rest: _Rest | None
) -> np.ndarray:
    """Returns the best set of the best size, a mask [N, K]."""
    lengths = members.sum(axis=2)  # [N, S]
    best = (weights * (lengths == 0)).sum(axis=1)  # of the empty set
    most = int(lengths.max(initial=0))
    if rest is not None:
        best = best + rest.empty()
        most = members.shape[2]
    is_chosen = np.zeros((len(weights), members.shape[2]), bool)
    for k in range(1, most + 1):
        gains = np.einsum("ns,nsk->nk", weights * 2 / (lengths + k), members)
        if rest is not None:
            gains = gains + rest.gains(k)
        order = np.argsort(-gains, axis=1, kind="stable")[:, :k]
        value = np.take_along_axis(gains, order, axis=1).sum(axis=1)
        is_better = value > best
        best = np.where(is_better, value, best)
        of_size = np.zeros(is_chosen.shape, bool)
        np.put_along_axis(of_size, order, True, axis=1)
        is_chosen = np.where(is_better[:, None], of_size, is_chosen)
    return is_chosen


def _counts_behind(ranked: np.ndarray) -> list[np.ndarray]:
    """Returns P(b labels are true behind the first k), [N, K - k + 1] by k."""
    behind = [np.ones([len(ranked), 1])]
    for place in range(ranked.shape[1] - 1, -1, -1):
        behind.append(_with_label(behind[-1], ranked[:, place, None]))
    return behind[::-1]


def _with_label(counts: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Returns a distribution of counts [..., C], with one label more."""
    grown = np.zeros([*counts.shape[:-1], counts.shape[-1] + 1])
    grown[..., :-1] = counts * (1 - p)
    grown[..., 1:] += counts * p
    return grown


def _checked(scores: np.ndarray) -> np.ndarray:
    """Returns scores as float64 probabilities."""
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or not ((scores >= 0) & (scores <= 1)).all():
        raise ranked_lists.argument_error(
            "probabilities", "be in [0, 1], [N, K]", f"shape {scores.shape}"
        )
    return scores
