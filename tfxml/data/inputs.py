"""The named inputs of a batch, from which encoders, re-ranker and head choose.

# N instances, T tokens of an instance
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import tensorflow as tf

FEATURE_IDS = "feature_ids"  # [N, (D)] int32, ascending and distinct
FEATURE_VALUES = "feature_values"  # [N, (D)] float32, one per feature id
TOKEN_IDS = "token_ids"  # [N, (T)] int32, in the text's order, from 1 on

# Fills the unused entries of padded rows. A feature of value 0 adds nothing,
# whatever its id; token 0 stands for no word.
PADDING = {FEATURE_IDS: 0, FEATURE_VALUES: 0.0, TOKEN_IDS: 0}


class MaxLengths(NamedTuple):
    """The most entries that an instance of a split has, for static shapes."""

    features: int
    labels: int
    tokens: int = 0  # also where instances have no tokens

    def of_input(self, name: str) -> int:
        """Returns the width of a padded input."""
        return self.tokens if name == TOKEN_IDS else self.features


def features(
    feature_ids: tf.RaggedTensor | tf.Tensor,
    feature_values: tf.RaggedTensor | tf.Tensor,
) -> dict[str, tf.RaggedTensor | tf.Tensor]:
    """Returns the inputs of instances that have only sparse features."""
    return {FEATURE_IDS: feature_ids, FEATURE_VALUES: feature_values}


def padded(inputs: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.Tensor]:
    """Returns ragged inputs as rectangles, each as wide as its longest row."""
    return {
        name: rows.to_tensor(PADDING[name]) for name, rows in inputs.items()
    }
