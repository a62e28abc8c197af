"""The model's forward pass in ops that every runtime supports.

# N instances, M entries of a padded row, H units, L labels, R repetitions,
# B buckets, K top labels

TensorFlow.js in WebAssembly lacks einsum (the product of padded rows in
`sparse_rows`), and its fused product with a transposed kernel adds the bias
once for every 48 units. So rows are gathered and multiplied, and the kernels of
a head are stored untransposed. Buckets are constants, as neither runtime
supports the 64-bit integers of the hash well.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml.mach import decode
from tfxml.models import (
    calibration,
    contract,
    contract_checks,
    extreme_classifier,
    form_ops,
    forms,
    reranker,
    weight_table,
)
from tfxml.topk import merging


class PlainModel(tf.Module):
    """A trained model over padded rows, built from its serving forms.

    Raises:
        ValueError: if plain ops cannot run the form of an encoder or the head.
    """

    def __init__(self, model: extreme_classifier.ExtremeClassifier):
        super().__init__()
        form = _ranking_form(model.head)
        self._encoders = [
            _DenseStack(_stack_form(encoder)) for encoder in model.encoders
        ]
        self._kernels = [
            tf.Variable(
                _array(block.kernel)
                if block.is_linear
                else _array(block.kernel).T
            )
            for block in form.blocks
        ]
        self._biases = _copies([block.bias for block in form.blocks])
        # Without its blocks, whose Keras variables a module would track.
        self._form = _Untracked(dataclasses.replace(form, blocks=()))
        self._link = model.link
        self._calibration = _Untracked(model.calibration)
        self._answering = _Untracked(model.answering)
        table = model.answering.table(form.num_labels)
        self._table = None if table is None else tf.Variable(table)
        self._reranker: _Reranker | None = None
        if model.reranker is not None:
            self._reranker = _Reranker(model.reranker)

    def top_k(
        self,
        feature_ids: tf.Tensor,
        feature_values: tf.Tensor,
        k: int,
        label_block_size: int = decode.LABEL_BLOCK_SIZE,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K], best first.

        Args:
            feature_ids: int32 [N, M]; any id in unused entries.
            feature_values: [N, M]; 0 in unused entries.
            k: how many labels.
            label_block_size: how many labels to score at once, so that neither
                the table of buckets nor the scores of a block grow with L.
        """
        rows = feature_ids, feature_values
        if self._reranker is None:
            estimates, label_ids = self._best(*rows, k, label_block_size)
        else:
            num_candidates = max(k, self._reranker.num_candidates)
            estimates, label_ids = self._best(
                *rows, num_candidates, label_block_size
            )
            logits = calibration.logits(estimates, self._form.value.link)
            estimates, label_ids = self._reranker.rank_again(
                *rows, logits, label_ids, k
            )
        scores = calibration.scores(
            estimates, self._link, self._calibration.value
        )
        return scores, label_ids

    def is_answered(self, scores: tf.Tensor, label_ids: tf.Tensor) -> tf.Tensor:
        """Tells which labels that `top_k` returned reach their thresholds."""
        return self._answering.value.is_answered(scores, label_ids, self._table)

    def _best(self, feature_ids, feature_values, k: int, label_block_size: int):
        """Returns the head's best labels' estimates and ids."""
        form = self._form.value
        logits = self._logits(feature_ids, feature_values)
        best, best_ids = [], []
        for start in range(0, form.num_labels, label_block_size):
            stop = min(start + label_block_size, form.num_labels)
            label_ids = np.setdiff1d(np.arange(start, stop), form.dropped)
            if not len(label_ids):
                continue
            estimates, positions = tf.math.top_k(
                form_ops.estimates(form, logits, label_ids),
                min(k, len(label_ids)),
            )
            best.append(estimates)
            best_ids.append(_at(label_ids, positions))
        best, best_ids = merging.merge_top_k(best, best_ids, k)
        return form_ops.finished(form, logits, best), best_ids

    def _logits(self, feature_ids, feature_values) -> list[tf.Tensor]:
        """Returns the logits of repetitions, or of all labels as one."""
        weights = list(zip(self._kernels, self._biases, strict=True))
        if not self._encoders:
            logits = [
                _product(feature_ids, feature_values, [kernel]) + bias
                for kernel, bias in weights
            ]
        else:
            encoded = [
                encoder(feature_ids, feature_values)
                for encoder in self._encoders
            ]
            logits = [
                tf.matmul(
                    encoded[number * len(encoded) // len(weights)], kernel
                )
                + bias
                for number, (kernel, bias) in enumerate(weights)
            ]
        if self._form.value.hashes is None:
            return [tf.concat(logits, axis=1)]
        return logits


class _Untracked:
    """Hides a value from a module's tracking."""

    def __init__(self, value: Any):
        self.value = value


def _ranking_form(head: contract.Head) -> forms.BlockRanking:
    form, reason = contract_checks.checked_form(head)
    if not isinstance(form, forms.BlockRanking):
        reason = reason or f"{type(head).__name__} ranks by an inverted index"
        raise ValueError(
            "`head` must rank by blocks of outputs for LiteRT and "
            f"TensorFlow.js. Received: {reason}; export a SavedModel instead"
        )
    return form


def _stack_form(encoder: contract.Encoder) -> forms.DenseStack:
    form, reason = contract_checks.checked_form(encoder)
    if form is None:
        raise ValueError(
            "`encoder` must be a dense stack for LiteRT and TensorFlow.js. "
            f"Received: {reason}; export a SavedModel instead"
        )
    if form.feature_hash is not None:
        raise ValueError(
            "`feature_buckets` must be 0 for LiteRT and TensorFlow.js, which "
            "cannot hash 64-bit integers. Received: feature_buckets="
            f"{form.feature_hash.num_buckets}; export a SavedModel instead"
        )
    return form


def _at(label_ids: np.ndarray, positions) -> tf.Tensor:
    """Returns the ids at positions of ascending ids, often a range."""
    if form_ops.is_run(label_ids):
        return positions + int(label_ids[0])
    return tf.gather(tf.constant(label_ids, tf.int32), positions)


class _DenseStack(tf.Module):
    """A `forms.DenseStack`, without dropout."""

    def __init__(self, form: forms.DenseStack):
        super().__init__()
        self._tables = _copies(form.tables)
        self._kernels = _copies(form.kernels)
        self._biases = _copies(form.biases)
        self._is_residual = form.is_residual

    def __call__(
        self, feature_ids: tf.Tensor, feature_values: tf.Tensor
    ) -> tf.Tensor:
        """Returns [N, H]."""
        product = _product(feature_ids, feature_values, self._tables)
        hidden = tf.nn.relu(product + self._biases[0])
        for kernel, bias in zip(self._kernels, self._biases[1:], strict=True):
            output = tf.nn.relu(tf.matmul(hidden, kernel) + bias)
            if self._is_residual and hidden.shape[1] == output.shape[1]:
                output += hidden
            hidden = output
        return hidden


class _Reranker(tf.Module):
    """A `Reranker` with the hashes of the features as tables."""

    def __init__(self, layer: reranker.Reranker):
        super().__init__()
        self.num_candidates = layer.num_candidates
        self._weight = layer.weight
        hashes = weight_table.hashes_of(
            np.arange(layer.num_features, dtype=np.int64)
        )
        self._hashes = [
            tf.Variable(feature_hashes.astype(np.int32))
            for feature_hashes in hashes
        ]
        self._splits, self._bias, *self._table = _copies(
            [
                layer.splits,
                layer.bias,
                layer.shifts,
                layer.features,
                layer.kernel,
            ]
        )

    def rank_again(
        self,
        feature_ids: tf.Tensor,
        feature_values: tf.Tensor,
        logits: tf.Tensor,
        label_ids: tf.Tensor,
        k: int,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' logits and ids; see `Reranker.rerank`."""
        candidates = label_ids[:, : self.num_candidates]
        runs = weight_table.runs_of(self._splits, candidates)
        weights = weight_table.look_up(
            feature_ids,
            [tf.gather(hashes, feature_ids) for hashes in self._hashes],
            weight_table.Runs(*(tf.expand_dims(member, 1) for member in runs)),
            *self._table,
        )  # [N, M, S]
        values = tf.expand_dims(feature_values, 2)
        margins = tf.reduce_sum(values * weights, axis=1)
        return reranker.rank_again(
            margins + tf.gather(self._bias, candidates),
            logits,
            label_ids,
            k,
            self._weight,
        )


def _product(feature_ids, feature_values, tables) -> tf.Tensor:
    """Returns the rows times the kernel that `tables` hold, [N, H]."""
    kernel = tables[0] if len(tables) == 1 else tf.concat(tables, axis=0)
    rows_of_features = tf.gather(kernel, feature_ids)  # [N, M, H]
    return tf.matmul(feature_values[:, None], rows_of_features)[:, 0]


def _copies(weights) -> list[tf.Variable]:
    return [tf.Variable(_array(weight)) for weight in weights]


def _array(weight) -> np.ndarray:
    return np.asarray(weight.value)
