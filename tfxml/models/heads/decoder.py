"""A decoder that writes an instance's labels as a sequence.

# N instances, T places of a text, H units of a state, L labels, M labels that
# are written at most, W units, S sets, K top labels

The encoder-decoder of Vaswani et al. (NeurIPS 2017): each label is written
knowing the text (cross-attention over the words' states) and the labels before
it (self-attention, which looks back alone). Labels are written from frequent to
rare (Nam et al., NeurIPS 2017), so that a set has one sequence, and what
follows a label is rarer or the end: probabilities of sets add up to 1. Sets are
found by beam search. Labels are ranked as the base ranks them, by attention of
their own: for that marginals are best, however labels depend on one another.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.models import (
    candidate_head,
    contract,
    sequence_decoder,
    sites,
)
from tfxml.models import encoded as encoded_lib
from tfxml.models.heads import decoder_options, label_attention

_NEVER = sequence_decoder.NEVER


class DecoderHead(candidate_head.CandidateHead):
    """Marginals of the base, and the probabilities of whole sets.

    Args:
        base: what scores labels, each for itself.
        input_dim: H.
        units: W.
        num_layers: how many layers.
        num_heads: attention heads, a divisor of W.
        max_labels: M.
        label_counts: [L], which say what is frequent; None: they are restored.
        dropped: ids of labels that are never answered.
        seed: of the initial weights.
    """

    Options = decoder_options.DecoderOptions

    def __init__(
        self,
        base: contract.Head,
        input_dim: int,
        units: int = 128,
        num_layers: int = 1,
        num_heads: int = 4,
        max_labels: int = 16,
        label_counts: np.ndarray | None = None,
        dropped: Any = (),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(base, base.num_labels, dropped, **kwargs)
        self.input_dim = input_dim
        self.units = units
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.max_labels = min(max_labels, self.num_labels)
        self.seed = seed
        order = np.arange(self.num_labels)
        if label_counts is not None:
            order = np.argsort(-np.asarray(label_counts), kind="stable")
        # Kept with the weights, which it gives their meaning.
        self.order = self.add_weight(
            name="order",
            shape=(self.num_labels,),
            dtype="int32",
            initializer=lambda shape, dtype=None: tf.constant(order, dtype),
            trainable=False,
        )
        self.decoder = sequence_decoder.SequenceDecoder(
            self.num_labels, input_dim, units, num_layers, num_heads, seed
        )
        self.built = True

    @classmethod
    def num_encoders_of(cls, options: Any) -> int:
        """Returns how many encoders feed the head."""
        return 1

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> DecoderHead:
        """Returns the head that the options describe."""
        whole = dataclasses.replace(site, dropped=())
        return cls(
            label_attention.LabelAttentionHead.create(options, whole, loss),
            site.input_dim,
            options.decoder_units,
            options.decoder_layers,
            options.decoder_heads,
            options.decoder_labels,
            site.label_counts,
            site.dropped,
            site.seed,
        )

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        config = super().get_config()
        del config["num_candidates"]
        return {
            **config,
            "input_dim": self.input_dim,
            "units": self.units,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "max_labels": self.max_labels,
            "seed": self.seed,
        }

    def loss_sum(
        self,
        encoded: Any,
        positives: contract.Positives,
        weights: tf.Tensor,
        blocks: range | None = None,
    ) -> tf.Tensor:
        """Returns the base's loss and -log p of the labels' sets, a scalar.

        The arguments are those of `contract.Head.loss_sum`.
        """
        size, most = self.num_labels, self.max_labels
        label_ids = tf.broadcast_to(
            tf.range(size), [tf.shape(weights)[0], size]
        )
        targets = tf.gather(
            self.targets(positives, label_ids), self.order.value, axis=1
        )
        # The labels of each row from frequent to rare, then the end.
        left, ranks = tf.math.top_k(
            targets * tf.cast(size - tf.range(size), tf.float32), most
        )
        ranks = tf.where(left > 0, ranks, size)
        written = tf.pad(ranks, [[0, 0], [0, 1]], constant_values=size)
        is_last = tf.cumsum(tf.cast(written == size, tf.int32), axis=1)
        counts = tf.reduce_sum(targets, axis=1, keepdims=True)
        # A set that is cut has no end.
        is_whole = (written < size) | (counts <= most)
        is_target = tf.cast((is_last <= 1) & is_whole, tf.float32)
        log_p = self.decoder.call(
            tf.pad(ranks, [[0, 0], [1, 0]], constant_values=size + 1),
            encoded_lib.only(encoded),
        )
        of_written = tf.gather(log_p, written, axis=2, batch_dims=2)
        losses = -tf.reduce_sum(is_target * of_written, axis=1)
        return self.base.loss_sum(
            encoded, positives, weights, blocks
        ) + tf.reduce_sum(weights * losses)

    def label_sets(
        self, encoded: Any, k: int, num_sets: int
    ) -> contract.LabelSets:
        """Returns the most probable sets that a beam of S finds.

        Args:
            encoded: what the encoders return.
            k: unused: all labels can be members.
            num_sets: S.
        """
        del k
        size, most = self.num_labels, self.max_labels
        states = encoded_lib.only(encoded)
        number = tf.shape(states.is_word)[0]
        is_dropped = np.isin(np.arange(size), self.dropped)
        never = tf.gather(
            tf.constant(np.where(is_dropped, _NEVER, 0), tf.float32),
            self.order.value,
        )
        never = tf.pad(never, [[0, 1]])
        is_end = tf.range(size + 1) == size

        def write(place, log_p, written):
            rows = tf.reshape(written, [-1, most + 1])
            follows = self.decoder.call_at(place, rows, states, never)
            # After M labels the end is all that can follow.
            follows = tf.where((place == most) & ~is_end, _NEVER, follows)
            is_done = tf.reshape(written[:, :, place] == size, [-1, 1])
            stays = tf.where(is_end, 0.0, _NEVER)
            follows = tf.where(is_done, stays, follows)
            follows = tf.reshape(follows, [number, num_sets, size + 1])
            every = tf.reshape(log_p[:, :, None] + follows, [number, -1])
            log_p, chosen = tf.math.top_k(every, num_sets)
            log_p.set_shape(start.shape)  # of a static batch, in a graph
            written = tf.gather(
                written, chosen // (size + 1), axis=1, batch_dims=1
            )
            is_here = tf.range(most + 1) == place + 1
            token = (chosen % (size + 1))[:, :, None]
            return place + 1, log_p, tf.where(is_here, token, written)

        # One beam at first, with nothing written; what follows it is the end.
        start = tf.where(tf.range(num_sets) == 0, 0.0, 2 * _NEVER)
        start = tf.broadcast_to(start, [number, num_sets])
        written = tf.where(tf.range(most + 1) == 0, size + 1, size)
        written = tf.broadcast_to(written, [number, num_sets, most + 1])
        _, log_p, written = tf.while_loop(
            lambda place, *_: place <= most,
            write,
            [tf.constant(0), start, written],
        )
        # By rank, then by id.
        is_member = functools.reduce(
            tf.logical_or,
            [
                written[:, :, place, None] == tf.range(size)
                for place in range(1, most + 1)
            ],
        )
        ranks = tf.math.invert_permutation(self.order.value)
        return contract.LabelSets(
            tf.broadcast_to(tf.range(size), [number, size]),
            tf.gather(is_member, ranks, axis=2),
            log_p,
        )

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"{self.base.describe()}, and a decoder of {self.num_layers} x "
            f"{self.units} units that writes up to {self.max_labels}"
        )
