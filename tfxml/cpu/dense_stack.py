"""The forward pass of dense layers over sparse rows.

# N instances, D features, H units
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import sums, threads, weight_arrays
from tfxml.models import forms, row_forms


class DenseStack:
    """The layers that a `forms.DenseStack` describes, without dropout."""

    def __init__(self, form: forms.DenseStack):
        self._hash = form.feature_hash
        self._table = weight_arrays.joined(form.tables)
        # Inputs end in a 1, which stands for the bias.
        first_bias, *biases = map(weight_arrays.array, form.biases)
        self._bias = np.append(first_bias, np.float32(1))
        self._kernels = [
            np.vstack([weight_arrays.array(kernel), bias])
            for kernel, bias in zip(form.kernels, biases, strict=True)
        ]
        self._is_residual = form.is_residual

    def __call__(
        self, rows: row_forms.RaggedRows, pool: threads.Threads
    ) -> np.ndarray:
        """Returns its output and a 1, which stands for the bias, [N, H + 1]."""
        if self._hash is not None:
            hashed = self._hash.buckets(rows.feature_ids).astype(np.uint32)
            rows = rows._replace(feature_ids=hashed)
        hidden = sparse_product(rows, self._table, self._bias, pool)
        np.maximum(hidden, 0, out=hidden)
        for kernel in self._kernels:
            output = np.ones((len(hidden), kernel.shape[1] + 1), np.float32)
            np.maximum(hidden @ kernel, 0, out=output[:, :-1])
            if self._is_residual and hidden.shape[1] == output.shape[1]:
                output[:, :-1] += hidden[:, :-1]
            hidden = output
        return hidden


def sparse_product(
    rows: row_forms.RaggedRows,
    kernel: np.ndarray,
    bias: np.ndarray,
    pool: threads.Threads,
) -> np.ndarray:
    """Returns rows [N, D] times the kernel [D, H] plus the bias, [N, H].

    A longer bias gives further columns.
    """
    product = np.empty((len(rows.splits) - 1, len(bias)), np.float32)

    def add(rows_of_thread: slice) -> None:
        product[rows_of_thread] = bias
        sums.add_products(
            rows.splits[rows_of_thread.start : rows_of_thread.stop + 1],
            rows.feature_ids,
            rows.values,
            kernel,
            product[rows_of_thread],
        )

    pool.over(len(product), add)
    return product
