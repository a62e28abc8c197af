"""The one place where what labels are ranked by becomes their scores.

# N instances, K labels

Heads and the re-ranker return estimates, which only rank. What users see is
made here, for TensorFlow's graphs, for the compiled CPU path and for exports
alike; calibration of scores belongs here and nowhere else.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tensorflow as tf

# Beyond it a float32 probability is 1 or 0 for all that matters, and the
# re-ranker lets no head be surer than that.
LARGEST_LOGIT = 15.0

SIGMOID = "sigmoid"  # estimates are logits
IDENTITY = "identity"  # estimates are shown as they are
LINKS = (SIGMOID, IDENTITY)

TEMPERATURE = "temperature"  # logits are scaled
PLATT = "platt"  # scaled and shifted
ISOTONIC = "isotonic"  # mapped by any rising function
METHODS = (TEMPERATURE, PLATT, ISOTONIC)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A map from scores to probabilities that never falls: ranks stay.

    A probability is sigmoid(slope * logit + offset), and then, if there are
    knots, what the line through (knots, values) has there.

    Attributes:
        method: one of `METHODS`.
        slope: above 0; the inverse of a temperature.
        offset: of the logits.
        knots: probabilities, ascending; (): no line.
        values: of the knots, never falling, in [0, 1].

    Raises:
        ValueError: for a map that falls somewhere.
    """

    method: str
    slope: float = 1.0
    offset: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def __post_init__(self):
        if self.method not in METHODS:
            raise ValueError(
                f"`method` must be one of {METHODS}. "
                f"Received: method={self.method!r}"
            )
        numbers = np.array(
            [self.slope, self.offset, *self.knots, *self.values], np.float64
        )
        rises = (
            np.isfinite(numbers).all()
            and self.slope > 0
            and len(self.knots) == len(self.values) != 1
            and (np.diff(self.knots) > 0).all()
            and (np.diff(self.values) >= 0).all()
            and all(0 <= one <= 1 for one in self.values)
        )
        if not rises:
            raise ValueError(f"`Calibration` must not fall. Received: {self}")

    def ramps(self) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """Returns the line as a start and a sum of ramps, [J] each.

        A value is start + sum of slopes * clip(p - knots, 0, widths), which
        every runtime has operations for.
        """
        knots, values = np.array(self.knots), np.array(self.values)
        widths = np.diff(knots)
        slopes = np.diff(values) / widths
        return (
            float(values[0]),
            slopes.astype(np.float32),
            knots[:-1].astype(np.float32),
            widths.astype(np.float32),
        )


def scores(
    estimates: tf.Tensor, link: str, calibration: Calibration | None = None
) -> tf.Tensor:
    """Returns the scores of estimates [N, K]."""
    import tensorflow as tf  # here: arrays need no TensorFlow

    check_link(link)
    if calibration is None:
        return tf.nn.sigmoid(estimates) if link == SIGMOID else estimates
    of_link = logits(estimates, link)
    found = tf.nn.sigmoid(calibration.slope * of_link + calibration.offset)
    if not calibration.knots:
        return found
    start, slopes, knots, widths = calibration.ramps()
    above = tf.minimum(tf.nn.relu(found[..., None] - knots), widths)
    return start + tf.reduce_sum(slopes * above, axis=-1)


def array_scores(
    estimates: np.ndarray, link: str, calibration: Calibration | None = None
) -> np.ndarray:
    """Returns what `scores` does, of an array."""
    check_link(link)
    if calibration is None:
        return sigmoid(estimates) if link == SIGMOID else estimates
    of_link = array_logits(estimates, link)
    found = sigmoid(
        np.float32(calibration.slope) * of_link + np.float32(calibration.offset)
    )
    if not calibration.knots:
        return found
    start, slopes, knots, widths = calibration.ramps()
    above = np.clip(found[..., None] - knots, 0, widths)
    return np.float32(start) + (slopes * above).sum(axis=-1)


def logits(estimates: tf.Tensor, link: str) -> tf.Tensor:
    """Returns estimates [N, K] as logits in [-15, 15].

    For the re-ranker, which adds its margins to them.
    """
    import tensorflow as tf  # here: arrays need no TensorFlow

    check_link(link)
    if link == SIGMOID:
        return tf.clip_by_value(estimates, -LARGEST_LOGIT, LARGEST_LOGIT)
    least = tf.sigmoid(-LARGEST_LOGIT)
    share = tf.clip_by_value(estimates, least, 1 - least)
    return tf.math.log(share) - tf.math.log1p(-share)


def array_logits(estimates: np.ndarray, link: str) -> np.ndarray:
    """Returns what `logits` does, of an array."""
    check_link(link)
    if link == SIGMOID:
        return np.clip(
            estimates, np.float32(-LARGEST_LOGIT), np.float32(LARGEST_LOGIT)
        )
    least = sigmoid(np.float32(-LARGEST_LOGIT))
    share = np.clip(estimates, least, 1 - least)
    return np.log(share) - np.log1p(-share)


def sigmoid(logits_: npt.ArrayLike) -> np.ndarray:
    """Returns the sigmoid of an array."""
    with np.errstate(over="ignore"):  # exp of a large number: the result is 0
        return 1 / (1 + np.exp(np.negative(logits_)))


def check_link(link: str) -> None:
    """Raises ValueError for a link that does not exist."""
    if link not in LINKS:
        raise ValueError(f"`link` must be one of {LINKS}. Received: {link=}")
