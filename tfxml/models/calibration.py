"""The one place where what labels are ranked by becomes their scores.

# N instances, K labels

Heads and the re-ranker return estimates, which only rank. What users see is
made here, for TensorFlow's graphs, for the compiled CPU path and for exports
alike; calibration of scores belongs here and nowhere else.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import tensorflow as tf

# Beyond it a float32 probability is 1 or 0 for all that matters, and the
# re-ranker lets no head be surer than that.
LARGEST_LOGIT = 15.0

SIGMOID = "sigmoid"  # estimates are logits
IDENTITY = "identity"  # estimates are shown as they are
LINKS = (SIGMOID, IDENTITY)


def scores(estimates: tf.Tensor, link: str) -> tf.Tensor:
    """Returns the scores of estimates [N, K]."""
    check_link(link)
    return tf.nn.sigmoid(estimates) if link == SIGMOID else estimates


def array_scores(estimates: np.ndarray, link: str) -> np.ndarray:
    """Returns what `scores` does, of an array."""
    check_link(link)
    return sigmoid(estimates) if link == SIGMOID else estimates


def logits(estimates: tf.Tensor, link: str) -> tf.Tensor:
    """Returns estimates [N, K] as logits in [-15, 15].

    For the re-ranker, which adds its margins to them.
    """
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
