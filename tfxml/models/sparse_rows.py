"""The product of sparse rows with a kernel, in the form that costs least.

# N instances, D features, U distinct features of a batch, H units

Four forms of the same matrix [N, D]:

* dense: one scatter, then a matrix product. Best where D is small.
* compact: the batch's distinct features become columns of a CSR matrix
  [N, U]; only U rows of the kernel are read, and the gradient has U rows.
  Best where D is large, on CPUs and GPUs.
* padded: a gather and a weighted sum over static shapes, which XLA can lower.
* ragged: the rows as they come, for what looks their features up one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

# A dense product costs about 2e-11 s a row, feature and unit; the compact one
# about 2e-9 s a row, stored feature and unit (2 cores; both passes).
_DENSE_FEATURES_PER_STORED = 50

FORMS = ("dense", "compact", "padded")  # of a product
_ROWS_OF_CHUNK = 32


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
    """Rows as they come; no product is made of them."""

    feature_ids: tf.Tensor  # [E]
    values: tf.Tensor  # [E]
    splits: tf.Tensor  # [N + 1] int64


class Chunk(NamedTuple):
    """Some rows that follow one another."""

    first: tf.Tensor  # scalar int32: which row is the first
    num_rows: tf.Tensor  # scalar int32
    feature_ids: tf.Tensor  # [E]
    values: tf.Tensor  # [E]
    splits: tf.Tensor  # [rows + 1] int64, from 0
    owners: tf.Tensor  # [E] int32: which of these rows an element is of

    def of(self, whole: tf.Tensor) -> tf.Tensor:
        """Returns these rows' part of a tensor [N, ...]."""
        return whole[self.first : self.first + self.num_rows]


def choose_form(num_features: int, features_per_row: float) -> str:
    """Returns `dense` where a dense product is cheaper, else `compact`."""
    limit = _DENSE_FEATURES_PER_STORED * max(features_per_row, 1.0)
    return "dense" if num_features <= limit else "compact"


def arrange(
    feature_ids: tf.RaggedTensor | tf.Tensor,
    feature_values: tf.RaggedTensor | tf.Tensor,
    num_features: int,
    form: str,
) -> CompactRows | PaddedRows | RaggedRows | tf.Tensor:
    """Returns the rows in `form`; padded rows come as [N, K] tensors.

    Rows that come padded stay so, unless a dense product is wanted.

    Raises:
        ValueError: if `form` is unknown, or ragged rows should be padded.
    """
    forms = (*FORMS, "ragged")
    if form not in forms:
        raise ValueError(f"`form` must be one of {forms}. Received: {form=}")
    if form == "dense":
        return _to_dense(feature_ids, feature_values, num_features)
    if not isinstance(feature_ids, tf.RaggedTensor):
        return PaddedRows(feature_ids, feature_values)
    if form == "padded":
        raise ValueError(
            "`feature_ids` must be a padded tensor for form='padded'. "
            f"Received: feature_ids={feature_ids}"
        )
    if form == "ragged":
        return RaggedRows(
            feature_ids.flat_values,
            feature_values.flat_values,
            feature_ids.row_splits,
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


def matmul(
    rows: CompactRows | PaddedRows | tf.Tensor, tables: Sequence[tf.Tensor]
) -> tf.Tensor:
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


def map_chunks(
    function: Callable[[Chunk], tuple[tf.Tensor, ...]],
    rows: RaggedRows,
    specs: tuple[tf.TensorSpec, ...],
) -> list[tf.Tensor]:
    """Returns what `function` makes of some rows at a time, joined.

    So that what it makes in between stays in a processor's caches.

    Args:
        function: takes a `Chunk` and returns tensors [rows of it, ...].
        rows: all of them.
        specs: of the tensors that `function` returns.
    """
    num_rows = tf.size(rows.splits, tf.int32) - 1
    num_chunks = tf.maximum(-(-num_rows // _ROWS_OF_CHUNK), 1)

    def add(number, *found):
        first = number * _ROWS_OF_CHUNK
        last = tf.minimum(first + _ROWS_OF_CHUNK, num_rows)
        splits = rows.splits[first : last + 1]
        some = slice(splits[0], splits[-1])
        owners = tf.searchsorted(
            splits[1:],
            tf.range(splits[0], splits[-1]),
            side="right",
            out_type=tf.int32,
        )
        chunk = Chunk(
            first,
            last - first,
            rows.feature_ids[some],
            rows.values[some],
            splits - splits[0],
            owners,
        )
        parts = function(chunk)
        return number + 1, *(
            array.write(number, part)
            for array, part in zip(found, parts, strict=True)
        )

    arrays = [
        tf.TensorArray(
            spec.dtype,
            num_chunks,
            infer_shape=False,
            element_shape=spec.shape,
        )
        for spec in specs
    ]
    _, *found = tf.while_loop(
        lambda number, *_: number < num_chunks, add, (0, *arrays)
    )
    return [
        tf.ensure_shape(array.concat(), spec.shape)
        for array, spec in zip(found, specs, strict=True)
    ]


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
