"""`OwnLabels` as TensorFlow operations, for exported models."""

from __future__ import annotations

import tensorflow as tf

from tfxml.data import own_labels

# All of ASCII but letters, digits and underscores.
_BETWEEN_WORDS = r"[\x00-/:-@\[-^`{-\x7f]+"


class OwnLabelOps(tf.Module):
    """Finds the labels that texts are named after, in a graph.

    Args:
        found_by: what finds them elsewhere.
    """

    def __init__(self, found_by: own_labels.OwnLabels):
        super().__init__()
        self._lengths = sorted(
            {1 + name.count(b" ") for name in found_by.ids}, reverse=True
        )
        with tf.device("CPU"):  # the only device with strings
            self._table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(list(found_by.ids), tf.string),
                    tf.constant(list(found_by.ids.values()), tf.int32),
                ),
                own_labels.NONE,
            )

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns the label that each text is named after, [n] int32.

        As `OwnLabels.of` does: -1 where there is none.
        """
        with tf.device("CPU"):
            spaced = tf.strings.regex_replace(
                tf.strings.lower(texts), _BETWEEN_WORDS, " "
            )
            words = tf.strings.split(spaced)
            words = tf.ragged.boolean_mask(words, tf.strings.length(words) > 1)
            found = tf.fill(tf.shape(texts), own_labels.NONE)
            for length in self._lengths:
                first = tf.strings.reduce_join(
                    words[:, :length], axis=1, separator=" "
                )
                longer = found != own_labels.NONE
                found = tf.where(longer, found, self._table.lookup(first))
        return found
