"""What the encoders of tokens share: word vectors and dropout.

# N instances, T places, V token ids, E dimensions of a word vector, H units
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfxml.data import inputs as inputs_lib
from tfxml.models import contract, encoded, sites


def padded_tokens(inputs: Mapping[str, Any]) -> tf.Tensor:
    """Returns the tokens of named inputs, [N, T] int32, padded with 0."""
    tokens = inputs[inputs_lib.TOKEN_IDS]
    if isinstance(tokens, tf.RaggedTensor):
        tokens = tokens.to_tensor(0)
    return tokens


class TokenEncoder(contract.Encoder):
    """Word vectors in the text's order; subclasses read them.

    Args:
        num_tokens: V, one more than the largest token id; 0 is padding.
        word_dim: E.
        dropout: share of the outputs dropped in training.
        word_dropout: share of the words hidden in training.
        span_cut: share of a text's words hidden in training, in one run.
        seed: of the initial weights and the dropout.
    """

    reads = contract.TOKENS

    def __init__(
        self,
        num_tokens: int,
        word_dim: int = 128,
        dropout: float = 0.0,
        word_dropout: float = 0.0,
        span_cut: float = 0.0,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_tokens = num_tokens
        self.word_dim = word_dim
        self.dropout = dropout
        self.word_dropout = word_dropout
        self.span_cut = span_cut
        self.seed = seed
        self._num_seeds = 0
        self.table = self.add_weight(
            name="kernel_words",
            shape=(num_tokens, word_dim),
            initializer=self.normal(0.1),
        )

    def read(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor | encoded.States:
        """Returns [N, H] of word vectors, or the states of the words.

        Args:
            words: [N, T, E]; zeros where there is no word.
            is_word: [N, T], 1 or 0.
            dropout_seed: [2] int32, or None for no dropout.
        """
        raise NotImplementedError

    @classmethod
    def check_site(cls, site: sites.Site, name: str) -> None:
        """Raises ValueError for data without text.

        Args:
            site: of the model.
            name: of the encoder, as flags have it.
        """
        if not site.num_tokens:
            raise ValueError(
                "`encoder` must be one that reads features for data without "
                f"text. Received: encoder={name}, which reads words in their "
                "order"
            )

    @classmethod
    def usual(
        cls, options: Any, site: sites.Site, number: int
    ) -> dict[str, Any]:
        """Returns the arguments that all encoders of tokens have options for.

        Args:
            options: of the model.
            site: of the model.
            number: of the encoder, which its seed follows from.
        """
        return {
            "word_dim": options.word_dim,
            "word_dropout": options.word_dropout,
            "span_cut": options.span_cut,
            "seed": site.seeds_of(range(number, number + 1))[0],
        }

    def arrange(self, inputs: Mapping[str, Any], form: str) -> tf.Tensor:
        """Returns the tokens, [N, T] int32, padded with 0."""
        return padded_tokens(inputs)

    @property
    def arrangement(self) -> str:
        """All encoders of tokens read the same."""
        return contract.TOKENS

    def assign_words(self, vectors: np.ndarray, is_there: np.ndarray) -> None:
        """Starts with given word vectors; see `contract.Encoder`."""
        table = self.table.numpy()
        table[1:][is_there] = vectors[is_there]  # row 0 is padding
        self.table.assign(table)

    def call(
        self, rows: Any, dropout_seed: tf.Tensor | None = None
    ) -> tf.Tensor | encoded.States:
        """Returns [N, H], or the states of the words.

        Args:
            rows: tokens [N, T], padded with 0.
            dropout_seed: [2] int32, a function of the step; None: no dropout.
        """
        is_word = tf.cast(rows > 0, self.table.dtype)
        # The variable itself, so that only the batch's rows are gathered.
        words = tf.gather(self.table.value, rows) * is_word[:, :, None]
        words = self.drop_words(words, dropout_seed)
        words = self.cut_span(words, is_word, dropout_seed)
        output = self.read(words, is_word, dropout_seed)
        if isinstance(output, encoded.States):
            states = self.drop(output.states, self.dropout, dropout_seed, 0)
            return output._replace(states=states)
        return self.drop(output, self.dropout, dropout_seed, 0)

    def drop_words(
        self, words: tf.Tensor, dropout_seed: tf.Tensor | None
    ) -> tf.Tensor:
        """Returns words of which some are zeros, in training."""
        if dropout_seed is None or not self.word_dropout:
            return words
        seed = self._seed_of(dropout_seed, 1)
        chances = tf.random.stateless_uniform(tf.shape(words)[:2], seed)
        is_kept = tf.cast(chances >= self.word_dropout, words.dtype)
        return words * is_kept[:, :, None]

    def cut_span(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns words of which a run in each text is zeros, in training.

        Shen et al., "A simple but tough-to-beat data augmentation approach for
        natural language understanding and generation", 2020.
        """
        if dropout_seed is None or not self.span_cut:
            return words
        seed = self._seed_of(dropout_seed, 1008)
        lengths = tf.reduce_sum(is_word, axis=1)
        sizes = tf.floor(self.span_cut * lengths)
        chances = tf.random.stateless_uniform(tf.shape(lengths), seed)
        starts = tf.floor(chances * (lengths - sizes + 1))[:, None]
        places = tf.range(tf.shape(words)[1])[None, :]
        places = tf.cast(places, starts.dtype)
        is_kept = (places < starts) | (places >= starts + sizes[:, None])
        return words * tf.cast(is_kept, words.dtype)[:, :, None]

    def drop(
        self,
        output: tf.Tensor,
        rate: float,
        dropout_seed: tf.Tensor | None,
        place: int,
    ) -> tf.Tensor:
        """Returns an output of which a share is dropped in training.

        Args:
            output: any tensor.
            rate: the share.
            dropout_seed: [2] int32, or None for no dropout.
            place: a number that no other dropout of the encoder has.
        """
        if dropout_seed is None or not rate:
            return output
        # Stateless, so that it is a function of the step under every strategy.
        return tf.nn.experimental.stateless_dropout(
            output, rate=rate, seed=self._seed_of(dropout_seed, place)
        )

    def _seed_of(self, dropout_seed: tf.Tensor, place: int) -> tf.Tensor:
        return tf.random.experimental.stateless_fold_in(
            dropout_seed, self.seed * 1009 + place
        )

    def next_seed(self) -> int:
        """Returns the seed of the next weight."""
        self._num_seeds += 1
        return self.seed * 1009 + self._num_seeds - 1

    def normal(self, stddev: float) -> keras.initializers.Initializer:
        """Returns an initializer that no other weight has."""
        return keras.initializers.RandomNormal(
            stddev=stddev, seed=self.next_seed()
        )

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "num_tokens": self.num_tokens,
            "word_dim": self.word_dim,
            "dropout": self.dropout,
            "word_dropout": self.word_dropout,
            "span_cut": self.span_cut,
            "seed": self.seed,
        }
