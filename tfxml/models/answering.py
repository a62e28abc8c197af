"""Which of the ranked labels an export answers with, as operations.

# N instances, K ranked labels, L labels

`predict` decides it in NumPy (`tfxml.run.set_choices`); an export carries the
same thresholds in its graph, in operations that every runtime has.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

# Thresholds are stored as whole numbers of this unit, because converters
# narrow floats and leave whole numbers as they are. float32 holds it exactly.
UNIT = 2.0**-24
EVEN_ODDS = 0.5  # the threshold of a run that has none
_LARGEST = 64.0  # no score comes near it, and its units fit into int32


@dataclasses.dataclass(frozen=True)
class Answering:
    """The scores from which on labels are answered, and instances at all.

    Attributes:
        threshold: of labels that have none of their own.
        label_ids: labels with thresholds of their own.
        thresholds: theirs.
        abstain_below: an instance whose best score is below it is answered
            with none of the labels.

    Raises:
        ValueError: if labels and their thresholds are not as many.
    """

    threshold: float = EVEN_ODDS
    label_ids: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()
    abstain_below: float = 0.0

    def __post_init__(self):
        if len(self.label_ids) != len(self.thresholds):
            raise ValueError(
                "`thresholds` must be as many as `label_ids`. Received: "
                f"{len(self.thresholds)} and {len(self.label_ids)}"
            )

    def table(self, num_labels: int) -> np.ndarray | None:
        """Returns the units of each label, [L] int32; None: all the same."""
        if not self.label_ids:
            return None
        table = np.full(num_labels, _units(self.threshold), np.int32)
        table[list(self.label_ids)] = _units(self.thresholds)
        return table

    def is_answered(
        self,
        scores: tf.Tensor,
        label_ids: tf.Tensor,
        table: tf.Tensor | tf.Variable | None,
    ) -> tf.Tensor:
        """Tells which ranked labels are answered, [N, K] bool.

        Args:
            scores: [N, K], best first.
            label_ids: [N, K].
            table: what `table` returns, as a tensor or a variable.
        """
        import tensorflow as tf  # here: arrays need no TensorFlow

        if table is None:
            limits = tf.constant(_units(self.threshold) * UNIT, tf.float32)
        else:
            limits = tf.cast(tf.gather(table, label_ids), tf.float32) * UNIT
        least = tf.constant(_units(self.abstain_below) * UNIT, tf.float32)
        return (scores >= limits) & (scores[:, :1] >= least)


def _units(scores) -> np.ndarray:
    """Returns scores as whole units, rounded up."""
    within = np.clip(np.asarray(scores, np.float64), -_LARGEST, _LARGEST)
    return np.ceil(within / UNIT).astype(np.int32)
