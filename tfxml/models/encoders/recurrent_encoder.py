"""A recurrent encoder: a text is read from both ends, word by word.

# N instances, T places, E dimensions of a word vector, U units of a direction

Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997;
Cho et al., EMNLP 2014, for the gated recurrent unit; Schuster and Paliwal, IEEE
Transactions on Signal Processing 1997, for both directions.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfxml.models import sites, states_encoder
from tfxml.models.encoders import recurrent_options

_CELLS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


class RecurrentEncoder(states_encoder.StatesEncoder):
    """Layers of GRU or LSTM cells in both directions, pooled over the words.

    Args:
        num_tokens: one more than the largest token id; 0 is padding.
        cell: `gru` or `lstm`.
        num_units: U; a state has 2 U.
        num_layers: how many layers.
        others: as for `StatesEncoder`.
    """

    Options = recurrent_options.RecurrentOptions

    def __init__(
        self,
        num_tokens: int,
        cell: str = "gru",
        num_units: int = 128,
        num_layers: int = 1,
        **others,
    ):
        super().__init__(num_tokens, **others)
        self.cell = cell
        self.num_units = num_units
        self.num_layers = num_layers
        self.forward, self.backward = [], []
        width = self.word_dim
        for number in range(num_layers):
            self.forward.append(self._layer(f"forward_{number}", width, False))
            self.backward.append(self._layer(f"backward_{number}", width, True))
            width = 2 * num_units
        self.add_pooling(width)
        self.built = True

    def _layer(self, name: str, width: int, is_backwards: bool):
        layer = _CELLS[self.cell](
            self.num_units,
            return_sequences=True,
            go_backwards=is_backwards,
            kernel_initializer=keras.initializers.GlorotUniform(
                self.next_seed()
            ),
            recurrent_initializer=keras.initializers.Orthogonal(
                seed=self.next_seed()
            ),
            name=name,
        )
        layer.build((None, None, width))
        return layer

    @classmethod
    def create(
        cls, options: Any, site: sites.Site, number: int
    ) -> RecurrentEncoder:
        """Returns the `number`-th encoder of a model."""
        cls.check_site(site, "recurrent")
        return cls(
            site.num_tokens,
            options.recurrent_cell,
            options.recurrent_units,
            options.recurrent_layers,
            dropout=options.recurrent_dropout,
            **cls.usual(options, site, number),
        )

    def states(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor:
        """Returns the states of both directions, [N, T, 2 U]."""
        states, mask = words, is_word > 0
        for number, (forward, backward) in enumerate(
            zip(self.forward, self.backward, strict=True)
        ):
            # The one that goes backwards returns its states in its order.
            states = tf.concat(
                [
                    forward(states, mask=mask),
                    tf.reverse(backward(states, mask=mask), axis=[1]),
                ],
                axis=-1,
            )
            if number + 1 < self.num_layers:
                states = self.drop(
                    states, self.dropout, dropout_seed, 2 + number
                )
        return states

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "cell": self.cell,
            "num_units": self.num_units,
            "num_layers": self.num_layers,
        }

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        return (
            f"{self.num_layers} x {self.num_units} {self.cell} units in both "
            f"directions, {self.pooling} pooling"
        )
