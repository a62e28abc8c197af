"""Mixup: training on means of two instances, of their vectors and labels.

# N instances, H units of an encoder

Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018; of encoded
texts: Guo, Mao and Zhang, 2019. Bags and texts are mixed behind the encoder, as
vectors. The loss is the mean of the losses for the labels of both,
which is that of mixed targets for any loss that is linear in them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.stats
import tensorflow as tf

_QUANTILES = 4096


class Pairs(NamedTuple):
    """Which instances are mixed, and how."""

    partners: tf.Tensor  # [N] int32, a permutation
    shares: tf.Tensor  # [N], of the instance itself; the rest: its partner's


def draw(alpha: float, weights: tf.Tensor, seed: tf.Tensor) -> Pairs:
    """Returns partners at random, with shares from Beta(alpha, alpha).

    Args:
        alpha: above 0.
        weights: [N]; rows with weight 0 pad, and nothing is mixed with them.
        seed: [2] int32, a function of the step.
    """
    size = tf.shape(weights)
    seeds = [
        tf.random.experimental.stateless_fold_in(seed, number)
        for number in (7001, 7002)
    ]
    partners = tf.argsort(tf.random.stateless_uniform(size, seeds[0]))
    # By quantiles, as XLA compiles no Gamma variables.
    middles = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    quantiles = scipy.stats.beta.ppf(middles, alpha, alpha)
    places = tf.random.stateless_uniform(
        size, seeds[1], 0, _QUANTILES, tf.int32
    )
    shares = tf.gather(tf.constant(quantiles, weights.dtype), places)
    is_padding = tf.equal(tf.gather(weights, partners), 0)
    return Pairs(partners, tf.where(is_padding, 1.0, shares))


def mixed(encoded: list[tf.Tensor], pairs: Pairs) -> list[tf.Tensor]:
    """Returns the mixed vectors, [N, H] each."""
    shares = pairs.shares[:, None]
    return [
        shares * vectors + (1 - shares) * tf.gather(vectors, pairs.partners)
        for vectors in encoded
    ]
