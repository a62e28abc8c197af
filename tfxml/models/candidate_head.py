"""What heads have in common that stand on another head's best labels.

# N instances, L labels, C candidates, K top labels, P positives of a batch

The base head ranks all labels, each for itself. What stands on it looks at how
labels depend on one another: at all of them where L is small enough, else only
at the base's best, so that its cost does not grow with L.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import calibration, contract, sites
from tfxml.topk import dropping


class CandidateHead(contract.Head):
    """A head on top of a base head; subclasses set `BASES`.

    Labels are ranked as the base ranks them, unless a subclass says otherwise.

    Args:
        base: what ranks labels first, without dropped ones.
        num_candidates: C; from L on all labels are.
        dropped: ids of labels that are never answered.
    """

    BASES: ClassVar[dict[str, type[contract.Head]]] = {}

    def __init__(
        self,
        base: contract.Head,
        num_candidates: int,
        dropped: Any = (),
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.base = base
        self.num_labels = base.num_labels
        self.loss = base.loss
        self.num_candidates = min(num_candidates, base.num_labels)
        self.dropped = dropping.checked(dropped, base.num_labels)

    @classmethod
    def create_base(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> contract.Head:
        """Returns the base head that the options name."""
        # What stands on it leaves labels out, so that its candidates stay.
        whole = dataclasses.replace(site, dropped=())
        return cls.BASES[options.base_head].create(options, whole, loss)

    @classmethod
    def num_encoders_of(cls, options: Any) -> int:
        """Returns how many encoders feed the head: as many as the base."""
        return cls.BASES[options.base_head].num_encoders_of(options)

    @property
    def is_whole(self) -> bool:
        """Whether all labels are candidates."""
        return self.num_candidates == self.num_labels

    @property
    def extent(self) -> str:
        """Which labels are candidates, in words."""
        return "all" if self.is_whole else f"the best {self.num_candidates:,}"

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns the logits of the base."""
        return self.base.call(encoded)

    def label_estimates(self, encoded: Any, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns what given labels are ranked by: the base's estimates."""
        return self.base.label_estimates(encoded, label_ids)

    def top_k(self, encoded: Any, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' estimates and ids, [N, K], best first."""
        number = min(k + len(self.dropped), self.num_labels)
        return self.without_dropped(*self.base.top_k(encoded, number), k)

    def logits_loss(
        self,
        loss: contract.Loss,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of a loss of what `call` returned."""
        return self.base.logits_loss(loss, logits, positives, weights)

    def candidates(self, encoded: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the base's logits and ids of candidates, [N, C], by id.

        Where they are chosen, no gradient reaches the base through them.
        """
        if self.is_whole:
            estimates = self.base.label_estimates(
                encoded, tf.range(self.num_labels)
            )
            label_ids = tf.broadcast_to(
                tf.range(self.num_labels), tf.shape(estimates)
            )
            return self.logits_of(estimates), label_ids
        estimates, label_ids = self.base.top_k(encoded, self.num_candidates)
        order = tf.argsort(label_ids, axis=1)
        estimates = tf.gather(estimates, order, axis=1, batch_dims=1)
        label_ids = tf.gather(label_ids, order, axis=1, batch_dims=1)
        return self.logits_of(tf.stop_gradient(estimates)), label_ids

    def logits_of(self, estimates: tf.Tensor) -> tf.Tensor:
        """Returns the base's estimates as what its loss takes."""
        if self.loss.link == calibration.IDENTITY:
            return estimates
        return calibration.logits(estimates, self.base.link)

    def among(
        self, positives: contract.Positives, label_ids: tf.Tensor
    ) -> contract.Positives:
        """Returns the positives among candidates [N, C], by their places.

        The others have weight 0.
        """
        if self.is_whole:
            return positives
        of_row = tf.gather(label_ids, positives.rows)  # [..., C]
        is_here = tf.equal(of_row, positives.columns[..., None])
        return contract.Positives(
            positives.rows,
            tf.argmax(tf.cast(is_here, tf.int32), -1, output_type=tf.int32),
            tf.where(tf.reduce_any(is_here, axis=-1), positives.weights, 0.0),
        )

    def targets(
        self, positives: contract.Positives, label_ids: tf.Tensor
    ) -> tf.Tensor:
        """Returns which candidates are labels of their instance, [N, C]."""
        here = self.among(positives, label_ids)
        places = tf.reshape(
            tf.stack([here.rows, here.columns], axis=-1), [-1, 2]
        )
        counts = tf.scatter_nd(
            places,
            tf.cast(tf.reshape(here.weights, [-1]) > 0, tf.float32),
            tf.shape(label_ids),
        )
        return tf.minimum(counts, 1.0)

    def without_dropped(
        self, estimates: tf.Tensor, label_ids: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the K best of estimates and ids, [N, K], best first."""
        if len(self.dropped):
            is_dropped = tf.reduce_any(
                tf.equal(label_ids[..., None], self.dropped.astype(np.int32)),
                axis=-1,
            )
            estimates = tf.where(is_dropped, -float("inf"), estimates)
        best, places = tf.math.top_k(estimates, min(k, self.num_answers))
        return best, tf.gather(label_ids, places, axis=1, batch_dims=1)

    @property
    def link(self) -> str:
        """How estimates become scores, one of `calibration.LINKS`."""
        return self.base.link

    @property
    def score_note(self) -> str:
        """What the model card says of the scores."""
        return self.base.score_note

    def named_weights(self) -> dict[str, keras.Variable]:
        """Returns every weight under the name that checkpoints give it."""
        of_base = self.base.named_weights()
        held = {id(weight) for weight in of_base.values()}
        own = {
            name: weight
            for name, weight in contract.named_weights(self).items()
            if id(weight) not in held
        }
        return {**{f"base_{name}": one for name, one in of_base.items()}, **own}

    def record(self) -> dict | None:
        """Returns what a run directory keeps of the base."""
        return self.base.record()

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "base": keras.saving.serialize_keras_object(self.base),
            "num_candidates": self.num_candidates,
            "dropped": self.dropped.tolist(),
        }

    @classmethod
    def from_config(cls, config: dict) -> CandidateHead:
        """Returns the head that `get_config` describes."""
        base = keras.saving.deserialize_keras_object(config["base"])
        return cls(**{**config, "base": base})
