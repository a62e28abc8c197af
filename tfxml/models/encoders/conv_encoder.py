"""A convolutional encoder: n-grams of word vectors, the strongest of each.

# N instances, T tokens, V token ids, E dimensions of a word vector, F filters
# of a width, W widths

Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014;
XML-CNN (Liu et al., SIGIR 2017) is its extreme multi-label form. It reads words
in their order, which a bag cannot.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfxml import options as options_lib
from tfxml.data import inputs as inputs_lib
from tfxml.models import contract, sites


@dataclasses.dataclass(frozen=True)
class ConvOptions:
    """Options of the convolutional encoder."""

    word_dim: int = options_lib.option(
        128, "Conv: dimensions of a word vector.", minimum=1
    )
    conv_filters: int = options_lib.option(
        128, "Conv: filters of each width.", minimum=1
    )
    conv_widths: tuple[int, ...] = options_lib.option(
        (2, 3, 4), "Conv: widths of the filters in words, comma-separated."
    )
    conv_dropout: float = options_lib.option(
        0.5, "Conv: share of its outputs dropped in training.", minimum=0
    )


class ConvEncoder(contract.Encoder):
    """Filters over runs of words, and of each the largest value in a text.

    Args:
        num_tokens: V, one more than the largest token id; 0 is padding.
        word_dim: E.
        num_filters: F.
        widths: of the filters, in words.
        dropout: share of the outputs dropped in training.
        seed: of the initial weights and the dropout.
    """

    Options = ConvOptions
    reads = contract.TOKENS

    def __init__(
        self,
        num_tokens: int,
        word_dim: int = 128,
        num_filters: int = 128,
        widths: Sequence[int] = (2, 3, 4),
        dropout: float = 0.5,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.word_dim = word_dim
        self.num_filters = num_filters
        self.widths = tuple(widths)
        self.dropout = dropout
        self.seed = seed
        self.output_dim = num_filters * len(self.widths)
        self._add_weights()
        self.built = True

    def _add_weights(self) -> None:
        def normal(stddev: float, number: int):
            return keras.initializers.RandomNormal(
                stddev=stddev, seed=self.seed * 1009 + number
            )

        self.table = self.add_weight(
            name="kernel_words",
            shape=(self.num_tokens, self.word_dim),
            initializer=normal(0.1, 0),
        )
        self.kernels, self.biases = [], []
        for number, width in enumerate(self.widths, 1):
            fan_in = width * self.word_dim
            self.kernels.append(
                self.add_weight(
                    name=f"kernel_{width}",
                    shape=(width, self.word_dim, self.num_filters),
                    initializer=normal(
                        (2 / (fan_in + self.num_filters)) ** 0.5, number
                    ),
                )
            )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{width}",
                    shape=(self.num_filters,),
                    initializer="zeros",
                )
            )

    @classmethod
    def check(cls, options: ConvOptions) -> None:
        """Raises ValueError for options under which it cannot be built."""
        require = options_lib.require
        require(options.conv_dropout < 1, "conv_dropout", "below 1", options)
        require(
            bool(options.conv_widths)
            and all(width >= 1 for width in options.conv_widths),
            "conv_widths",
            "positive widths, at least one",
            options,
        )

    @classmethod
    def create(cls, options: Any, site: sites.Site, number: int) -> ConvEncoder:
        """Returns the `number`-th encoder of a model."""
        if not site.num_tokens:
            raise ValueError(
                "`encoder` must be one that reads features for data without "
                "text. Received: encoder=conv, which reads words in their order"
            )
        return cls(
            site.num_tokens,
            options.word_dim,
            options.conv_filters,
            options.conv_widths,
            options.conv_dropout,
            seed=site.seeds_of(range(number, number + 1))[0],
        )

    def arrange(self, inputs: Mapping, form: str) -> tf.Tensor:
        """Returns the tokens, [N, T] int32, padded with 0."""
        tokens = inputs[inputs_lib.TOKEN_IDS]
        if isinstance(tokens, tf.RaggedTensor):
            tokens = tokens.to_tensor(0)
        return tokens

    @property
    def arrangement(self) -> str:
        """All encoders of tokens read the same."""
        return contract.TOKENS

    def call(
        self, rows: Any, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns [N, F W].

        Args:
            rows: tokens [N, T], padded with 0.
            dropout_seed: [2] int32, a function of the step; None: no dropout.
        """
        most = max(self.widths)
        # A text shorter than a filter still has one place for it.
        tokens = tf.pad(rows, [[0, 0], [0, most - 1]])
        is_word = tf.cast(tokens > 0, self.table.dtype)[:, :, None]
        words = tf.gather(self.table.value, tokens) * is_word
        pooled = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            # Every place where a word begins, as the rows are padded.
            values = tf.nn.conv1d(words, kernel, 1, "VALID") + bias
            starts = is_word[:, : tf.shape(values)[1]]
            pooled.append(tf.reduce_max(tf.nn.relu(values) * starts, axis=1))
        output = tf.concat(pooled, axis=1)
        return self._drop(output, dropout_seed)

    def _drop(self, output: tf.Tensor, dropout_seed) -> tf.Tensor:
        if dropout_seed is None or not self.dropout:
            return output
        seed = tf.random.experimental.stateless_fold_in(
            dropout_seed, self.seed * 1009
        )
        return tf.nn.experimental.stateless_dropout(
            output, rate=self.dropout, seed=seed
        )

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "word_dim": self.word_dim,
            "num_filters": self.num_filters,
            "widths": self.widths,
            "dropout": self.dropout,
            "seed": self.seed,
        }

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        widths = ", ".join(map(str, self.widths))
        return f"{self.num_filters} filters over {widths} words"
