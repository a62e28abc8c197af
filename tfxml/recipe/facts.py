"""What the choice of a recipe is made from: facts of data and machine.

# N instances, D features, L labels
"""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf

from tfxml.data import inputs, own_labels
from tfxml.data.feeding import pipeline
from tfxml.run import datasets, limits

# Rows are of length 1: their values are whole multiples of the least of them,
# up to rounding, but for rows without a feature that occurs once.
_WHOLE, _MOSTLY, _HALF = 1e-3, 0.9, 0.5
_SAMPLE = 4096  # instances that say how many features a row has
# Texts that are named after a label, in number and as a share of all: fewer are
# chance. And the share of them that may have it: it would stand before labels
# that are right far more often.
_FEWEST_NAMED, _LEAST_NAMED, _MOST_RIGHT = 50, 0.05, 0.05


@dataclasses.dataclass(frozen=True)
class Facts:
    """Of the training split, and of the machine."""

    num_instances: int  # N
    num_features: int  # D
    num_labels: int  # L
    num_seen: int  # labels that an instance has
    features_per_instance: float
    labels_per_instance: float
    pairs_of_decile: tuple[float, ...]  # shares; most frequent labels first
    is_text: bool
    is_unweighted: bool  # whether features are counts or indicators
    has_label_names: bool  # that become features as texts do
    num_cores: int
    memory: int  # bytes
    has_accelerator: bool
    has_titles: bool = False  # in texts that can be read anew
    num_named: int = 0  # instances whose texts are named after a label
    share_right: float = 0.0  # of those, that have it

    @property
    def instances_per_label(self) -> float:
        """The mean over the labels that an instance has."""
        pairs = self.labels_per_instance * self.num_instances
        return pairs / max(self.num_seen, 1)

    @property
    def has_foreign_labels(self) -> bool:
        """Whether texts hardly ever have the label that they are named after.

        They are then pages, and their labels the pages that they refer to.
        """
        fewest = max(_FEWEST_NAMED, _LEAST_NAMED * self.num_instances)
        return self.num_named >= fewest and self.share_right <= _MOST_RIGHT

    def describe(self) -> str:
        """Returns a line about them."""
        return (
            f"{self.num_instances:,} instances with "
            f"{self.features_per_instance:.0f} features and "
            f"{self.labels_per_instance:.1f} labels each; {self.num_labels:,} "
            f"labels with {self.instances_per_label:.0f} instances each, of "
            "which the most frequent tenth has "
            f"{100 * self.pairs_of_decile[0]:.0f} %; {self.num_cores} cores, "
            f"{self.memory / 2**30:.0f} GiB"
        )


def of(data: datasets.TrainingData) -> Facts:
    """Returns the facts of a run's training split on this machine."""
    number = min(data.train.num_instances, _SAMPLE)
    rows, _ = data.train.rows(tf.range(number, dtype=tf.int64))
    return Facts(
        data.facts.num_train,
        data.facts.num_features,
        data.facts.num_labels,
        int((data.label_counts > 0).sum()),
        len(rows[inputs.FEATURE_IDS].flat_values) / number,
        float(data.label_counts.sum()) / data.facts.num_train,
        shares_of_deciles(data.label_counts),
        data.facts.is_text,
        are_unweighted(
            rows[inputs.FEATURE_IDS].row_splits.numpy(),
            rows[inputs.FEATURE_VALUES].flat_values.numpy(),
        ),
        data.text_features is not None and data.label_names is not None,
        os.cpu_count() or 1,
        limits.memory_bytes(),
        bool(tf.config.list_logical_devices("GPU")),
        data.has_titles and not data.is_prepared,
        *named(data.train),
    )


def named(train: pipeline.Source) -> tuple[int, float]:
    """Returns how many texts are named after a label.

    And which share of them have that label, as a sample says.
    """
    own = train.own_labels()
    if own is None or not (own != own_labels.NONE).any():
        return 0, 0.0
    rows = np.flatnonzero(own != own_labels.NONE)
    number = len(rows)
    if number > _SAMPLE:
        chosen = np.random.default_rng(0).choice(rows, _SAMPLE, replace=False)
        rows = np.sort(chosen)
    _, labels = train.rows(tf.constant(rows, tf.int64))
    is_own = labels.flat_values.numpy() == own[rows][labels.value_rowids()]
    return number, float(is_own.sum()) / len(rows)


def are_unweighted(splits: np.ndarray, values: np.ndarray) -> bool:
    """Tells whether rows hold counts, or 0 and 1, times a factor each.

    Or logarithms of counts, most of which are those of 1. Weights of features
    would make nearly all values of a row different.

    Args:
        splits: [n + 1], where each row begins.
        values: of all rows.
    """
    if not len(values) or values.min() <= 0:
        return False
    filled = splits[:-1][np.diff(splits) > 0]
    least = np.minimum.reduceat(values.astype(np.float64), filled)
    ratios = values / np.repeat(least, np.diff([*filled, len(values)]))
    are_whole = np.abs(ratios - np.rint(ratios)) < _WHOLE
    are_least = ratios < 1 + _WHOLE
    return bool(are_whole.mean() > _MOSTLY or are_least.mean() > _HALF)


def shares_of_deciles(label_counts: np.ndarray) -> tuple[float, ...]:
    """Returns each tenth's share of all pairs, the most frequent tenth first.

    Args:
        label_counts: [L], in how many instances each label occurs; labels
            that never occur are left out.
    """
    counts = np.sort(label_counts[label_counts > 0])[::-1]
    tenths = [float(part.sum()) for part in np.array_split(counts, 10)]
    return tuple(part / max(sum(tenths), 1) for part in tenths)
