"""What the encoders with a state a word share: how states become one vector.

# N instances, T places, S units of a state, H units
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfxml.models import encoded, pooling, sites, token_encoder


class StatesEncoder(token_encoder.TokenEncoder):
    """An encoder with a state a word, which it pools.

    Subclasses call `add_pooling` with the width of a state, and implement
    `states`.

    Args:
        num_tokens: V.
        pooling: `max`, `mean`, `cls` or `attention`; see
            `token_options.TokenOptions`. Or `none`, for heads that read states.
        num_queries: of pooling by attention.
        others: as for `token_encoder.TokenEncoder`.
    """

    def __init__(
        self,
        num_tokens: int,
        pooling: str = "max",
        num_queries: int = 4,
        **others,
    ):
        super().__init__(num_tokens, **others)
        self.pooling = pooling
        self.num_queries = num_queries
        if pooling == "cls":
            self.cls_word = self.add_weight(
                name="cls_word",
                shape=(self.word_dim,),
                initializer=self.normal(0.1),
            )

    @classmethod
    def usual(
        cls, options: Any, site: sites.Site, number: int
    ) -> dict[str, Any]:
        """Returns those of all encoders of tokens, and those of the pooling."""
        return {
            **super().usual(options, site, number),
            "pooling": "none" if site.reads_states else options.pooling,
            "num_queries": options.attention_queries,
        }

    def states(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns the state of each place, [N, T, S]; see `read`."""
        raise NotImplementedError

    def add_pooling(self, num_units: int) -> None:
        """Sets the width of the output, of states of so many units."""
        self.output_dim = num_units
        if self.pooling == "attention":
            self.output_dim = num_units * self.num_queries
            self.queries = self.add_weight(
                name="queries",
                shape=(self.num_queries, num_units),
                initializer=self.normal(num_units**-0.5),
            )

    def read(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor | encoded.States:
        """Returns the pooled states, [N, H], or all of them."""
        if self.pooling == "cls":
            words = tf.pad(words, [[0, 0], [1, 0], [0, 0]])
            is_first = tf.one_hot(0, tf.shape(words)[1])[:, None]
            words += is_first * self.cls_word
            is_word = tf.pad(is_word, [[0, 0], [1, 0]], constant_values=1.0)
        else:
            # A batch of texts without words still has a place.
            words = tf.pad(words, [[0, 0], [0, 1], [0, 0]])
            is_word = tf.pad(is_word, [[0, 0], [0, 1]])
        states = self.states(words, is_word, dropout_seed)
        if self.pooling == "none":
            return encoded.States(states, is_word)
        if self.pooling == "cls":
            return states[:, 0]
        if self.pooling == "mean":
            return pooling.mean(states, is_word)
        if self.pooling == "attention":
            return pooling.attention(
                states, is_word, tf.convert_to_tensor(self.queries)
            )
        return pooling.largest(states, is_word)

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "pooling": self.pooling,
            "num_queries": self.num_queries,
        }
