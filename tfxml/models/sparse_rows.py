"""Products of sparse rows with a kernel, in the cheapest form.

# N instances, D features, E features of all rows, U distinct features of a
# batch, H units

Five forms of the same matrix [N, D]:

* dense: a scatter, then a matrix product. Best where D is small.
* compact: the batch's distinct features become the columns of a CSR matrix
  [N, U]. Only U rows of the kernel are read, and the gradient has U rows. Best
  where D is large, on CPUs and GPUs.
* host: the rows unchanged, multiplied by a function that is given. For training
  on a CPU: it takes the place of the compact form inside `multiplied_by`.
* padded: a gather and a weighted sum with static shapes, as XLA needs them.
* ragged: the rows unchanged, for layers that look features up one by one.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from tfxml.models import device_scope, row_forms, sites

# A dense product takes about 2e-11 s per row, feature and unit, a compact one
# about 2e-9 s per row, stored feature and unit (2 cores; forward and backward).
_DENSE_FEATURES_PER_STORED = 50


class CompactRows(NamedTuple):
    """A CSR matrix [N, U] over the batch's distinct features."""

    feature_ids: tf.Tensor  # [U]
    indices: tf.Tensor  # [E, 2] int64: row and column
    values: tf.Tensor  # [E]
    num_rows: tf.Tensor  # scalar int64


class HostRows(NamedTuple):
    """Rows [N, D] that a function of the host multiplies."""

    feature_ids: tf.Tensor  # [E]
    values: tf.Tensor  # [E]
    splits: tf.Tensor  # [N + 1] int64
    product: Product


# From rows and a table [D, H] to their product [N, H].
Product: TypeAlias = Callable[[HostRows, tf.Tensor], tf.Tensor]

# Replicas of one process run in threads, each with its own context.
_current_product: contextvars.ContextVar[Product | None] = (
    contextvars.ContextVar("product", default=None)
)


class PaddedRows(NamedTuple):
    """Rows of at most K features, padded with id 0 and value 0."""

    feature_ids: tf.Tensor  # [N, K]
    values: tf.Tensor  # [N, K]


@contextlib.contextmanager
def multiplied_by(product: Product | None) -> Iterator[None]:
    """Sets what multiplies compact rows that are arranged meanwhile.

    Args:
        product: a function of arrays in this process, which no saved graph can
            hold; None: TensorFlow's operations.
    """
    token = _current_product.set(product)
    try:
        yield
    finally:
        _current_product.reset(token)


def choose_form(num_features: int, features_per_row: float) -> str:
    """Returns `dense` if a dense product is cheaper, else `compact`."""
    limit = _DENSE_FEATURES_PER_STORED * max(features_per_row, 1.0)
    return "dense" if num_features <= limit else "compact"


