"""Labels that an instance is not answered with, or not scored with.

# N instances, n of them in a batch, K predictions an instance, S sets
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from tfxml.data import own_labels as own_labels_lib
from tfxml.evaluation import filtered_pairs


@dataclasses.dataclass(frozen=True)
class Exclusions:
    """What is left out of the answers to a split.

    Attributes:
        unscored: [F, 2], rows and labels that are left out of answers and of
            what is true; see `filtered_pairs`. None: there are none.
        own_labels: [N] int, a label for each row that is left out of its
            answer, and counts as missed where it is true; -1: no label. None:
            no row has one.
    """

    unscored: np.ndarray | None = None
    own_labels: np.ndarray | None = None

    @functools.cached_property
    def pairs(self) -> np.ndarray:
        """All rows and labels that no answer has, [P, 2], distinct."""
        parts = [np.zeros((0, 2), np.int64)]
        if self.unscored is not None:
            parts.append(self.unscored)
        if self.own_labels is not None:
            rows = np.flatnonzero(self.own_labels != own_labels_lib.NONE)
            parts.append(np.stack([rows, self.own_labels[rows]], axis=1))
        return np.unique(np.concatenate(parts), axis=0)

    @functools.cached_property
    def most(self) -> int:
        """The most labels that are left out of one answer."""
        counts = np.unique(self.pairs[:, 0], return_counts=True)[1]
        return int(counts.max(initial=0))

    def from_predictions(
        self, top_ids: np.ndarray, k: int, row_start: int = 0
    ) -> np.ndarray:
        """Returns answers without what is left out, [n, k].

        The arguments are those of `filtered_pairs.remove_from_predictions`.
        """
        return filtered_pairs.remove_from_predictions(
            top_ids, self.pairs, k, row_start
        )

    def from_labels(
        self, splits: np.ndarray, label_ids: np.ndarray, row_start: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns what is true and is scored, as splits and ids."""
        if self.unscored is None:
            return splits, label_ids
        return filtered_pairs.remove_from_labels(
            splits, label_ids, self.unscored, row_start
        )


NOTHING = Exclusions()


def without(
    is_excluded: np.ndarray,
    scores: np.ndarray,
    label_ids: np.ndarray,
    sets: Sequence[np.ndarray],
    k: int,
) -> tuple[np.ndarray, ...]:
    """Returns the best labels that are not left out.

    Where fewer than k remain, labels that are left out come last, with a score
    of 0.

    Args:
        is_excluded: [N, K] which of the labels are left out.
        scores, label_ids: [N, K], best first.
        sets: of a head that models sets: which labels they have, [N, S, K],
            and how probable they are, [N, S]. Else empty.
        k: how many labels an instance.

    Returns:
        scores and label_ids, [N, at most k], then `sets` of those labels.
    """
    scores = np.where(is_excluded, np.float32(0), scores)
    order = np.argsort(is_excluded, axis=1, kind="stable")[:, :k]
    if sets:
        is_member, weights = sets
        is_member = is_member & ~is_excluded[:, None]
        sets = (np.take_along_axis(is_member, order[:, None], axis=2), weights)
    return (
        np.take_along_axis(scores, order, axis=1),
        np.take_along_axis(label_ids, order, axis=1),
        *sets,
    )
