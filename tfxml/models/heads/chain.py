"""A chain of labels: each is decided knowing x and the labels before it.

# N instances, H units of the encoder, L labels, C candidates, Z units of the
# chain, S sets, K top labels

p(y | x) is the product over candidates of p(y_c | x, y_1 ... y_c-1), by one
network for all places (NADE: Larochelle and Murray, AISTATS 2011, given x; the
classifier chains of Dembczynski et al., ICML 2010). Sets are found by beam
search. Labels are ranked as the base ranks them: for that, marginals are best,
however labels depend on one another.

A label tells the later ones how far it surprised the base, y_c - p(y_c | x),
and an L1 penalty keeps what they hear at zero unless it is more than chance
would give. So the chain of independent labels is its base.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import candidate_head, contract, encoded, sites
from tfxml.models.heads import chain_options, mach_head, sigmoid


class ChainHead(candidate_head.CandidateHead):
    """Marginals of the base, and the probabilities of whole sets.

    Args:
        base: what scores labels, each for itself.
        input_dim: H of all encoders together.
        units: Z.
        num_candidates: C.
        penalty: L1, of what labels hear.
        dropped: ids of labels that are never answered.
        seed: of the initial weights.
    """

    Options = chain_options.ChainOptions
    BASES = {"sigmoid": sigmoid.SigmoidHead, "mach": mach_head.MachHead}

    def __init__(
        self,
        base: contract.Head,
        input_dim: int,
        units: int = 64,
        num_candidates: int = 64,
        penalty: float = 0.0,
        dropped: Any = (),
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(base, num_candidates, dropped, **kwargs)
        self.input_dim = input_dim
        self.units = units
        self.penalty = penalty

        def add(name: str, shape: tuple[int, ...], seed: int):
            # As Keras' dense layers start.
            uniform = keras.initializers.GlorotUniform(seed=seed)
            return self.add_weight(name=name, shape=shape, initializer=uniform)

        self._start = add("start", (input_dim, units), seed)
        self._shift = self.add_weight(
            name="shift", shape=(units,), initializer="zeros"
        )
        self._tells = self.add_weight(
            name="tells",
            shape=(self.num_labels, units),
            initializer=keras.initializers.RandomNormal(
                stddev=0.1, seed=seed + 1
            ),
        )
        # At first a label's odds are the base's.
        self._hears = self.add_weight(
            name="hears", shape=(self.num_labels, units), initializer="zeros"
        )
        self.built = True

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> ChainHead:
        """Returns the head that the options describe."""
        return cls(
            cls.create_base(options, site, loss),
            site.input_dim * cls.num_encoders_of(options),
            options.chain_units,
            options.chain_candidates,
            # What chance gives falls with the square root of the instances.
            options.chain_l1 / max(site.num_train, 1) ** 0.5,
            site.dropped,
            site.seed,
        )

    def get_config(self) -> dict:
        """Returns what makes the head again, but for its weights."""
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "units": self.units,
            "penalty": self.penalty,
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
        logits, label_ids = self.candidates(encoded)
        targets = self.targets(positives, label_ids)
        surprises = targets - tf.sigmoid(logits)
        told = tf.cumsum(
            surprises[..., None] * self._of(self._tells, label_ids),
            axis=1,
            exclusive=True,
        )
        heard = self._heard(self._first(encoded)[:, None], told)
        chained = logits + tf.reduce_sum(
            heard * self._of(self._hears, label_ids), axis=2
        )
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, chained)
        penalty = self.penalty * tf.reduce_sum(tf.abs(self._hears.value))
        return self.base.loss_sum(
            encoded, positives, weights, blocks
        ) + tf.reduce_sum(weights * (tf.reduce_sum(losses, axis=1) + penalty))

    def label_sets(
        self, encoded: Any, k: int, num_sets: int
    ) -> contract.LabelSets:
        """Returns the most probable sets that a beam of S finds.

        Args:
            encoded: what the encoders return.
            k: unused: all candidates can be members.
            num_sets: S.
        """
        del k
        logits, label_ids = self.candidates(encoded)
        is_dropped = tf.constant(
            np.isin(np.arange(self.num_labels), self.dropped)
        )
        places = tf.range(self.num_candidates)
        logits = tf.where(
            tf.gather(is_dropped, label_ids), -float("inf"), logits
        )
        p = tf.sigmoid(logits)
        first = self._first(encoded)[:, None]
        shape = [*tf.unstack(tf.shape(logits)), self.units]
        tells = tf.broadcast_to(self._of(self._tells, label_ids), shape)
        hears = tf.broadcast_to(self._of(self._hears, label_ids), shape)
        number = tf.shape(logits)[0]
        size = self.num_candidates

        def decide(place, log_p, told, is_member):
            heard = self._heard(first, told)  # [N, S, Z]
            odds = logits[:, place, None] + tf.einsum(
                "nsz,nz->ns", heard, hears[:, place]
            )
            both = tf.concat(
                [
                    log_p - tf.nn.softplus(odds),
                    log_p - tf.nn.softplus(-odds),
                ],
                axis=1,
            )
            best, chosen = tf.math.top_k(both, num_sets)
            is_on = chosen >= num_sets
            parents = chosen % num_sets
            surprises = tf.cast(is_on, p.dtype) - p[:, place, None]
            told = tf.gather(told, parents, axis=1, batch_dims=1)
            told += surprises[..., None] * tells[:, place, None]
            is_member = tf.gather(is_member, parents, axis=1, batch_dims=1)
            is_here = is_on[..., None] & (places == place)
            return place + 1, best, told, is_member | is_here

        # One set at first, which is empty.
        log_p = tf.where(tf.range(num_sets) == 0, 0.0, -float("inf"))
        log_p = tf.broadcast_to(log_p, [number, num_sets])
        told = tf.zeros([number, num_sets, self.units], p.dtype)
        _, log_p, _, is_member = tf.while_loop(
            lambda place, *_: place < size,
            decide,
            [
                tf.constant(0),
                log_p,
                told,
                tf.zeros([number, num_sets, size], tf.bool),
            ],
        )
        return contract.LabelSets(label_ids, is_member, log_p)

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"{self.base.describe()}, and a chain of {self.units} units over "
            f"{self.extent} for sets"
        )

    @staticmethod
    def _heard(first: tf.Tensor, told: tf.Tensor) -> tf.Tensor:
        """Returns what is heard of the labels so far; of no surprise, 0."""
        return tf.nn.elu(first + told) - tf.nn.elu(first)

    def _first(self, encoded_: Any) -> tf.Tensor:
        """Returns the memory before any label is decided, [N, Z]."""
        if encoded.is_several(encoded_):
            encoded_ = tf.concat(encoded_, axis=1)
        return tf.matmul(encoded_, self._start.value) + self._shift

    def _of(self, table: keras.Variable, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the candidates' rows of a table of all labels."""
        if self.is_whole:
            return table.value[None]
        return tf.gather(table.value, label_ids)
