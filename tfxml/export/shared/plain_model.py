"""The model's forward pass in the ops that every runtime has.

# N instances, M places of a padded row, H units, L labels, R repetitions,
# B buckets, K top labels

TensorFlow.js in WebAssembly has no einsum (the product of padded rows in
`sparse_rows`), and its fused product with a transposed kernel adds the bias
once for every 48 units. So rows are gathered and multiplied, and the kernels
of a head lie untransposed. Buckets are constants, as neither runtime is at
home with the 64-bit integers of the hash.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.export.shared import candidate_scores
from tfxml.mach import decode
from tfxml.models import extreme_classifier, reranker
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import centroid, mach_head


class PlainModel(tf.Module):
    """A trained model over padded rows."""

    def __init__(self, model: extreme_classifier.ExtremeClassifier):
        super().__init__()
        if isinstance(model.head, centroid.CentroidHead):
            raise ValueError(
                "`head` must not be centroid for a model in plain ops, which "
                "know no ragged ranges. Received: a model with head=centroid; "
                "export it as a SavedModel"
            )
        self._head = candidate_scores.Untracked(model.head)
        self._encoders = [_Trunk(encoder) for encoder in model.encoders]
        blocks = model.head.blocks
        transpose = bool(model.encoders)
        self._kernels = [
            tf.Variable(_array(b.kernel).T if transpose else _array(b.kernel))
            for b in blocks
        ]
        self._biases = _copies([b.bias for b in blocks])
        self._reranker = model.reranker and _Reranker(model.reranker)

    def top_k(
        self,
        feature_ids: tf.Tensor,
        feature_values: tf.Tensor,
        k: int,
        label_block_size: int = decode.LABEL_BLOCK_SIZE,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' scores and ids, [N, K], best first.

        Args:
            feature_ids: int32 [N, M]; an unused place holds any id.
            feature_values: [N, M]; an unused place holds 0.
            k: how many labels.
            label_block_size: how many labels are scored at once: neither a
                table of buckets nor the scores of a block grow with L.
        """
        if self._reranker is None:
            return self._best(feature_ids, feature_values, k, label_block_size)
        return self._reranker.rank_again(
            feature_ids,
            feature_values,
            *self._best(
                feature_ids,
                feature_values,
                max(k, self._reranker.num_candidates),
                label_block_size,
            ),
            k,
        )

    def _best(self, feature_ids, feature_values, k: int, label_block_size: int):
        """Returns what `head.top_k` does."""
        head = self._head.value
        logits = self._logits(feature_ids, feature_values)
        best, best_ids = [], []
        for start in range(0, head.num_labels, label_block_size):
            stop = min(start + label_block_size, head.num_labels)
            label_ids = np.setdiff1d(np.arange(start, stop), head.dropped)
            if not len(label_ids):
                continue
            estimates, places = tf.math.top_k(
                candidate_scores.estimates(head, logits, label_ids),
                min(k, len(label_ids)),
            )
            best.append(estimates)
            best_ids.append(_at(label_ids, places))
        best, best_ids = decode.merge_top_k(best, best_ids, k)
        return head.scores(logits, best), best_ids

    def _logits(self, feature_ids, feature_values):
        """Returns what `head.logits` does."""
        weights = list(zip(self._kernels, self._biases, strict=True))
        if not self._encoders:
            found = [
                _product(feature_ids, feature_values, [kernel]) + bias
                for kernel, bias in weights
            ]
        else:
            encoded = [
                encoder(feature_ids, feature_values)
                for encoder in self._encoders
            ]
            found = [
                tf.matmul(encoded[place * len(encoded) // len(weights)], kernel)
                + bias
                for place, (kernel, bias) in enumerate(weights)
            ]
        if isinstance(self._head.value, mach_head.MachHead):
            return found
        return tf.concat(found, axis=1)


def _at(label_ids: np.ndarray, places) -> tf.Tensor:
    """Returns the ids at places of ascending ids; mostly they are a run."""
    if candidate_scores.is_run(label_ids):
        return places + int(label_ids[0])
    return tf.gather(tf.constant(label_ids, tf.int32), places)


class _Trunk(tf.Module):
    """What an `Encoder` does, without dropout."""

    def __init__(self, encoder: bag_encoder.Encoder):
        super().__init__()
        if encoder.feature_hash is not None:
            raise ValueError(
                "`feature_buckets` must be 0 for a model in plain ops, which "
                "know no hash of 64-bit integers. Received: feature_buckets="
                f"{encoder.num_features}; export it as a SavedModel"
            )
        self._tables = _copies(encoder.tables)
        self._kernels = _copies(encoder.upper_kernels)
        self._biases = _copies(encoder.biases)
        self._residual = encoder.residual

    def __call__(self, feature_ids, feature_values) -> tf.Tensor:
        """Returns [N, H]."""
        product = _product(feature_ids, feature_values, self._tables)
        hidden = tf.nn.relu(product + self._biases[0])
        for kernel, bias in zip(self._kernels, self._biases[1:], strict=True):
            output = tf.nn.relu(tf.matmul(hidden, kernel) + bias)
            if self._residual and hidden.shape[1] == output.shape[1]:
                output += hidden
            hidden = output
        return hidden


class _Reranker(tf.Module):
    """What a `Reranker` does, with the features' hashes as tables."""

    def __init__(self, own: reranker.Reranker):
        super().__init__()
        self.num_candidates = own.num_candidates
        self._share = own.share
        hashes = reranker.hashes_of(np.arange(own.num_features, dtype=np.int64))
        self._hashes = [tf.Variable(one.astype(np.int32)) for one in hashes]
        self._splits, self._bias, *self._table = _copies(
            [own.splits, own.bias, own.shifts, own.features, own.kernel]
        )

    def rank_again(self, feature_ids, feature_values, scores, label_ids, k):
        """Returns what `Reranker.rerank` does."""
        candidates = label_ids[:, : self.num_candidates]
        runs = reranker.runs_of(self._splits, candidates)
        weights = reranker.look_up(
            feature_ids,
            [tf.gather(one, feature_ids) for one in self._hashes],
            reranker.Runs(*(tf.expand_dims(one, 1) for one in runs)),
            *self._table,
        )  # [N, M, S]
        values = tf.expand_dims(feature_values, 2)
        margins = tf.reduce_sum(values * weights, axis=1)
        return reranker.rank_again(
            margins + tf.gather(self._bias, candidates),
            scores,
            label_ids,
            k,
            self._share,
        )


def _product(feature_ids, feature_values, tables) -> tf.Tensor:
    """Returns the rows times the kernel that `tables` hold, [N, H]."""
    kernel = tables[0] if len(tables) == 1 else tf.concat(tables, axis=0)
    needed = tf.gather(kernel, feature_ids)  # [N, M, H]
    return tf.matmul(feature_values[:, None], needed)[:, 0]


def _copies(weights) -> list[tf.Variable]:
    return [tf.Variable(_array(one)) for one in weights]


def _array(weight) -> np.ndarray:
    return np.asarray(weight.value)
