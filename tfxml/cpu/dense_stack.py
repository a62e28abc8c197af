"""The forward pass of dense stacks.

# N instances, D features, H units
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import sums, threads, weight_arrays
from tfxml.models import forms, sparse_rows


class DenseStack:
    """What a `forms.DenseStack` computes, without dropout."""

    def __init__(self, form: forms.DenseStack):
        self._hash = form.feature_hash
        self._table = weight_arrays.joined(form.tables)
        self._kernels = [weight_arrays.array(one) for one in form.kernels]
        self._biases = [weight_arrays.array(one) for one in form.biases]
        self._is_residual = form.is_residual

    def __call__(
        self, rows: sparse_rows.RaggedRows, share: threads.Threads
    ) -> np.ndarray:
        """Returns [N, H + 1]: its output, and a 1."""
        if self._hash is not None:
            hashed = self._hash.buckets(rows.feature_ids).astype(np.uint32)
            rows = rows._replace(feature_ids=hashed)
        hidden = sparse_product(rows, self._table, self._biases[0], share)
        np.maximum(hidden, 0, out=hidden)
        for kernel, bias in zip(self._kernels, self._biases[1:], strict=True):
            output = np.maximum(hidden @ kernel + bias, 0)
            if self._is_residual and hidden.shape[1] == output.shape[1]:
                output += hidden
            hidden = output
        return np.hstack([hidden, np.ones((len(hidden), 1), np.float32)])


def sparse_product(
    rows: sparse_rows.RaggedRows,
    kernel: np.ndarray,
    bias: np.ndarray,
    share: threads.Threads,
) -> np.ndarray:
    """Returns rows [N, D] times the kernel [D, H] plus the bias, [N, H]."""
    product = np.empty((len(rows.splits) - 1, len(bias)), np.float32)

    def add(some: slice) -> None:
        product[some] = bias
        sums.add_products(
            rows.splits[some.start : some.stop + 1],
            rows.feature_ids,
            rows.values,
            kernel,
            product[some],
        )

    share.over(len(product), add)
    return product
