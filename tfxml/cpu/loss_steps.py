"""Losses of a training step and their gradients, over arrays.

# N instances, B outputs of a block, P positives
"""

from __future__ import annotations

import threading

import numpy as np

from tfxml.cpu import buffers, loss_loops, threads


class SigmoidCrossEntropy:
    """What `losses.SigmoidCrossEntropy` computes, in one pass."""

    def __init__(self):
        self._lock = threading.Lock()  # blocks may run at the same time
        self._buffers = buffers.Buffers()

    def __call__(
        self,
        products: np.ndarray,
        bias: np.ndarray,
        weights: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray,
        positive_weights: np.ndarray,
    ) -> tuple[np.float32, np.ndarray, np.ndarray]:
        """Returns the loss, and its gradients of logits and of the bias.

        Args:
            products: [N, B], the logits but for the bias.
            bias: [B].
            weights: [N] of the instances.
            rows, columns, positive_weights: [P] of the positives.
        """
        with self._lock:
            gradients = self._buffers.take(*products.shape)
        parts: list[tuple[int, float, np.ndarray]] = []

        def run(part: slice) -> None:
            of_bias = np.zeros(len(bias), np.float32)
            loss = loss_loops.sigmoid_cross_entropy(
                products[part], bias, weights[part], gradients[part], of_bias
            )
            parts.append((part.start, loss, of_bias))

        threads.of_process().over(len(products), run)
        parts.sort(key=lambda part: part[0])  # the same sum in each run
        bias_gradients = np.sum([part[2] for part in parts], axis=0)
        hits = loss_loops.subtract_positives(
            rows,
            columns,
            positive_weights,
            products,
            bias,
            gradients,
            bias_gradients,
        )
        loss = sum(part[1] for part in parts) - hits
        return np.float32(loss), gradients, bias_gradients
