"""The MACH head: R small classifiers over hashed labels.

# N instances, L labels, R repetitions, B buckets, C given labels, K top labels

Medini et al., "Extreme classification in log memory using count-min sketch",
NeurIPS 2019.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.mach import decode, hashing, label_decoder
from tfxml.models import blocks as blocks_lib
from tfxml.models import (
    calibration,
    contract,
    form_ops,
    forms,
    keras_strategies,
    label_buckets,
    losses,
    sites,
)
from tfxml.models import encoded as encoded_lib
from tfxml.models.heads import mach_options
from tfxml.models.losses import sigmoid_cross_entropy
from tfxml.topk import dropping


@keras.saving.register_keras_serializable(package="tfxml")
class MachHead(contract.Head):
    """R repetitions, each a classifier over B buckets of labels.

    Several labels of an instance in one bucket combine by OR. As a Keras layer
    it takes what any encoder returns, [N, H], and returns the logits of all
    buckets, [N, R, B]; `top_k` decodes them.

    Args:
        num_labels: L.
        num_repetitions: R; ignored where `hashes` are given.
        num_buckets: B; None: about 4 sqrt(L). Ignored where `hashes` are given.
        seed: of the hashes and of the initial weights.
        hashes: R hashes of label ids; None: made from `seed`.
        input_dim: the encoders' width, or the number of features where
            `is_linear`; None: of the first input.
        label_priors: [L], the share of the instances that carry each label.
        estimator: how the repetitions combine; see `mach_choices.ESTIMATORS`.
        is_linear: whether there is no encoder.
        seeds: R seeds of the initial weights; None: made from `seed`.
        places: the place of each repetition, R of them; None: anywhere.
        decode_by: how the best labels are found: `exhaustive`, `threshold`,
            or `auto`, by cost; the answer is the same.
        dropped: ids of labels that are never answered.
        loss: of the buckets; None: sigmoid cross-entropy.
    """

    Options = mach_options.MachOptions
    has_blocks = True

    def __init__(
        self,
        num_labels: int,
        num_repetitions: int = 16,
        num_buckets: int | None = None,
        seed: int = 0,
        *,
        hashes: Sequence[hashing.UniversalHash] | None = None,
        input_dim: int | None = None,
        label_priors: np.ndarray | None = None,
        estimator: str = "logit",
        is_linear: bool = False,
        seeds: Sequence[int] | None = None,
        places: Sequence[sites.Place | None] | None = None,
        decode_by: str = "auto",
        dropped: Sequence[int] | np.ndarray = (),
        loss: contract.Loss | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        decode.check_estimator(estimator)
        if hashes is None:
            hashes = label_buckets.hashes_from(
                num_labels, num_repetitions, num_buckets, seed
            )
        if not isinstance(hashes, Sequence) or not hashes:
            raise ValueError(
                "`hashes` must be a list of hashes; `num_repetitions` says how "
                f"many are made. Received: {hashes=}"
            )
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.is_linear = is_linear
        self.hashes = tuple(hashes)
        self.estimator = estimator
        self.decode_by = decode_by
        self.dropped = dropping.checked(dropped, num_labels)
        self.loss = loss or sigmoid_cross_entropy.SigmoidCrossEntropy()
        self._decoder = label_decoder.LabelDecoder(
            num_labels, self.hashes, decode_by, self.dropped
        )
        log_absent = None
        if label_priors is not None:
            log_absent = np.log1p(-np.minimum(label_priors, 1 - 1e-9))
        num_blocks = len(self.hashes)
        if seeds is None:
            seeds = range(seed * 1009, seed * 1009 + num_blocks)
        places = [None] * num_blocks if places is None else places
        self.blocks = [
            blocks_lib.OutputBlock(
                label_hash.num_buckets,
                self.loss,
                input_dim,
                label_buckets.bucket_priors(label_hash, log_absent),
                is_linear,
                seed=block_seed,
                place=place,
            )
            for label_hash, block_seed, place in zip(
                self.hashes, seeds, places, strict=True
            )
        ]
        self.built = input_dim is not None

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> MachHead:
        """Returns the head that the options describe, or a group's part."""
        numbers = site.group_range(options.num_repetitions)
        hashes = label_buckets.hashes_from(
            site.num_labels,
            options.num_repetitions,
            options.num_buckets or None,
            options.hash_seed,
            options.label_capacity or None,
        )
        return cls(
            site.num_labels,
            hashes=[hashes[number] for number in numbers],
            input_dim=site.input_dim,
            label_priors=site.label_priors(),
            estimator=options.estimator,
            is_linear=site.is_linear,
            seeds=site.seeds_of(numbers),
            places=site.block_places(len(numbers)),
            decode_by=mach_options.decode_by(options, site),
            dropped=site.dropped,
            loss=loss,
        )

    @classmethod
    def num_encoders_of(cls, options: mach_options.MachOptions) -> int:
        """Returns how many encoders feed the head."""
        return options.num_encoders

    @classmethod
    def num_pieces(cls, options: Any) -> int:
        """Returns how many groups of it can be trained separately.

        Repetitions that share an encoder train together.
        """
        if options.hidden_units:
            return options.num_encoders
        return options.num_repetitions

    def build(self, input_shape: Any) -> None:
        """Adds the weights, for one input [N, H] or several."""
        keras_strategies.warn()
        for block, shape in zip(
            self.blocks, self._per_repetition(input_shape), strict=True
        ):
            block.build(shape)
        self.built = True

    def get_config(self) -> dict:
        """Returns the arguments that rebuild the head, without weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "hashes": [
                dataclasses.asdict(label_hash) for label_hash in self.hashes
            ],
            "input_dim": self.input_dim,
            "estimator": self.estimator,
            "is_linear": self.is_linear,
            "decode_by": self.decode_by,
            "dropped": self.dropped.tolist(),
            "loss": losses.to_config(self.loss),
        }

    @classmethod
    def from_config(cls, config: dict) -> MachHead:
        """Returns the head that `get_config` describes."""
        hashes = [hashing.UniversalHash(**item) for item in config["hashes"]]
        loss = losses.from_config(config["loss"])
        return cls(**{**config, "hashes": hashes, "loss": loss})

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns the logits of all buckets, [N, R, B]."""
        return tf.stack(self.bucket_logits(encoded), axis=1)

    def bucket_logits(self, encoded: Any) -> list[tf.Tensor]:
        """Returns each repetition's bucket logits, R tensors [N, B]."""
        return [
            block.call(encoder_output)
            for block, encoder_output in zip(
                self.blocks, self._per_repetition(encoded), strict=True
            )
        ]

    def loss_sum(
        self,
        encoded: Any,
        positives: contract.Positives,
        weights: tf.Tensor,
        blocks: range | None = None,
    ) -> tf.Tensor:
        """Returns sum_i w_i sum_r of repetition r's loss, a scalar.

        The repetitions' losses add up, so the gradient of one does not depend
        on which others are trained with it.

        Args:
            encoded: a tensor per encoder; their number divides that of the
                repetitions.
            positives: the labels of the batch.
            weights: [N].
            blocks: the repetitions whose losses are added; None: all R.
        """
        encoder_outputs = self._per_repetition(encoded)
        return tf.add_n(
            [
                self.blocks[number].loss_sum(
                    encoder_outputs[number],
                    label_buckets.buckets_of(positives, self.hashes[number]),
                    weights,
                )
                for number in blocks or range(len(self.blocks))
            ]
        )

    def logits_loss(
        self,
        loss: contract.Loss,
        logits: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the weighted sum of a loss of bucket logits, [N, R, B]."""
        return tf.add_n(
            [
                loss.value(
                    bucket_logits,
                    label_buckets.buckets_of(positives, label_hash),
                    weights,
                )
                for bucket_logits, label_hash in zip(
                    tf.unstack(logits, axis=1), self.hashes, strict=True
                )
            ]
        )

    def parts(self) -> list[contract.HeadPart]:
        """Returns the repetitions of each place."""
        return blocks_lib.parts_of(self, self.blocks)

    @property
    def link(self) -> str:
        """Logits for `logit`; other estimators give probabilities.

        That of `mean` is unbiased, and can fall below 0.
        """
        return (
            self.loss.link
            if self.estimator == "logit"
            else calibration.IDENTITY
        )

    def label_estimates(self, encoded: Any, label_ids: tf.Tensor) -> tf.Tensor:
        """Returns the estimates that rank given labels [C], [N, C]."""
        logits = self._normalized(encoded)
        form = self._ranking()
        estimates = form_ops.estimates(form, logits, label_ids)
        return form_ops.finished(form, logits, estimates)

    def top_k(
        self, encoded: Any, k: int, estimator: str | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' estimates and ids, [N, K], best first.

        `estimator` replaces the head's.
        """
        return self._decoded(
            self._normalized(encoded), k, estimator or self.estimator
        )

    def logits_top_k(
        self, logits: tf.Tensor, k: int
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns what `top_k` does, from bucket logits [N, R, B]."""
        normalized = [
            self.loss.normalized(repetition_logits)
            for repetition_logits in tf.unstack(logits, axis=1)
        ]
        return self._decoded(normalized, k, self.estimator)

    def _decoded(
        self, logits: list[tf.Tensor], k: int, estimator: str
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels of R normalised bucket logits [N, B]."""
        best, label_ids = self._decoder.top_k(logits, k, estimator)
        return form_ops.finished(
            self._ranking(estimator), logits, best
        ), label_ids

    def decodes_by_threshold(self) -> bool:
        """Tells whether the threshold decode finds the best labels."""
        return self._decoder.is_threshold()

    def form(self) -> forms.BlockRanking | None:
        """Returns its serving form; None for a loss with a normaliser."""
        return self._ranking() if self.loss.separates else None

    def named_weights(self) -> dict[str, keras.Variable]:
        """Returns every weight under the name that checkpoints give it."""
        return blocks_lib.named_weights(self, self.blocks)

    def record(self) -> dict:
        """Returns the hashes: with them the model needs no seed."""
        return {
            "version": hashing.VERSION,
            "hashes": [
                dataclasses.asdict(label_hash) for label_hash in self.hashes
            ],
        }

    @property
    def label_capacity(self) -> int:
        """How many labels the hashes can take."""
        return self.hashes[0].prime

    def growth_options(self) -> dict:
        """Returns the options under which more labels have the same buckets."""
        return {
            "num_buckets": self.hashes[0].num_buckets,
            "label_capacity": self.hashes[0].prime,
        }

    @property
    def score_note(self) -> str:
        """The model card's sentence about the scores."""
        return (
            "Scores are estimates made of hashed labels (estimator "
            f"`{self.estimator}`): labels that share buckets lift each other, "
            "so use scores to rank, not as probabilities."
        )

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"MACH of {len(self.hashes)} repetitions x "
            f"{self.hashes[0].num_buckets:,} buckets, estimator "
            f"{self.estimator}"
        )

    def _per_repetition(self, encoded: Any) -> list:
        return encoded_lib.spread(encoded, len(self.blocks))

    def _normalized(self, encoded: Any) -> list[tf.Tensor]:
        return [
            self.loss.normalized(logits)
            for logits in self.bucket_logits(encoded)
        ]

    def _ranking(self, estimator: str | None = None) -> forms.BlockRanking:
        estimator = estimator or self.estimator
        return forms.BlockRanking(
            self.num_labels,
            [block.form() for block in self.blocks],
            self.hashes,
            estimator,
            is_unbiased=estimator == "mean" and self._decoder.has_collisions(),
            link=self.link,
            dropped=self.dropped,
            is_exhaustive=not self.decodes_by_threshold(),
        )