def arrange(
    feature_ids: tf.RaggedTensor | tf.Tensor,
    feature_values: tf.RaggedTensor | tf.Tensor,
    num_features: int,
    form: str,
) -> CompactRows | HostRows | PaddedRows | row_forms.RaggedRows | tf.Tensor:
    """Returns the rows in `form`; padded rows come as [N, K] tensors.

    Padded rows stay padded, unless `form` is `dense`.

    Args:
        feature_ids, feature_values: ragged or padded.
        num_features: D.
        form: one of `row_forms.FORMS`, or `ragged`.

    Raises:
        ValueError: if `form` is unknown, or is `padded` and the rows are not.
    """
    forms = (*row_forms.FORMS, "ragged")
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
        return row_forms.RaggedRows(
            feature_ids.flat_values,
            feature_values.flat_values,
            feature_ids.row_splits,
        )
    product = _current_product.get()
    if product is not None:
        return HostRows(
            feature_ids.flat_values,
            feature_values.flat_values,
            feature_ids.row_splits,
            product,
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
    rows: CompactRows | HostRows | PaddedRows | tf.Tensor,
    tables: Sequence[tf.Tensor],
    places: Sequence[sites.Place | None] = (),
) -> tf.Tensor:
    """Returns rows [N, D] times the kernel [D, H], [N, H].

    Unless the rows are dense, only the rows of the kernel that the batch needs
    are read, and gradients are `IndexedSlices`.

    Args:
        rows: as `arrange` returns them, but not ragged.
        tables: the variables of the kernel, each a run of its rows.
        places: of the tables, which are read and multiplied there; none: here.
    """
    places = places or [None] * len(tables)
    if isinstance(rows, HostRows):
        return rows.product(
            rows, tables[0] if len(tables) == 1 else tf.concat(tables, axis=0)
        )
    if isinstance(rows, CompactRows):
        kernel_rows = _gather(tables, rows.feature_ids, places)  # [U, H]
        return _csr_matmul(
            rows.indices, rows.values, rows.num_rows, kernel_rows
        )
    if isinstance(rows, PaddedRows):
        kernel_rows = _gather(tables, rows.feature_ids, places)  # [N, K, H]
        return tf.einsum("nk,nkh->nh", rows.values, kernel_rows)
    if len(tables) == 1:
        return tf.matmul(rows, tables[0])
    columns = tf.split(rows, [table.shape[0] for table in tables], axis=1)
    return tf.add_n(
        [
            _product_at(place, part, table)
            for part, table, place in zip(columns, tables, places, strict=True)
        ]
    )


def _product_at(
    place: sites.Place | None, rows: tf.Tensor, table: tf.Tensor
) -> tf.Tensor:
    """Returns rows [N, D] times a table [D, H], both ways at its place.

    The gradient of a plain product would be computed elsewhere.
    """

    @tf.custom_gradient
    def product(table):
        def gradient(upstream):
            with device_scope.computing(place):
                return tf.matmul(rows, upstream, transpose_a=True)

        return tf.matmul(rows, table), gradient

    with device_scope.computing(place):
        return product(tf.convert_to_tensor(table))


def _gather(tables: Sequence, ids: tf.Tensor, places: Sequence) -> tf.Tensor:
    """Returns rows of the kernel, each read from the table that holds it."""
    if len(tables) == 1:
        return tf.gather(tables[0], ids)
    rows_per_table = tables[0].shape[0]
    flat_ids = tf.reshape(ids, [-1])
    owners = flat_ids // rows_per_table
    positions = tf.dynamic_partition(
        tf.range(tf.size(flat_ids)), owners, len(tables)
    )
    rows = []
    for index, (table, table_positions, place) in enumerate(
        zip(tables, positions, places, strict=True)
    ):
        row_numbers = tf.gather(flat_ids, table_positions)
        with device_scope.computing(place):
            rows.append(tf.gather(table, row_numbers - index * rows_per_table))
    stitched = tf.dynamic_stitch(positions, rows)
    units = tables[0].shape[1]
    return tf.reshape(stitched, tf.concat([tf.shape(ids), [units]], 0))


def normalize(values: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns the rows' values scaled to length 1; empty rows stay empty."""
    squares = tf.reduce_sum(values * values, axis=1)
    norms = tf.sqrt(tf.where(squares > 0, squares, 1.0))
    return values / tf.expand_dims(norms, 1)


def _to_dense(feature_ids, feature_values, num_features: int) -> tf.Tensor:
    """Returns rows as [N, D]; repeated features add up, padding adds zero."""
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

    The gradient transposes the matrix first: with `transpose_a` TensorFlow's op
    sums in an order that changes from run to run. A matrix without elements (a
    replica without instances, documents without a known word) is not
    multiplied: TensorFlow's op would divide by zero and end the process.
    """
    has_elements = tf.size(values) > 0

    @tf.custom_gradient
    def product(kernel):
        shape = tf.stack([num_rows, tf.shape(kernel, tf.int64)[0]])

        def matrix():
            # Built in each branch: a saved graph cannot pass one into it.
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
