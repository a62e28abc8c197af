"""The step that every replica takes: gradients of its part of a batch.

# N instances of a replica's batch

A step has three stages, so that the parts of a model may lie on different
devices. The encoders run, each where it lies. Then each part of the head
computes its loss and gradients where it lies, from the encoders' outputs, which
travel there. The gradients of the outputs travel back, and last come those of
the encoders. What is summed is the same, wherever the parts lie.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfxml.data.feeding import pipeline
from tfxml.models import contract, device_scope, dropout_seeds
from tfxml.models import extreme_classifier as classifier_lib
from tfxml.training import gradients as gradients_lib


class _Head(NamedTuple):
    """What the second stage finds."""

    loss: tf.Tensor
    weight_gradients: list[gradients_lib.Gradient]
    # Of each tensor of the encoders' outputs: one from each part that reads it.
    output_gradients: list[list[tf.Tensor]]


def make_replica_step(
    model: classifier_lib.ExtremeClassifier,
    optimizer: keras.optimizers.Optimizer,
    seed: int,
    num_pieces: int = 1,
) -> Callable[[pipeline.Batch, tf.Tensor], tf.Tensor]:
    """Returns a function (batch, step) -> loss, for `strategy.run`.

    It computes the gradients of a replica's part of a batch and updates the
    weights by their sum over the replicas.

    Args:
        model, optimizer: made inside the strategy's scope.
        seed: of the dropout.
        num_pieces: how many pieces of a batch are computed one after another,
            so that only the gradients of all are in memory at once.
    """

    def replica_step(batch: pipeline.Batch, step: tf.Tensor):
        replica = tf.distribute.get_replica_context()
        # The one subtle line: each instance is divided by the true size of the
        # global batch, so that summing the gradients over replicas is exact
        # for uneven and even for empty parts.
        total = tf.reduce_sum(batch.weights)
        if replica.num_replicas_in_sync > 1:
            total = replica.all_reduce(tf.distribute.ReduceOp.SUM, total)
        weights = tf.math.divide_no_nan(batch.weights, total)
        batch = batch._replace(weights=weights)
        dropout_seed = dropout_seeds.of_step(seed, step)
        sums = _gradients(model, _piece(batch, 0, num_pieces), dropout_seed)
        for number in range(1, num_pieces):
            # A piece begins when the one before is done, or all of them would
            # be in memory at once.
            with tf.control_dependencies(tf.nest.flatten(sums, True)):
                piece = _piece(batch, number, num_pieces)
            sums = gradients_lib.added(
                sums,
                _gradients(
                    model,
                    piece,
                    tf.random.experimental.stateless_fold_in(
                        dropout_seed, number
                    ),
                ),
            )
        gradients, loss = sums
        optimizer.apply(gradients, _variables(model))
        return loss

    return replica_step


def _piece(
    batch: pipeline.Batch, number: int, num_pieces: int
) -> pipeline.Batch:
    """Returns one of so many nearly equal pieces of a batch."""
    if num_pieces == 1:
        return batch
    size = batch.weights.shape[0]  # static, where a TPU needs it
    if size is None:
        size = tf.shape(batch.weights)[0]
    first = number * size // num_pieces
    last = (number + 1) * size // num_pieces
    return tf.nest.map_structure(lambda rows: rows[first:last], batch)


def _variables(
    model: classifier_lib.ExtremeClassifier,
) -> list[keras.Variable]:
    """Returns the weights in the order of the gradients."""
    return [
        *(w for encoder in model.encoders for w in encoder.trainable_weights),
        *(w for part in model.head_parts() for w in part.variables),
    ]


def _gradients(
    model: classifier_lib.ExtremeClassifier,
    batch: pipeline.Batch,
    dropout_seed: tf.Tensor,
) -> tuple[list[gradients_lib.Gradient], tf.Tensor]:
    """Returns a gradient for every weight, and the loss.

    Raises:
        ValueError: if the loss does not depend on a weight, which would then
            silently never change.
    """
    tapes = [tf.GradientTape() for _ in model.encoders]
    encoded = model.encode(batch.inputs, dropout_seed, tapes)
    head_stage = _head
    if any(map(device_scope.is_shared, model.head.trainable_weights)):
        head_stage = _shared_head
    head = head_stage(model, encoded, batch, dropout_seed)
    gradients: list = []
    outputs = iter(head.output_gradients)
    for encoder, tape, output in zip(
        model.encoders, tapes, encoded, strict=False
    ):
        # Backward ops are not placed with their forward ops otherwise.
        with device_scope.computing(encoder.place):
            pairs = [
                (tensor, tf.add_n(list(map(tf.convert_to_tensor, of_parts))))
                for tensor, of_parts in zip(
                    _tensors_of(output), outputs, strict=False
                )
                if of_parts
            ]
            weights = encoder.trainable_weights
            gradients += (
                tape.gradient(
                    [tensor for tensor, _ in pairs],
                    weights,
                    [gradient for _, gradient in pairs],
                )
                if pairs
                else [None] * len(weights)
            )
    gradients += head.weight_gradients
    _check(gradients, _variables(model))
    return gradients, head.loss


def _head(
    model: classifier_lib.ExtremeClassifier,
    encoded: list,
    batch: pipeline.Batch,
    dropout_seed: tf.Tensor,
) -> _Head:
    """Returns the head's loss and gradients, each part's where it lies."""
    tensors = _outputs(model, encoded)
    losses, weight_gradients = [], []
    output_gradients: list[list[tf.Tensor]] = [[] for _ in tensors]
    for part in model.head_parts():
        with device_scope.computing(part.place):
            loss, of_outputs, of_weights = _part_gradients(
                model,
                part,
                encoded,
                batch.label_ids,
                batch.weights,
                dropout_seed,
            )
        losses.append(loss)
        weight_gradients += of_weights
        for of_parts, gradient in zip(
            output_gradients, of_outputs, strict=True
        ):
            if gradient is not None:
                of_parts.append(gradient)
    return _Head(tf.add_n(losses), weight_gradients, output_gradients)


def _shared_head(
    model: classifier_lib.ExtremeClassifier,
    encoded: list,
    batch: pipeline.Batch,
    dropout_seed: tf.Tensor,
) -> _Head:
    """Returns the loss and gradients of a head that all replicas share.

    Each part takes the rows of all replicas, whose encoders' outputs travel to
    it, and sends each replica the gradients of its own rows. So the gradients
    of the head's weights need no sum over replicas.
    """
    replica = tf.distribute.get_replica_context()
    number = int(tf.get_static_value(replica.replica_id_in_sync_group))
    tensors = _outputs(model, encoded)

    def of_all(strategy, tensors, label_ids, weights, seeds):
        results = strategy.experimental_local_results
        losses, weight_gradients = [], []
        num_replicas = strategy.num_replicas_in_sync
        # Of each replica, and of each tensor.
        outputs: list = [[[] for _ in tensors] for _ in range(num_replicas)]
        for part in model.head_parts():
            with device_scope.computing(part.place):
                whole = [tf.concat(results(t), axis=0) for t in tensors]
                loss, of_outputs, of_weights = _part_gradients(
                    model,
                    part,
                    tf.nest.pack_sequence_as(encoded, whole),
                    tf.concat(results(label_ids), axis=0),
                    tf.concat(results(weights), axis=0),
                    results(seeds)[0],
                )
                sizes = [tf.shape(rows)[0] for rows in results(weights)]
                for place, gradient in enumerate(of_outputs):
                    if gradient is None:
                        continue
                    rows = tf.split(gradient, sizes, num=num_replicas)
                    for owner, its_rows in enumerate(rows):
                        outputs[owner][place].append(its_rows)
            losses.append(loss)
            weight_gradients += of_weights
        return tf.add_n(losses), weight_gradients, outputs

    loss, weight_gradients, outputs = replica.merge_call(
        of_all, (tensors, batch.label_ids, batch.weights, dropout_seed)
    )
    # The replicas' losses are added, and this one is that of all of them.
    own_loss = loss if number == 0 else tf.zeros_like(loss)
    return _Head(own_loss, weight_gradients, outputs[number])


def _part_gradients(
    model: classifier_lib.ExtremeClassifier,
    part: contract.HeadPart,
    encoded: list,
    label_ids: tf.RaggedTensor | tf.Tensor,
    weights: tf.Tensor,
    dropout_seed: tf.Tensor,
) -> tuple[tf.Tensor, list, list]:
    """Returns a part's loss, and its gradients of outputs and of weights."""
    tensors = _outputs(model, encoded)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        loss = model.head_loss_sum(
            encoded, label_ids, weights, dropout_seed, part.blocks
        )
    variables = [device_scope.readable(weight) for weight in part.variables]
    return loss, *tape.gradient(loss, [tensors, variables])


def _outputs(
    model: classifier_lib.ExtremeClassifier, encoded: list
) -> list[tf.Tensor]:
    """Returns the encoders' tensors that have gradients; none are of data."""
    return _tensors_of(encoded) if model.encoders else []


def _tensors_of(encoded: Any) -> list[tf.Tensor]:
    """Returns the tensors of a structure that have gradients."""
    return [
        tensor
        for tensor in tf.nest.flatten(encoded)
        if isinstance(tensor, tf.Tensor) and tensor.dtype.is_floating
    ]


def _check(
    gradients: Sequence[gradients_lib.Gradient | None],
    variables: Sequence[keras.Variable],
) -> None:
    """Raises ValueError unless each weight has a gradient."""
    for gradient, variable in zip(gradients, variables, strict=True):
        if gradient is None:
            raise ValueError(
                "`loss_sum` must depend on every trainable weight. "
                f"Received: {variable.path} has no gradient; use it in the "
                "loss, or make it trainable=False"
            )
