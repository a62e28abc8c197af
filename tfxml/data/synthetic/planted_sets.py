"""Generated rows whose labels depend on one another; the best sets are known.

# N instances, T topics, J labels of a topic, A alternatives of a topic,
# L = T * J labels, K = 2 * J candidates an instance, S sets an instance

A topic has a few alternatives: sets of its labels, one of them empty, of which
an instance of the topic gets one. So labels of a topic go together, or exclude
one another, and p(label | x) says little of p(set | x). Without dependence each
label is on with the same p(label | x), by itself.

An instance has one or two topics, which its features name, among common words.
They also tell the mood of a topic. In one mood it has the labels of its first
alternative or none, in the other one of three alternatives, or seldom none.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse

_TOPICS = 2  # at most, of an instance
_P_TWO = 0.3
_FEATURES = 6  # of a topic: the last ones tell its moods
_SHOWN = 3  # features of a topic that an instance shows, beside its mood's
_NUM_WORDS = 200
_WORDS = 8
# How probable the alternatives are in each mood; the last is empty.
_P = np.array([[0.4, 0.0, 0.0, 0.6], [0.4, 0.3, 0.25, 0.05]])
_MOODS = len(_P)
_SIZE_OF_FIRST = 3


@dataclasses.dataclass(frozen=True)
class PlantedRows:
    """Rows, their labels, and what is known of their sets.

    Attributes:
        features: [N, D] sparse.
        labels: [N, L] sparse.
        label_ids: [N, K], the labels that an instance can have; -1: none.
        marginals: [N, K], p(label | x).
        is_member: [N, S, K], the sets that an instance can have.
        weights: [N, S], how probable they are.
    """

    features: scipy.sparse.csr_matrix
    labels: scipy.sparse.csr_matrix
    label_ids: np.ndarray
    marginals: np.ndarray
    is_member: np.ndarray
    weights: np.ndarray


class PlantedSets:
    """Topics, their features and alternatives.

    Args:
        num_topics: T.
        labels_per_topic: J, from 4 to 8.
        is_dependent: whether the labels of a topic depend on one another.
        seed: of topics and rows.
    """

    def __init__(
        self,
        num_topics: int = 10,
        labels_per_topic: int = 5,
        is_dependent: bool = True,
        seed: int = 0,
    ):
        self._is_dependent = is_dependent
        self._seed = seed
        self._num_topics = num_topics
        self._size = labels_per_topic
        self.num_labels = num_topics * labels_per_topic
        self.num_features = _NUM_WORDS + num_topics * (_FEATURES + _MOODS)
        rng = np.random.default_rng(seed)
        # All alternatives of a topic differ.
        codes = np.arange(1, 2**labels_per_topic)
        every = (codes[:, None] >> np.arange(labels_per_topic) & 1).astype(bool)
        is_first = every.sum(axis=1) == _SIZE_OF_FIRST
        self._alternatives = np.zeros(
            [num_topics, _P.shape[1], labels_per_topic], bool
        )
        for alternatives in self._alternatives:
            first = rng.choice(np.flatnonzero(is_first))
            others = rng.permutation(np.delete(np.arange(len(every)), first))
            alternatives[0] = every[first]
            alternatives[1:-1] = every[others[: _P.shape[1] - 2]]

    def rows(self, number: int, seed: int) -> PlantedRows:
        """Returns so many rows; of another seed, other rows of the model."""
        rng = np.random.default_rng((self._seed, seed, 1))
        topics = np.argsort(rng.random((number, self._num_topics)), axis=1)[
            :, :_TOPICS
        ]
        topics[rng.random(number) >= _P_TWO, 1] = -1
        moods = rng.integers(0, _MOODS, (number, _TOPICS))
        weights, is_member = self._sets(topics, moods)
        marginals = np.einsum("ns,nsk->nk", weights, is_member).clip(0, 1)
        labels = np.repeat(topics * self._size, self._size, axis=1)
        labels += np.tile(np.arange(self._size), _TOPICS)
        label_ids = np.where(
            np.repeat(topics, self._size, axis=1) < 0, -1, labels
        )
        if self._is_dependent:
            u = rng.random((number, 1))
            places = (np.cumsum(weights, axis=1) < u).sum(axis=1)
            places = places.clip(max=weights.shape[1] - 1)
            is_on = is_member[np.arange(number), places]
        else:
            is_on = rng.random(marginals.shape) < marginals
            weights, is_member = _independent(marginals)
        rows, columns = np.nonzero(is_on & (label_ids >= 0))
        ones = np.ones(len(rows), np.float32)
        matrix = scipy.sparse.csr_matrix(
            (ones, (rows, label_ids[rows, columns])),
            shape=(number, self.num_labels),
        )
        return PlantedRows(
            self._features(rng, topics, moods),
            matrix,
            label_ids,
            marginals,
            is_member,
            weights,
        )

    def _sets(
        self, topics: np.ndarray, moods: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the probabilities [N, S] and labels [N, S, K] of sets."""
        p = _P[moods]  # [N, 2, A]
        sets = self._alternatives[topics]  # [N, 2, A, J]
        is_none = topics[:, 1] < 0
        p[is_none, 1] = np.eye(p.shape[2])[-1]  # the empty one
        sets[is_none, 1] = False
        number, _, count, size = sets.shape
        weights = np.einsum("na,nb->nab", p[:, 0], p[:, 1])
        first = np.broadcast_to(
            sets[:, 0, :, None], (number, count, count, size)
        )
        second = np.broadcast_to(sets[:, 1, None], (number, count, count, size))
        return (
            weights.reshape(number, -1),
            np.concatenate([first, second], axis=3).reshape(
                number, count**2, 2 * size
            ),
        )

    def _features(
        self, rng: np.random.Generator, topics: np.ndarray, moods: np.ndarray
    ) -> scipy.sparse.csr_matrix:
        number = len(topics)
        words = rng.integers(0, _NUM_WORDS, (number, _WORDS))
        ids = [words]
        for place in range(_TOPICS):
            topic = topics[:, place, None]
            start = _NUM_WORDS + topic * (_FEATURES + _MOODS)
            shown = np.argsort(rng.random((number, _FEATURES)), axis=1)
            of_mood = _FEATURES + moods[:, place, None]
            places = np.concatenate([shown[:, :_SHOWN], of_mood], axis=1)
            # Rows without a second topic show common words in its place.
            ids.append(
                np.where(
                    topic < 0,
                    rng.integers(0, _NUM_WORDS, places.shape),
                    start + places,
                )
            )
        columns = np.concatenate(ids, axis=1)
        rows = np.repeat(np.arange(number), columns.shape[1])
        matrix = scipy.sparse.csr_matrix(
            (np.ones(columns.size, np.float32), (rows, columns.ravel())),
            shape=(number, self.num_features),
        )
        matrix.sum_duplicates()
        return matrix


