"""The independent-sigmoid head: P(label | x) for each label on its own.

# N instances, L labels, K top labels
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import blocks as blocks_lib
from tfxml.models import (
    contract,
    device_scope,
    dropout_seeds,
    forms,
    keras_strategies,
    losses,
    sites,
)
from tfxml.models import encoded as encoded_lib
from tfxml.models.heads import sigmoid_options
from tfxml.models.losses import sampled_softmax, sigmoid_cross_entropy
from tfxml.topk import dropping, merging, selection


@keras.saving.register_keras_serializable(package="tfxml")
class SigmoidHead(contract.Head):
    """One output per label, in label blocks, so that [N, L] need not exist.

    As a Keras layer it takes what any encoder returns, [N, H], and returns
    logits [N, L].

    Args:
        num_labels: L.
        input_dim: the encoder's width, or the number of features where
            `is_linear`; None: of the first input.
        label_priors: [L], the fraction of instances with each label.
        block_size: how many labels are computed at once.
        is_linear: whether there is no encoder (linear one-vs-rest).
        seed: of the initial weights.
        dropped: ids of labels that are never answered.
        loss: of the labels; None: sigmoid cross-entropy.
        places: of its label blocks, in equal runs; none: anywhere.

    Raises:
        ValueError: if there are several places and the loss does not separate.
    """

    Options = sigmoid_options.SigmoidOptions
    has_blocks = True

    def __init__(
        self,
        num_labels: int,
        input_dim: int | None = None,
        label_priors: np.ndarray | None = None,
        block_size: int = 16384,
        is_linear: bool = False,
        seed: int = 0,
        dropped: Sequence[int] | np.ndarray = (),
        loss: contract.Loss | None = None,
        places: Sequence[sites.Place | None] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.block_size = block_size
        self.is_linear = is_linear
        self.seed = seed
        self.dropped = dropping.checked(dropped, num_labels)
        self.loss = loss or sigmoid_cross_entropy.SigmoidCrossEntropy()
        self.starts = range(0, num_labels, block_size)
        places = [None] * len(self.starts) if places is None else places
        self.blocks = []
        for number, (start, place) in enumerate(
            zip(self.starts, places, strict=True)
        ):
            stop = min(start + block_size, num_labels)
            self.blocks.append(
                blocks_lib.OutputBlock(
                    stop - start,
                    self.loss,
                    input_dim,
                    None if label_priors is None else label_priors[start:stop],
                    is_linear,
                    seed=seed * 1009 + number,
                    place=place,
                )
            )
        self.built = input_dim is not None

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, loss: contract.Loss
    ) -> SigmoidHead:
        """Returns the head that the options describe."""
        block_size = options.label_block_size
        num_blocks = len(range(0, site.num_labels, block_size))
        places = site.block_places(num_blocks)
        if len(set(places)) > 1 and not loss.separates:
            raise ValueError(
                "`loss` must be a sum over labels, such as "
                "sigmoid_cross_entropy, with label blocks on several devices. "
                "Received: "
                f"{type(loss).__name__}"
            )
        return cls(
            site.num_labels,
            site.input_dim,
            label_priors=site.label_priors(),
            block_size=block_size,
            is_linear=site.is_linear,
            seed=site.seed,
            dropped=site.dropped,
            loss=loss,
            places=places,
        )

    def build(self, input_shape: Any) -> None:
        """Adds the weights, for inputs [N, H]."""
        keras_strategies.warn()
        for block in self.blocks:
            block.build(encoded_lib.only(input_shape))
        self.built = True

    def get_config(self) -> dict:
        """Returns the arguments that rebuild the head, without weights."""
        return {
            **super().get_config(),
            "num_labels": self.num_labels,
            "input_dim": self.input_dim,
            "block_size": self.block_size,
            "is_linear": self.is_linear,
            "seed": self.seed,
            "dropped": self.dropped.tolist(),
            "loss": losses.to_config(self.loss),
        }

    @classmethod
    def from_config(cls, config: dict) -> SigmoidHead:
        """Returns the head that `get_config` describes."""
        return cls(**{**config, "loss": losses.from_config(config["loss"])})

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns logits, [N, L]."""
        encoded = encoded_lib.only(encoded)
        return tf.concat([block.call(encoded) for block in self.blocks], axis=1)

    def loss_sum(
        self,
        encoded: Any,
        positives: contract.Positives,
        weights: tf.Tensor,
        blocks: range | None = None,
    ) -> tf.Tensor:
        """Returns the weighted sum of the instances' losses, a scalar.

        Args:
            encoded: one tensor, from the only encoder.
            positives: the labels of the batch.
            weights: [N].
            blocks: those whose losses are added; None: all.
        """
        seed = dropout_seeds.current()
        sampling = self._sampling_loss()
        if sampling is not None and seed is not None:
            return self._sampled_loss_sum(
                sampling, encoded_lib.only(encoded), positives, weights, seed
            )
        if len(self.blocks) > 1 and not self.loss.separates:
            return super().loss_sum(encoded, positives, weights)
        encoded = encoded_lib.only(encoded)
        return tf.add_n(
            [
                self.blocks[number].loss_sum(
                    encoded,
                    _labels_of_block(
                        positives,
                        self.starts[number],
                        self.blocks[number].num_outputs,
                    ),
                    weights,
                )
                for number in blocks or range(len(self.blocks))
            ]
        )

    def parts(self) -> list[contract.HeadPart]:
        """Returns the label blocks of each place."""
        return blocks_lib.parts_of(self, self.blocks)

    def _sampling_loss(self) -> sampled_softmax.SampledSoftmax | None:
        """Returns the loss if a step looks at sampled labels alone."""
        loss = self.loss
        if (
            isinstance(loss, sampled_softmax.SampledSoftmax)
            and not self.is_linear  # its kernel is read by feature
            and loss.num_sampled < self.num_labels
        ):
            return loss
        return None

    def _sampled_loss_sum(
        self,
        loss: sampled_softmax.SampledSoftmax,
        encoded: tf.Tensor,
        positives: contract.Positives,
        weights: tf.Tensor,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """Returns the loss that sampled labels estimate, a scalar.

        `seed` [2] says which ones, a function of the step.
        """
        flat = contract.Positives(
            *(tf.reshape(part, [-1]) for part in positives)
        )
        sampled = tf.random.stateless_uniform(
            [loss.num_sampled], seed, 0, self.num_labels, tf.int32
        )
        kernel, bias = self._output_rows(flat.columns)
        hits = tf.reduce_sum(kernel * tf.gather(encoded, flat.rows), axis=1)
        others, others_bias = self._output_rows(sampled)
        return loss.sampled_value(
            hits + bias,
            tf.matmul(encoded, others, transpose_b=True) + others_bias,
            sampled,
            flat,
            weights,
            self.num_labels,
        )

    def _output_rows(self, label_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the kernels [C, H] and biases [C] of some labels."""
        kernels, biases = [], []
        for start, block in zip(self.starts, self.blocks, strict=True):
            places = label_ids - start
            is_inside = (places >= 0) & (places < block.num_outputs)
            places = tf.where(is_inside, places, 0)
            # The variables themselves, so that gradients are of rows.
            kernel = tf.gather(device_scope.readable(block.kernel), places)
            bias = tf.gather(device_scope.readable(block.bias), places)
            kernels.append(tf.where(is_inside[:, None], kernel, 0.0))
            biases.append(tf.where(is_inside, bias, 0.0))
        return tf.add_n(kernels), tf.add_n(biases)

    def top_k(self, encoded: Any, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' logits and ids, [N, K], best first."""
        if not self.loss.separates:
            return super().top_k(encoded, k)
        encoded = encoded_lib.only(encoded)
        k = min(k, self.num_answers)
        best_logits, best_ids = [], []
        for start, block in zip(self.starts, self.blocks, strict=True):
            is_dropped = np.isin(
                np.arange(start, start + block.num_outputs), self.dropped
            )
            with device_scope.computing(block.place):
                logits = self.loss.normalized(block.call(encoded))
                if is_dropped.any():
                    logits = tf.where(is_dropped, -float("inf"), logits)
                logits, positions = selection.top_k(
                    logits, min(k, block.num_outputs)
                )
                best_logits.append(logits)
                best_ids.append(positions + start)
        return merging.merge_top_k(best_logits, best_ids, k)

    def form(self) -> forms.BlockRanking | None:
        """Returns its serving form; None for a loss with a normaliser."""
        if not self.loss.separates:
            return None
        return forms.BlockRanking(
            self.num_labels,
            [block.form() for block in self.blocks],
            link=self.link,
            dropped=self.dropped,
        )

    def named_weights(self) -> dict[str, keras.Variable]:
        """Returns every weight under the name that checkpoints give it."""
        return blocks_lib.named_weights(self, self.blocks)

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return f"{self.num_labels:,} sigmoids"


def _labels_of_block(
    positives: contract.Positives, start: int, size: int
) -> contract.Positives:
    """Returns the labels in [start, start + size); others get weight 0."""
    columns = positives.columns - start
    is_inside = (columns >= 0) & (columns < size)
    return contract.Positives(
        positives.rows,
        tf.where(is_inside, columns, 0),
        tf.where(is_inside, positives.weights, 0.0),
    )
