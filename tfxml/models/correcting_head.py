"""What heads have in common that correct the logits of a base head.

# N instances, L labels, C candidates, K top labels, A given labels
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfxml.models import candidate_head, contract


class CorrectingHead(candidate_head.CandidateHead):
    """A head that ranks a base's candidates by other logits.

    Subclasses implement `corrected`. Base and corrected logits are both
    trained.

    Args:
        base: what scores labels first.
        num_candidates: how many of the base's best labels are corrected.
        dropped: ids of labels that are never answered.

    Raises:
        ValueError: if only some labels are candidates, but the loss has a
            normaliser over all.
    """

    def __init__(
        self,
        base: contract.Head,
        num_candidates: int,
        dropped: Any = (),
        **kwargs,
    ):
        super().__init__(base, num_candidates, dropped, **kwargs)
        if not (self.is_whole or self.loss.separates):
            raise ValueError(
                "`num_candidates` must be at least the number of labels "
                "for a loss with a normaliser. Received: "
                f"num_candidates={num_candidates}, with {self.num_labels} "
                "labels"
            )

    def corrected(self, logits: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns other logits of candidates, [N, C].

        Args:
            logits: [N, C], of the base.
            label_ids: [C] of each row, ascending; all labels where `is_whole`.
        """
        raise NotImplementedError

    def loss_sum(
        self,
        encoded: Any,
        positives: contract.Positives,
        weights: tf.Tensor,
        blocks: range | None = None,
    ) -> tf.Tensor:
        """Returns the base's loss and that of the corrected logits, a scalar.

        The arguments are those of `contract.Head.loss_sum`.
        """
        logits, label_ids = self.candidates(encoded)
        return self.base.loss_sum(
            encoded, positives, weights, blocks
        ) + self.loss.trained_value(
            self.corrected(logits, label_ids),
            self.among(positives, label_ids),
            weights,
        )

    def label_estimates(self, encoded: Any, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns what given labels [A] are ranked by, [N, A]."""
        logits, ids = self.candidates(encoded)
        corrected = self.loss.normalized(self.corrected(logits, ids))
        if self.is_whole:
            return tf.gather(corrected, label_ids, axis=1)
        others = self.logits_of(self.base.label_estimates(encoded, label_ids))
        is_same = tf.equal(label_ids[:, None], ids[:, None, :])  # [N, A, C]
        places = tf.argmax(
            tf.cast(is_same, tf.int32), axis=2, output_type=tf.int32
        )
        return tf.where(
            tf.reduce_any(is_same, axis=2),
            tf.gather(corrected, places, axis=1, batch_dims=1),
            others,
        )

    def top_k(self, encoded: Any, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' estimates and ids, [N, K], best first."""
        logits, label_ids = self.candidates(encoded)
        estimates = self.loss.normalized(self.corrected(logits, label_ids))
        if not self.is_whole:
            # A label that is no candidate can be ahead of a corrected one.
            number = self.num_candidates + k + len(self.dropped)
            more, more_ids = self.base.top_k(encoded, number)
            more = self.logits_of(more)
            estimates = tf.concat(
                [estimates, more[:, self.num_candidates :]], axis=1
            )
            label_ids = tf.concat(
                [label_ids, more_ids[:, self.num_candidates :]], axis=1
            )
        return self.without_dropped(estimates, label_ids, k)

    @property
    def link(self) -> str:
        """Corrected estimates are what the loss takes, unlike the base's."""
        return self.loss.link
