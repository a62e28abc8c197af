"""A transformer encoder: every word looks at every other.

# N instances, T places, E dimensions of a word vector, A attention heads,
# K dimensions of a head

Vaswani et al., "Attention is all you need", NeurIPS 2017. The normalisation
comes before each sub-layer (Xiong et al., ICML 2020), which needs no warm-up.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfxml.models import attention, sites, states_encoder
from tfxml.models.encoders import transformer_options


class TransformerEncoder(states_encoder.StatesEncoder):
    """Layers of self-attention and feed-forward, pooled over the words.

    Args:
        num_tokens: one more than the largest token id; 0 is padding.
        num_layers: how many layers.
        num_heads: A, a divisor of the word vectors' dimensions.
        num_units: width of the feed-forward layers.
        positions: `sinusoidal`, `learnt` or `none`.
        max_tokens: the most words of a text, for positions that are learnt.
        others: as for `StatesEncoder`.
    """

    Options = transformer_options.TransformerOptions

    def __init__(
        self,
        num_tokens: int,
        num_layers: int = 2,
        num_heads: int = 4,
        num_units: int = 256,
        positions: str = "sinusoidal",
        max_tokens: int = 256,
        **others,
    ):
        super().__init__(num_tokens, **others)
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.num_units = num_units
        self.positions = positions
        self.max_tokens = max_tokens
        if positions == "learnt":
            self.places = self.add_weight(
                name="places",
                shape=(max_tokens + 1, self.word_dim),
                initializer=self.normal(1.0),
            )
        self.blocks = [self._block(number) for number in range(num_layers)]
        self.last_norm = self._norm("last_norm")
        self.add_pooling(self.word_dim)
        self.built = True

    def _block(self, number: int) -> list[keras.layers.Layer]:
        """Returns a layer's parts, in the order in which `_apply` runs them."""
        width = self.word_dim
        return [
            self._norm(f"norm_{number}_0"),
            self._dense(f"projections_{number}", width, 3 * width),
            self._dense(f"attended_{number}", width, width),
            self._norm(f"norm_{number}_1"),
            self._dense(f"wide_{number}", width, self.num_units, "gelu"),
            self._dense(f"narrow_{number}", self.num_units, width),
        ]

    def _norm(self, name: str) -> keras.layers.Layer:
        return attention.norm(name, self.word_dim)

    def _dense(
        self, name: str, width: int, units: int, activation: str | None = None
    ) -> keras.layers.Layer:
        return attention.dense(name, width, units, self.next_seed(), activation)

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, number: int
    ) -> TransformerEncoder:
        """Returns the `number`-th encoder of a model."""
        cls.check_site(site, "transformer")
        return cls(
            site.num_tokens,
            options.transformer_layers,
            options.transformer_heads,
            options.transformer_units,
            options.positions,
            options.max_tokens,
            dropout=options.transformer_dropout,
            **cls.usual(options, site, number),
        )

    def states(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns the state of each place, [N, T, E]."""
        # As large as their places' encodings, whatever E.
        states = words * self.word_dim**0.5
        states = self._placed(states) * is_word[:, :, None]
        for number, block in enumerate(self.blocks):
            states = self._apply(block, states, is_word, dropout_seed, number)
        return self.last_norm(states)

    def _placed(self, states: tf.Tensor) -> tf.Tensor:
        """Returns the states with the encodings of their places added."""
        number = tf.shape(states)[1]
        if self.positions == "learnt":
            return states + self.places[:number]
        if self.positions == "sinusoidal":
            return states + attention.sinusoids(number, self.word_dim)
        return states

    def _apply(
        self, block: list, states, is_word, dropout_seed, number: int
    ) -> tf.Tensor:
        norm, projections, attended, norm_too, wide, narrow = block
        seen = attended(self._attention(projections(norm(states)), is_word))
        states += self.drop(seen, self.dropout, dropout_seed, 2 + 2 * number)
        output = narrow(wide(norm_too(states)))
        return states + self.drop(
            output, self.dropout, dropout_seed, 3 + 2 * number
        )

    def _attention(
        self, projections: tf.Tensor, is_word: tf.Tensor
    ) -> tf.Tensor:
        """Returns what each place sees, [N, T, E], of projections [N, T, 3 E].

        Queries, keys and values lie behind one another.
        """
        return attention.of_heads(
            tf.split(projections, 3, axis=2),
            self.num_heads,
            is_word[:, None, None, :],
        )

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "num_units": self.num_units,
            "positions": self.positions,
            "max_tokens": self.max_tokens,
        }

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"a transformer of {self.num_layers} layers, {self.num_heads} "
            f"heads, {self.positions} positions, {self.pooling} pooling"
        )
