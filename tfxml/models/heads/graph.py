"""A head that smooths scores over a graph of labels that occur together.

# N instances, L labels, C candidates, M neighbours of a label

A label's logit rises with the scores of its neighbours: those that raise its
probability most where they occur in the training split. The graph is counted,
and how much each label listens to it is learnt (as label graphs in Chen et al.,
"Multi-label image recognition with graph convolutional networks", CVPR 2019).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
import tensorflow as tf

from tfxml.models import contract, correcting_head, sites
from tfxml.models.heads import graph_options, mach_head, sigmoid

_FEWEST = 2  # instances in which two neighbours occur together


class GraphHead(correcting_head.CorrectingHead):
    """Logits of the base, and a share of the scores of neighbours.

    Args:
        base: what scores labels first.
        num_neighbours: M.
        num_candidates: how many of the base's best labels are smoothed.
        dropped: ids of labels that are never answered.
        label_pairs: [L, L] sparse, in how many training instances each two
            labels occur; None: the graph will be restored.
    """

    Options = graph_options.GraphOptions
    reads_pairs = True
    BASES = {"sigmoid": sigmoid.SigmoidHead, "mach": mach_head.MachHead}

    def __init__(
        self,
        base: contract.Head,
        num_neighbours: int = 16,
        num_candidates: int = 4096,
        dropped: Any = (),
        label_pairs: scipy.sparse.csr_matrix | None = None,
        **kwargs,
    ):
        super().__init__(base, num_candidates, dropped, **kwargs)
        self.num_neighbours = num_neighbours
        shape = self.num_labels, num_neighbours
        neighbours, shares = np.zeros(shape, np.int32), np.zeros(shape)
        if label_pairs is not None:
            neighbours, shares = graph_of(label_pairs, num_neighbours)

        def add(name: str, values: np.ndarray, dtype: str):
            return self.add_weight(
                name=name,
                shape=shape,
                dtype=dtype,
                initializer=lambda shape, dtype=None: tf.constant(
                    values, dtype, shape
                ),
                trainable=False,
            )

        self._neighbours = add("neighbours", neighbours, "int32")
        self._shares = add("shares", shares, "float32")
        # At first nothing is smoothed.
        self._gains = self.add_weight(
            name="gains", shape=(self.num_labels,), initializer="zeros"
        )
        self.built = True

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> GraphHead:
        """Returns the head that the options describe."""
        return cls(
            cls.create_base(options, site, loss),
            options.graph_neighbours,
            options.graph_candidates,
            site.dropped,
            site.label_pairs,
        )

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "num_neighbours": self.num_neighbours,
        }

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"{self.base.describe()}, {self.extent} smoothed over "
            f"{self.num_neighbours} neighbours each"
        )

    def corrected(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the logits of candidates [N, C] with their neighbours'."""
        scores = tf.sigmoid(logits)
        if self.is_whole:
            of_neighbours = tf.gather(scores, self._neighbours.value, axis=1)
            told = tf.reduce_sum(of_neighbours * self._shares, axis=2)
            return logits + self._gains * told
        neighbours = tf.gather(self._neighbours.value, label_ids)  # [N, C, M]
        shares = tf.gather(self._shares.value, label_ids)
        places, is_here = _places_among(label_ids, neighbours)
        of_neighbours = tf.where(
            is_here, tf.gather(scores, places, axis=1, batch_dims=1), 0.0
        )
        told = tf.reduce_sum(of_neighbours * shares, axis=2)
        return logits + tf.gather(self._gains.value, label_ids) * told


def _places_among(
    label_ids: tf.Tensor, wanted: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns where labels are among a row's, and whether they are, [N, C, M].

    Args:
        label_ids: [N, C], ascending.
        wanted: [N, C, M] labels.
    """
    number, size = tf.shape(label_ids)[0], label_ids.shape[1]
    places = tf.searchsorted(label_ids, tf.reshape(wanted, [number, -1]))
    places = tf.reshape(tf.minimum(places, size - 1), tf.shape(wanted))
    found = tf.gather(label_ids, places, axis=1, batch_dims=1)
    return places, tf.equal(found, wanted)


def graph_of(
    label_pairs: scipy.sparse.csr_matrix, num_neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns each label's neighbours and their shares, [L, M] each.

    The share of a neighbour is by how much it raises the label's probability
    where it occurs. Unused places have share 0.

    Args:
        label_pairs: [L, L] sparse, in how many instances each two labels occur.
        num_neighbours: M.
    """
    counts = label_pairs.diagonal()
    pairs = label_pairs.tocoo()
    is_pair = (pairs.row != pairs.col) & (pairs.data >= _FEWEST)
    rows, columns = pairs.row[is_pair], pairs.col[is_pair]
    share = pairs.data[is_pair] / counts[columns]
    # What the label has without the neighbour, at most.
    share = share - counts[rows] / max(counts.sum(), 1)
    order = np.lexsort((columns, -share, rows))
    rows, columns, share = rows[order], columns[order], share[order]
    starts = np.searchsorted(rows, np.arange(len(counts)))
    ranks = np.arange(len(rows)) - starts[rows]
    kept = (ranks < num_neighbours) & (share > 0)
    neighbours = np.zeros((len(counts), num_neighbours), np.int32)
    shares = np.zeros(neighbours.shape, np.float32)
    neighbours[rows[kept], ranks[kept]] = columns[kept]
    shares[rows[kept], ranks[kept]] = share[kept]
    return neighbours, shares
