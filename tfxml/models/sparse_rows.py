"""The product of sparse rows with a kernel, in the form that costs least.

# N instances, D features, U distinct features of a batch, H units

Three forms of the same matrix [N, D]:

* dense: one scatter, then a matrix product. Best where D is small.
* compact: the batch's distinct features become columns of a CSR matrix
  [N, U]; only U rows of the kernel are read, and the gradient has U rows.
  Best where D is large, on CPUs and GPUs.
* padded: a gather and a weighted sum over static shapes, which XLA can lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

# A dense product costs about 2e-11 s a row, feature and unit; the compact one
# about 2e-9 s a row, stored feature and unit (2 cores; both passes).
_DENSE_FEATURES_PER_STORED = 50

FORMS = ("dense", "compact", "padded")


class CompactRows(NamedTuple):
    """A CSR matrix [N, U] over the batch's distinct features."""

    feature_ids: tf.Tensor  # [U]
    indices: tf.Tensor  # [E, 2] int64: row, column among the U
    values: tf.Tensor  # [E]
    num_rows: tf.Tensor  # scalar int64


class PaddedRows(NamedTuple):
    """Rows of at most K features; an unused place has id 0 and value 0."""

    feature_ids: tf.Tensor  # [N, K]
    values: tf.Tensor  # [N, K]


class RaggedRows(NamedTuple):
    """Rows as they come, for what looks features up one by one."""

    feature_ids: tf.Tensor  # [E]
    values: tf.Tensor  # [E]
    splits: tf.Tensor  # [N + 1] int64


def choose_form(num_features: int, features_per_row: float) -> str:
    """Returns `dense` where a dense product is cheaper, else `compact`."""
    limit = _DENSE_FEATURES_PER_STORED * max(features_per_row, 1.0)
    return "dense" if num_features <= limit else "compact"


def arrange(
    feature_ids: tf.RaggedTensor | tf.Tensor,
    feature_values: tf.RaggedTensor | tf.Tensor,
    num_features: int,
    form: str,
):
    """Returns the rows in `form`; padded rows come as [N, K] tensors.

    Raises:
        ValueError: if `form` is unknown, or ragged rows should be padded.
    """
    if form not in FORMS:
        raise ValueError(f"`form` must be one of {FORMS}. Received: {form=}")
    if form == "dense":
        return _to_dense(feature_ids, feature_values, num_features)
    if not isinstance(feature_ids, tf.RaggedTensor):
        return PaddedRows(feature_ids, feature_values)
    if form == "padded":
        raise ValueError(
            "`feature_ids` must be a padded tensor for form='padded'. "
            f"Received: feature_ids={feature_ids}"
        )
    distinct, columns = tf.unique(feature_ids.flat_values)
    rows = feature_ids.value_rowids()
    indices = tf.stack([rows, tf.cast(columns, rows.dtype)], axis=1)
    return CompactRows(
        distinct,
        tf.cast(indices, tf.int64),
        feature_values.flat_values,
        tf.cast(feature_ids.nrows(), tf.int64),
    )


def matmul(rows, tables: Sequence) -> tf.Tensor:
    """Returns rows [N, D] times the kernel [D, H], [N, H].

    `tables` are the variables that hold the kernel, in runs of rows: only the
    rows that the batch needs are read, and the gradients are `IndexedSlices`
    unless the rows are dense.
    """
    if isinstance(rows, CompactRows):
        needed = _gather(tables, rows.feature_ids)  # [U, H]
        return _csr_matmul(rows.indices, rows.values, rows.num_rows, needed)
    if isinstance(rows, PaddedRows):
        needed = _gather(tables, rows.feature_ids)  # [N, K, H]
        return tf.einsum("nk,nkh->nh", rows.values, needed)
    whole = tables[0] if len(tables) == 1 else tf.concat(tables, axis=0)
    return tf.matmul(rows, whole)


def _gather(tables: Sequence, ids: tf.Tensor) -> tf.Tensor:
    """Returns the kernel's rows `ids`, each read from the table it lies in."""
    if len(tables) == 1:
        return tf.gather(tables[0], ids)
    each = tables[0].shape[0]
    flat = tf.reshape(ids, [-1])
    owners = flat // each
    places = tf.dynamic_partition(tf.range(tf.size(flat)), owners, len(tables))
    rows = [
        tf.gather(table, tf.gather(flat, place) - index * each)
        for index, (table, place) in enumerate(zip(tables, places, strict=True))
    ]
    found = tf.dynamic_stitch(places, rows)
    units = tables[0].shape[1]
    return tf.reshape(found, tf.concat([tf.shape(ids), [units]], 0))


def normalize(values: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the rows' values scaled to length 1; empty rows stay empty."""
    squares = tf.reduce_sum(values * values, axis=1)
    norms = tf.sqrt(tf.where(squares > 0, squares, 1.0))
    return values / tf.expand_dims(norms, 1)


def _to_dense(feature_ids, feature_values, num_features: int) -> tf.Tensor:
    """Returns [N, D]; repeated features add up, padding adds zero."""
    if isinstance(feature_ids, tf.RaggedTensor):
        num_rows = feature_ids.nrows()
        row_ids = feature_ids.value_rowids()
        ids, values = feature_ids.flat_values, feature_values.flat_values
    else:
        shape = tf.shape(feature_ids)
        num_rows = shape[0]
        row_ids = tf.repeat(tf.range(num_rows), shape[1])
        ids = tf.reshape(feature_ids, [-1])
        values = tf.reshape(feature_values, [-1])
    indices = tf.stack([tf.cast(row_ids, ids.dtype), ids], axis=1)
    shape = tf.stack([tf.cast(num_rows, ids.dtype), num_features])
    return tf.scatter_nd(indices, values, shape)


def _csr_matmul(indices, values, num_rows, kernel):
    """Returns the CSR matrix times `kernel` [U, H], with a CSR gradient.

    The gradient transposes the matrix first: the kernel's own `transpose_a`
    sums in an order that changes from run to run. Without an element (a
    replica without instances, a document without a known word) nothing is
    multiplied: the kernel would divide by zero and end the process.
    """
    has_elements = tf.size(values) > 0

    @tf.custom_gradient
    def product(kernel):
        shape = tf.stack([num_rows, tf.shape(kernel, tf.int64)[0]])

        def matrix():
            # Made where it is used: a saved graph passes none into a branch.
            return tf.raw_ops.SparseTensorToCSRSparseMatrix(
                indices=indices, values=values, dense_shape=shape
            )

        def gradient(upstream):
            def transposed_product():
                transposed = tf.raw_ops.SparseMatrixTranspose(
                    input=matrix(), type=upstream.dtype
                )
                return tf.raw_ops.SparseMatrixMatMul(a=transposed, b=upstream)

            return tf.cond(
                has_elements, transposed_product, lambda: tf.zeros_like(kernel)
            )

        result = tf.cond(
            has_elements,
            lambda: tf.raw_ops.SparseMatrixMatMul(a=matrix(), b=kernel),
            lambda: tf.zeros([num_rows, kernel.shape[1]], kernel.dtype),
        )
        return tf.ensure_shape(result, [None, kernel.shape[1]]), gradient

    return product(kernel)
