"""A convolutional encoder: n-grams of word vectors, the strongest of each.

# N instances, T places, E dimensions of a word vector, F filters of a width, W
# widths

Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014;
XML-CNN (Liu et al., SIGIR 2017) is its extreme multi-label form. It reads words
in their order, which a bag cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfxml.models import encoded, sites, token_encoder
from tfxml.models.encoders import conv_options


class ConvEncoder(token_encoder.TokenEncoder):
    """Filters over runs of words, and of each the largest value in a text.

    Args:
        num_tokens: one more than the largest token id; 0 is padding.
        word_dim: E.
        num_filters: F.
        widths: of the filters, in words.
        is_pooled: whether of each filter the largest value is returned, or all
            of them, for heads that read states.
        others: as for `TokenEncoder`.
    """

    Options = conv_options.ConvOptions

    def __init__(
        self,
        num_tokens: int,
        word_dim: int = 128,
        num_filters: int = 128,
        widths: Sequence[int] = (2, 3, 4),
        is_pooled: bool = True,
        **others,
    ):
        super().__init__(num_tokens, word_dim, **others)
        self.num_filters = num_filters
        self.widths = tuple(widths)
        self.is_pooled = is_pooled
        self.output_dim = num_filters * len(self.widths)
        self.kernels, self.biases = [], []
        for width in self.widths:
            scale = (2 / (width * word_dim + num_filters)) ** 0.5
            self.kernels.append(
                self.add_weight(
                    name=f"kernel_{width}",
                    shape=(width, word_dim, num_filters),
                    initializer=self.normal(scale),
                )
            )
            self.biases.append(
                self.add_weight(
                    name=f"bias_{width}",
                    shape=(num_filters,),
                    initializer="zeros",
                )
            )
        self.built = True

    @classmethod
    def create(cls, options: Any, site: sites.Site, number: int) -> ConvEncoder:
        """Returns the `number`-th encoder of a model."""
        cls.check_site(site, "conv")
        return cls(
            site.num_tokens,
            num_filters=options.conv_filters,
            widths=options.conv_widths,
            is_pooled=not site.reads_states,
            dropout=options.conv_dropout,
            **cls.usual(options, site, number),
        )

    def read(
        self,
        words: tf.Tensor,
        is_word: tf.Tensor,
        dropout_seed: tf.Tensor | None,
    ) -> tf.Tensor | encoded.States:
        """Returns [N, F W], or states [N, T, F W]; see `TokenEncoder.read`."""
        del dropout_seed
        # A batch of texts without words still has a place.
        num_places = tf.shape(words)[1] + 1
        # A text shorter than a filter, even an empty one, has a place for it.
        more = max(self.widths)
        # A replica may have no rows, which TensorFlow convolves to themselves.
        is_dynamic = words.shape[0] is None
        words = tf.pad(words, [[0, int(is_dynamic)], [0, more], [0, 0]])
        is_word = tf.pad(is_word, [[0, 0], [0, more]])[:, :, None]
        number = tf.shape(is_word)[0]
        found = []
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            # Every place where a word begins, as the rows are padded.
            values = tf.nn.conv1d(words, kernel, 1, "VALID") + bias
            if is_dynamic:
                values = values[:number]
            starts = is_word[:, : tf.shape(values)[1]]
            states = tf.nn.relu(values) * starts
            if self.is_pooled:
                found.append(tf.reduce_max(states, axis=1))
            else:
                found.append(states[:, :num_places])
        output = tf.concat(found, axis=-1)
        if self.is_pooled:
            return output
        return encoded.States(output, is_word[:, :num_places, 0])

    def get_config(self) -> dict:
        """Returns what makes the encoder again, but for its weights."""
        return {
            **super().get_config(),
            "num_filters": self.num_filters,
            "widths": self.widths,
            "is_pooled": self.is_pooled,
        }

    def describe(self) -> str:
        """Returns a few words for the console and the model card."""
        widths = ", ".join(map(str, self.widths))
        return f"{self.num_filters} filters over {widths} words"
