"""A transformer's decoder over labels: what follows those that are written.

# N instances, S rows of an instance, T places of a text, H units of a state,
# L labels, W units

Labels are numbered from frequent to rare; L is the end and L + 1 the start.
What follows a label is rarer than it, or the end.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from tfxml.models import attention, encoded

NEVER = -1e9


class SequenceDecoder(keras.layers.Layer):
    """Layers of self-attention that looks back, cross-attention, feed-forward.

    Args:
        num_labels: L.
        input_dim: H.
        units: W.
        num_layers: how many layers.
        num_heads: attention heads, a divisor of W.
        seed: of the initial weights.
    """

    def __init__(
        self,
        num_labels: int,
        input_dim: int,
        units: int,
        num_layers: int,
        num_heads: int,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_labels = num_labels
        self.input_dim = input_dim
        self.units = units
        self.num_heads = num_heads
        self.seed = seed
        self._num_seeds = 0
        self.table = self.add_weight(
            name="table",
            shape=(num_labels + 2, units),
            initializer=keras.initializers.RandomNormal(
                stddev=units**-0.5, seed=self._next_seed()
            ),
        )
        self.bias = self.add_weight(
            name="bias", shape=(num_labels + 1,), initializer="zeros"
        )
        self.blocks = [self._block(number) for number in range(num_layers)]
        self.last_norm = self._norm("last_norm")
        self.built = True

    def _next_seed(self) -> int:
        self._num_seeds += 1
        return self.seed * 1009 + self._num_seeds

    def _block(self, number: int) -> list[keras.layers.Layer]:
        """Returns a layer's parts, in the order in which `_apply` runs them."""
        units = self.units
        return [
            self._norm(f"norm_{number}_0"),
            self._dense(f"projections_{number}", units, 3 * units),
            self._dense(f"attended_{number}", units, units),
            self._norm(f"norm_{number}_1"),
            self._dense(f"asked_{number}", units, units),
            self._dense(f"words_{number}", self.input_dim, 2 * units),
            self._dense(f"read_{number}", units, units),
            self._norm(f"norm_{number}_2"),
            self._dense(f"wide_{number}", units, 2 * units, "gelu"),
            self._dense(f"narrow_{number}", 2 * units, units),
        ]

    def _norm(self, name: str) -> keras.layers.Layer:
        return attention.norm(name, self.units)

    def _dense(
        self, name: str, width: int, units: int, activation: str | None = None
    ) -> keras.layers.Layer:
        return attention.dense(
            name, width, units, self._next_seed(), activation
        )

    def call(
        self,
        written: tf.Tensor,
        states: encoded.States,
        never: tf.Tensor | float = 0.0,
    ) -> tf.Tensor:
        """Returns log p of what follows each place, [N, places, L + 1].

        Args:
            written: [N, places], ranks of labels; L: the end, L + 1: the start.
            states: of the words.
            never: [L + 1], added to all logits.
        """
        return self._log_p(self._read(written, states), written, never)

    def call_at(
        self,
        place: tf.Tensor,
        written: tf.Tensor,
        states: encoded.States,
        never: tf.Tensor | float = 0.0,
    ) -> tf.Tensor:
        """Returns log p of what follows one place, [N S, L + 1].

        The arguments are those of `call`, but that S rows of `written` may
        belong to each instance: [N S, places].
        """
        output = self._read(written, states)[:, place][:, None]
        return self._log_p(output, written[:, place][:, None], never)[:, 0]

    def _read(self, written: tf.Tensor, states: encoded.States) -> tf.Tensor:
        """Returns what is known at each place, [N S, places, W]."""
        number = tf.shape(written)[1]
        output = tf.gather(tf.convert_to_tensor(self.table), written)
        output += attention.sinusoids(number, self.units)
        looks_back = tf.linalg.band_part(tf.ones([number, number]), -1, 0)
        for block in self.blocks:
            output = self._apply(block, output, states, looks_back)
        return self.last_norm(output)

    def _log_p(
        self,
        output: tf.Tensor,
        written: tf.Tensor,
        never: tf.Tensor | float,
    ) -> tf.Tensor:
        size = self.num_labels
        table = tf.convert_to_tensor(self.table)[: size + 1]
        logits = self.bias + tf.einsum("nsw,lw->nsl", output, table)
        before = tf.where(written == size + 1, -1, written)[:, :, None]
        is_rarer = tf.range(size + 1) > before
        logits = tf.where(is_rarer, logits + never, NEVER)
        return tf.nn.log_softmax(logits)

    def _apply(
        self,
        block: list,
        output: tf.Tensor,
        states: encoded.States,
        looks_back: tf.Tensor,
    ) -> tf.Tensor:
        norm, projections, attended, norm_words, asked, words, read = block[:7]
        norm_wide, wide, narrow = block[7:]
        output += attended(
            attention.of_heads(
                tf.split(projections(norm(output)), 3, axis=2),
                self.num_heads,
                looks_back,
            )
        )
        # All rows of an instance ask the same words, which are kept once.
        asking = asked(norm_words(output))
        told = attention.of_heads(
            [
                tf.reshape(
                    asking, [tf.shape(states.is_word)[0], -1, self.units]
                ),
                *tf.split(words(states.states), 2, axis=2),
            ],
            self.num_heads,
            states.is_word[:, None, None, :],
        )
        output += read(tf.reshape(told, tf.shape(asking)))
        return output + narrow(wide(norm_wide(output)))
