"""Sigmoid cross-entropy and its gradient in one pass over the logits.

# N instances, B outputs of a block, P positives

With t in [-0.5, 0.5], 2^t is a polynomial that is exact to 2e-9, and with e in
[0, 1] so is log(1 + e) / e to 5e-9: both fitted at Chebyshev's nodes.
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled

LANES = 16  # partial sums, so that no addition waits for the one before it

_LOG2_E = np.float32(1 / np.log(2))
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_LEAST = np.float32(-126)  # of exponents of normal numbers
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)
_POWER_1 = np.float32(0.6931471824645996)
_POWER_2 = np.float32(0.24022650718688965)
_POWER_3 = np.float32(0.05550327152013779)
_POWER_4 = np.float32(0.00961802527308464)
_POWER_5 = np.float32(0.0013400432653725147)
_POWER_6 = np.float32(0.00015469732170458883)
_LOG_1 = np.float32(-0.4999990463256836)
_LOG_2 = np.float32(0.33330005407333374)
_LOG_3 = np.float32(-0.24954558908939362)
_LOG_4 = np.float32(0.19678117334842682)
_LOG_5 = np.float32(-0.15311862528324127)
_LOG_6 = np.float32(0.10614264756441116)
_LOG_7 = np.float32(-0.057064201682806015)
_LOG_8 = np.float32(0.019907161593437195)
_LOG_9 = np.float32(-0.003256378462538123)


@compiled.loop
def sigmoid_cross_entropy(
    products: np.ndarray,
    bias: np.ndarray,
    weights: np.ndarray,
    gradients: np.ndarray,
    bias_gradients: np.ndarray,
) -> float:
    """Returns the loss of rows without positives; writes its gradients.

    Args:
        products: [N, B], the logits but for the bias.
        bias: [B].
        weights: [N] of the instances.
        gradients: [N, B] of the logits, which are written.
        bias_gradients: [B], to which they are added.
    """
    num_outputs = products.shape[1]
    losses = np.zeros(-(-num_outputs // LANES) * LANES, np.float32)
    sums = np.empty(LANES, np.float32)
    total = 0.0
    for row in range(len(products)):
        row_products, row_gradients = products[row], gradients[row]
        weight = weights[row]
        for output in range(num_outputs):
            logit = row_products[output] + bias[output]
            exponent = max(-abs(logit) * _LOG2_E, _LEAST)
            whole = np.floor(exponent + _HALF)
            t = exponent - whole
            power = _POWER_5 + t * _POWER_6
            power = _POWER_2 + t * (_POWER_3 + t * (_POWER_4 + t * power))
            power = _ONE + t * (_POWER_1 + t * power)
            bits = (np.int32(whole) + _BIAS) << _MANTISSA_BITS
            e = power * np.int32(bits).view(np.float32)  # exp(-|logit|)
            share = _ONE / (_ONE + e)
            p = share if logit >= _ZERO else e * share
            gradient = weight * p
            row_gradients[output] = gradient
            bias_gradients[output] += gradient
            log = _LOG_6 + e * (_LOG_7 + e * (_LOG_8 + e * _LOG_9))
            log = _LOG_3 + e * (_LOG_4 + e * (_LOG_5 + e * log))
            log = _ONE + e * (_LOG_1 + e * (_LOG_2 + e * log))
            losses[output] = max(logit, _ZERO) + e * log
        for lane in range(LANES):
            sums[lane] = 0
        for start in range(0, len(losses), LANES):
            for lane in range(LANES):
                sums[lane] += losses[start + lane]
        for lane in range(LANES):
            total += weight * sums[lane]
    return total


@compiled.loop
def subtract_positives(
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    products: np.ndarray,
    bias: np.ndarray,
    gradients: np.ndarray,
    bias_gradients: np.ndarray,
) -> float:
    """Returns the weighted sum of the positives' logits.

    Args:
        rows, columns, weights: [P] of the positives.
        products, bias: see `sigmoid_cross_entropy`.
        gradients, bias_gradients: what it writes, from which the weights are
            subtracted.
    """
    total = 0.0
    for position in range(len(rows)):
        row, column = rows[position], columns[position]
        weight = weights[position]
        gradients[row, column] -= weight
        bias_gradients[column] -= weight
        total += weight * (products[row, column] + bias[column])
    return total
