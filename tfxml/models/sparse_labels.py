"""Sets of labels in the forms that Keras' losses and metrics receive.

# N instances, L labels, P the most labels of an instance

Never dense [N, L]: ragged ids [N, (P)], ids padded with -1 [N, P], or a sparse
tensor [N, L] whose nonzero entries are the labels.
"""

from __future__ import annotations

import tensorflow as tf

from tfxml.models import contract


def positives_of(
    label_ids: tf.RaggedTensor | tf.SparseTensor | tf.Tensor,
    weights: tf.Tensor,
) -> contract.Positives:
    """Returns the labels of a batch as rows, columns and weights.

    Args:
        label_ids: ragged, padded or sparse.
        weights: [N], of the instances.
    """
    if isinstance(label_ids, tf.SparseTensor):
        rows = tf.cast(label_ids.indices[:, 0], tf.int32)
        columns = tf.cast(label_ids.indices[:, 1], tf.int32)
        is_label = tf.cast(tf.not_equal(label_ids.values, 0), weights.dtype)
        return contract.Positives(
            rows, columns, tf.gather(weights, rows) * is_label
        )
    if isinstance(label_ids, tf.RaggedTensor):
        rows = tf.cast(label_ids.value_rowids(), tf.int32)
        columns = tf.cast(label_ids.flat_values, tf.int32)
        return contract.Positives(rows, columns, tf.gather(weights, rows))
    columns = tf.cast(label_ids, tf.int32)
    rows = tf.broadcast_to(
        tf.range(tf.shape(columns)[0])[:, None], tf.shape(columns)
    )
    is_label = tf.cast(columns >= 0, weights.dtype)
    return contract.Positives(
        rows, tf.maximum(columns, 0), weights[:, None] * is_label
    )


def padded(
    label_ids: tf.RaggedTensor | tf.SparseTensor | tf.Tensor,
) -> tf.Tensor:
    """Returns the ids of a batch padded with -1, [N, P] int32."""
    if isinstance(label_ids, tf.SparseTensor):
        labels = tf.sparse.retain(label_ids, tf.not_equal(label_ids.values, 0))
        label_ids = tf.RaggedTensor.from_value_rowids(
            labels.indices[:, 1], labels.indices[:, 0], labels.dense_shape[0]
        )
    if isinstance(label_ids, tf.RaggedTensor):
        label_ids = label_ids.to_tensor(-1)
    return tf.cast(label_ids, tf.int32)


def row_weights(
    label_ids: tf.RaggedTensor | tf.SparseTensor | tf.Tensor,
    sample_weight: tf.Tensor | None,
) -> tf.Tensor:
    """Returns the weights of the instances, [N]; ones if none are given."""
    if sample_weight is not None:
        return tf.reshape(tf.cast(sample_weight, tf.float32), [-1])
    if isinstance(label_ids, tf.RaggedTensor):
        num_instances = label_ids.nrows()
    elif isinstance(label_ids, tf.SparseTensor):
        num_instances = label_ids.dense_shape[0]
    else:
        num_instances = tf.shape(label_ids)[0]
    return tf.ones([num_instances], tf.float32)


def shares(
    positives: contract.Positives, num_rows: tf.Tensor, weights: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns each positive's share of its row's weight, and rows' totals.

    The total of a row is its weight, or 0 where it has no positive.
    """
    is_label = tf.cast(positives.weights > 0, weights.dtype)
    counts = tf.math.unsorted_segment_sum(is_label, positives.rows, num_rows)
    shares = positives.weights / tf.gather(
        tf.maximum(counts, 1.0), positives.rows
    )
    return shares, tf.where(counts > 0, weights, 0.0)


def head_of(
    y_pred: tf.Tensor, head: contract.Head | None
) -> contract.Head | None:
    """Returns the head that made logits, for losses and metrics of Keras.

    None for logits [N, L], which need no head, and while Keras only infers
    shapes.

    Raises:
        ValueError: if bucket logits come without their head.
    """
    known_head = head or contract.head_of(y_pred)
    if (
        known_head is None
        and y_pred.shape.rank != 2
        and not is_shape_inference()
    ):
        raise ValueError(
            "`head` must be given to losses and metrics whose model changes "
            "the output of a MachHead, as in "
            "`SparseSigmoidCrossEntropy(head=head)`. Received: logits of shape "
            f"{y_pred.shape} that no longer know their head"
        )
    return known_head


def is_shape_inference() -> bool:
    """Tells whether Keras runs a function only to learn its shapes.

    It does so in a scratch graph, on placeholders that know no head.
    """
    graph = tf.compat.v1.get_default_graph()
    return "scratch_graph" in getattr(graph, "name", "")