def _independent(marginals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns all sets [N, S, K] and their probabilities, [N, S]."""
    size = marginals.shape[1]
    every = (np.arange(2**size)[:, None] >> np.arange(size) & 1).astype(bool)
    weights = np.ones([len(marginals), len(every)])
    for place in range(size):
        p = marginals[:, place, None]
        weights *= np.where(every[:, place], p, 1 - p)
    return weights, np.broadcast_to(every, (len(marginals), *every.shape))


def expected(
    is_chosen: np.ndarray, rows: PlantedRows, num_others: np.ndarray | int = 0
) -> tuple[float, float]:
    """Returns the expected subset accuracy and instance-F1, in percent.

    Args:
        is_chosen: [N, K], which of the instances' labels are answered.
        rows: of which the sets' probabilities are known.
        num_others: [N], how many labels are answered that the instances cannot
            have.
    """
    others = np.broadcast_to(num_others, len(is_chosen))
    exact, f1 = np.zeros(len(is_chosen)), np.zeros(len(is_chosen))
    for row, z in enumerate(is_chosen):
        sets, weights = rows.is_member[row], rows.weights[row]
        is_same = (sets == z).all(axis=1) & (others[row] == 0)
        exact[row] = weights[is_same].sum()
        sizes = sets.sum(axis=1) + z.sum() + others[row]
        hits = (sets & z).sum(axis=1)
        f1[row] = weights @ np.where(
            sizes == 0, 1, 2 * hits / np.maximum(sizes, 1)
        )
    return float(100 * exact.mean()), float(100 * f1.mean())
