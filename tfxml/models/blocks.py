"""A block of outputs, the unit that most heads are made of.

# N instances, H units of the encoder, D features, B outputs

A label block of the sigmoid head and a repetition of MACH are the same thing: a
kernel, a bias, and the loss of their logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.models import contract, device_scope, forms, sites, sparse_rows
from tfxml.models.losses import fused


class OutputBlock(keras.layers.Layer):
    """Logits over B outputs, from dense [N, H] or straight from sparse rows.

    Args:
        num_outputs: B.
        loss: of the outputs.
        input_dim: H, or D where `is_linear`; None: of the first input.
        priors: [B], the fraction of instances in which each output is
            positive; the loss chooses the initial bias from them.
        is_linear: whether the block reads the sparse rows directly, as in
            linear one-vs-rest.
        seed: of the initial kernel.
        place: where the weights are stored and used; None: anywhere.
    """

    built: bool

    def __init__(
        self,
        num_outputs: int,
        loss: contract.Loss,
        input_dim: int | None = None,
        priors: np.ndarray | None = None,
        is_linear: bool = False,
        seed: int = 0,
        place: sites.Place | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_outputs = num_outputs
        self.loss = loss if priors is None else loss.of_outputs(priors)
        self.is_linear = is_linear
        self.seed = seed
        self.place = place
        self._priors = priors
        if input_dim is not None:
            self.build((None, input_dim))

    def build(self, input_shape: Any) -> None:
        """Adds the weights, for inputs [N, input_shape[-1]]."""
        if self.built:
            return
        with device_scope.creating(self.place):
            self._add_weights(input_shape[-1])
        self.built = True

    def _add_weights(self, input_dim: int) -> None:
        num_outputs, is_linear = self.num_outputs, self.is_linear
        # Small at first: an output's logit starts at its prior.
        small_normal = keras.initializers.RandomNormal(
            stddev=0.01, seed=self.seed
        )
        self.kernel = self.add_weight(
            name="kernel",
            # A linear block's kernel is read by feature, a dense one's by
            # output.
            shape=(
                (input_dim, num_outputs)
                if is_linear
                else (num_outputs, input_dim)
            ),
            initializer="zeros" if is_linear else small_normal,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(num_outputs,),
            initializer=self._prior_bias(),
        )
        self._priors = None  # free the memory: one number per label

    def _prior_bias(self) -> str | Callable[..., tf.Tensor]:
        """Returns the initializer of the bias.

        Assigning the bias would not do: Keras' `fit` builds layers in a
        scratch graph, where an assignment is lost.
        """
        if self._priors is None:
            return "zeros"
        bias = self.loss.prior_bias(self._priors)
        return lambda shape, dtype=None: tf.constant(bias, dtype, shape)

    def call(self, encoded: Any) -> tf.Tensor:
        """Returns logits, [N, B]."""
        with device_scope.computing(self.place):
            kernel = device_scope.readable(self.kernel)
            if self.is_linear:
                product = sparse_rows.matmul(encoded, [kernel])
            else:
                product = tf.matmul(encoded, kernel, transpose_b=True)
            return product + device_scope.readable(self.bias)

    def loss_sum(
        self, encoded: Any, positives: contract.Positives, weights: tf.Tensor
    ) -> tf.Tensor:
        """Returns the weighted sum of the losses of the block, a scalar."""
        with device_scope.computing(self.place):
            if self.is_linear:
                return self.loss.trained_value(
                    self.call(encoded), positives, weights
                )
            return fused.of_product(
                self.loss,
                encoded,
                tf.convert_to_tensor(device_scope.readable(self.kernel)),
                tf.convert_to_tensor(device_scope.readable(self.bias)),
                positives,
                weights,
            )

    def form(self) -> forms.Block:
        """Returns its serving form."""
        return forms.Block(self.kernel, self.bias, self.is_linear)


def parts_of(
    head: contract.Head, blocks: Sequence[OutputBlock]
) -> list[contract.HeadPart]:
    """Returns the blocks of each place; one part if they are in one place."""
    places = list(dict.fromkeys(block.place for block in blocks))
    if len(places) == 1:
        return [
            contract.HeadPart(places[0], None, list(head.trainable_weights))
        ]
    parts = []
    for place in places:
        numbers = [
            number
            for number, block in enumerate(blocks)
            if block.place == place
        ]
        weights = [
            weight
            for number in numbers
            for weight in blocks[number].trainable_weights
        ]
        parts.append(
            contract.HeadPart(
                place, range(numbers[0], numbers[-1] + 1), weights
            )
        )
    return parts


def named_weights(
    layer: keras.layers.Layer, blocks: Sequence[OutputBlock]
) -> dict[str, keras.Variable]:
    """Returns a head's weights by name; those of blocks are numbered."""
    names = {
        f"block_{number}_{weight.name}": weight
        for number, block in enumerate(blocks)
        for weight in block.weights
    }
    block_weight_ids = {id(weight) for weight in names.values()}
    other_weights = {
        name: weight
        for name, weight in contract.named_weights(layer).items()
        if id(weight) not in block_weight_ids
    }
    return {**names, **other_weights}
