"""Adds the rows of labels' names to the weights of their classifiers.

A label's margin then grows with the product of an instance and the label's
name, which tells most about labels that few instances have.

# L labels, W weights, M features of all names
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfxml.cpu import compiled
from tfxml.data.feeding import in_memory


class Names(NamedTuple):
    """The features of labels' names; a label without a name has none."""

    splits: np.ndarray  # [L + 1] int64: where a label's features begin
    feature_ids: np.ndarray  # [M] int32
    values: np.ndarray  # [M] float32


def of_rows(
    source: in_memory.InMemorySource, factor: float, most: int
) -> Names:
    """Returns the names of a source that has one row a label at most.

    Args:
        source: its rows have one label each, and these ascend.
        factor: multiplies all values.
        most: M at most.

    Raises:
        ValueError: if the names have more features.
    """
    rows = source.instances
    if len(rows.feature_ids) > most:
        raise ValueError(
            "`reranker_features` must leave room for the "
            f"{len(rows.feature_ids):,} features of labels' names. Received: "
            f"room for {most:,} weights"
        )
    lengths = np.zeros(source.num_labels, np.int64)
    lengths[rows.label_ids] = np.diff(rows.feature_splits)
    return Names(
        np.concatenate([[0], np.cumsum(lengths)]),
        rows.feature_ids.astype(np.int32, copy=False),
        np.float32(factor) * rows.feature_values.astype(np.float32),
    )


def add(
    labels: np.ndarray,
    feature_ids: np.ndarray,
    weights: np.ndarray,
    names: Names,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns weights [W + M, at most] with those of names added.

    Args:
        labels, feature_ids, weights: [W], changed in place.
        names: of all labels.
    """
    is_new = np.ones(len(names.values), np.bool_)
    _add_to_known(labels, feature_ids, weights, *names, is_new)
    owners = np.repeat(
        np.arange(len(names.splits) - 1, dtype=np.int32), np.diff(names.splits)
    )
    return (
        np.concatenate([labels, owners[is_new]]),
        np.concatenate([feature_ids, names.feature_ids[is_new]]),
        np.concatenate([weights, names.values[is_new]]),
    )


@compiled.loop
def _add_to_known(
    labels, feature_ids, weights, splits, name_features, values, is_new
):
    """Adds names to the weights that there are; clears `is_new` [M] there."""
    for entry in range(len(weights)):
        label = labels[entry]
        for place in range(splits[label], splits[label + 1]):
            if name_features[place] == feature_ids[entry]:
                weights[entry] += values[place]
                is_new[place] = False
