"""Sets of labels of many instances, and the labels among which they are chosen.

# N instances, M labels stored, K candidates an instance, L labels
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tfxml.evaluation import ranked_lists

_ID_BITS = 31  # label ids are below 2^31


@dataclasses.dataclass(frozen=True)
class LabelSets:
    """One set of labels an instance, in compressed sparse rows.

    Attributes:
        splits: [N + 1], where the rows of `ids` begin and end.
        ids: [M] int, distinct within a row, in any order.
    """

    splits: np.ndarray
    ids: np.ndarray

    def __post_init__(self):
        splits, ids = np.asarray(self.splits), np.asarray(self.ids)
        if (
            splits.ndim != 1
            or not len(splits)
            or splits[0] != 0
            or splits[-1] != len(ids)
            or np.any(np.diff(splits) < 0)
        ):
            need = f"rise from 0 to {len(ids)}"
            raise ranked_lists.argument_error("splits", need, splits)
        keys = np.sort(self.keys())
        if np.any(keys[1:] == keys[:-1]):
            raise ranked_lists.argument_error(
                "ids", "be distinct within a row", "a label twice"
            )

    def __len__(self) -> int:
        return len(self.splits) - 1

    def lengths(self) -> np.ndarray:
        """Returns the size of each set, [N]."""
        return np.diff(self.splits)

    def rows(self) -> np.ndarray:
        """Returns the instance of each stored label, [M]."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def keys(self) -> np.ndarray:
        """Returns one number for each (instance, label), [M] int64."""
        ids = np.asarray(self.ids, np.int64)
        return (self.rows().astype(np.int64) << _ID_BITS) + ids

    def select(self, rows: np.ndarray) -> LabelSets:
        """Returns the sets of some instances, in that order."""
        lengths = self.lengths()[rows]
        starts = np.repeat(self.splits[:-1][rows], lengths)
        splits = splits_of(lengths)
        within = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
        return LabelSets(splits, np.asarray(self.ids)[starts + within])


@dataclasses.dataclass(frozen=True)
class Candidates:
    """Labels with their scores, among which sets are chosen.

    Attributes:
        scores: [N, K], best first.
        label_ids: [N, K] int, distinct within a row.
    """

    scores: np.ndarray
    label_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def first(self, k: int) -> Candidates:
        """Returns the k best candidates of each instance."""
        return Candidates(self.scores[:, :k], self.label_ids[:, :k])

    def chosen(self, is_chosen: np.ndarray) -> LabelSets:
        """Returns the sets that a mask [N, K] chooses."""
        return LabelSets(
            splits_of(is_chosen.sum(axis=1)), self.label_ids[is_chosen]
        )

    def best(self, k: int) -> LabelSets:
        """Returns the sets of the k best labels."""
        places = np.arange(self.label_ids.shape[1])
        return self.chosen(np.broadcast_to(places < k, self.label_ids.shape))

    def is_true(self, truth: LabelSets) -> np.ndarray:
        """Tells which candidates are labels of their instance, [N, K]."""
        rows = np.arange(len(self), dtype=np.int64)[:, None] << _ID_BITS
        return np.isin(rows + self.label_ids, truth.keys())


def splits_of(lengths: np.ndarray) -> np.ndarray:
    """Returns the splits of rows of these lengths, [N + 1] int64."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
