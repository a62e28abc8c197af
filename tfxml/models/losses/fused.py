"""A loss whose gradients are made while the logits are at hand.

# N instances, H units, B outputs of a block
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import tensorflow as tf

from tfxml.models import contract

# With fewer, the call of a function of the host takes more than its loops save.
_FEWEST_OUTPUTS = 1000

# From products [N, B], to which the bias [B] is still to be added, positives
# and weights [N] to the loss and its gradients of logits and bias.
HostLoss: TypeAlias = Callable[
    [tf.Tensor, tf.Tensor, contract.Positives, tf.Tensor],
    tuple[tf.Tensor, tf.Tensor, tf.Tensor],
]

# Replicas of one process run in threads, each with its own context.
_host_losses: contextvars.ContextVar[Mapping[type, HostLoss]] = (
    contextvars.ContextVar("host_losses", default={})  # noqa: B039
)


@contextlib.contextmanager
def computed_by(host_losses: Mapping[type, HostLoss]) -> Iterator[None]:
    """Sets what computes losses that are traced meanwhile, by their class.

    Args:
        host_losses: functions of arrays in this process, which no saved graph
            can hold.
    """
    token = _host_losses.set(host_losses)
    try:
        yield
    finally:
        _host_losses.reset(token)


def of_product(
    loss: contract.Loss,
    encoded: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    positives: contract.Positives,
    weights: tf.Tensor,
) -> tf.Tensor:
    """Returns the loss of the logits encoded [N, H] x kernel [B, H]^T + bias.

    Forward and backward are one pass: the gradients are made while the block's
    logits are at hand, so that no logits outlive their block. (The skip-loss
    of Renee, Jain et al., MLSys 2023, is the same idea.)
    """

    @tf.custom_gradient
    def value(encoded, kernel, bias):
        products = tf.matmul(encoded, kernel, transpose_b=True)
        host_loss = _host_losses.get().get(type(loss))
        if host_loss is not None and kernel.shape[0] >= _FEWEST_OUTPUTS:
            total, d_logits, d_bias = host_loss(
                products, bias, positives, weights
            )
        else:
            logits = products + bias
            total = loss.value(logits, positives, weights)
            d_logits = loss.logit_gradient(logits, positives, weights)
            d_bias = tf.reduce_sum(d_logits, axis=0)
        d_encoded = tf.matmul(d_logits, kernel)
        d_kernel = tf.matmul(d_logits, encoded, transpose_a=True)

        def gradient(upstream):
            return (
                upstream * d_encoded,
                upstream * d_kernel,
                upstream * d_bias,
            )

        return total, gradient

    if loss.has_logit_gradient:
        return value(encoded, kernel, bias)
    logits = tf.matmul(encoded, kernel, transpose_b=True) + bias
    return loss.value(logits, positives, weights)
