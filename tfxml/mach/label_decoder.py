"""Finds the best labels from bucket logits, by the cheaper of two decodes.

# N instances, L labels, R repetitions, B buckets, K top labels
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfxml.mach import decode, hashing
from tfxml.mach.threshold import crossings, exact_top_k

# `auto` takes the threshold decode from here on. It is faster from 41,000
# labels (docs/benchmarks/threshold_decode.md), but decodes twice what it cannot
# certify.
_MANY_LABELS = 65_000


class LabelDecoder:
    """Decodes the bucket logits of a MACH head; has no weights.

    Args:
        num_labels: L.
        hashes: R hashes of label ids.
        decode_by: one of `mach_choices.DECODES`; all give the same answer.
        dropped: ids of labels that are never answered, ascending.
    """

    def __init__(
        self,
        num_labels: int,
        hashes: Sequence[hashing.UniversalHash],
        decode_by: str,
        dropped: np.ndarray,
    ):
        self._num_labels = num_labels
        self._hashes = hashes
        self._decode_by = decode_by
        self._dropped = dropped
        self._crossings: crossings.Crossings | None = None

    def top_k(
        self, logits: Sequence[tf.Tensor], k: int, estimator: str
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best labels' estimates and ids, [N, K], best first.

        Args:
            logits: of the buckets, R tensors [N, B].
            k: how many labels.
            estimator: how repetitions combine; see `mach_choices.ESTIMATORS`.
        """
        if self.is_threshold():
            return exact_top_k.exact_top_k(
                logits, self._hashes, self._bucket_crossings(), k, estimator
            )
        return decode.top_k(
            logits,
            self._hashes,
            self._num_labels,
            k,
            estimator,
            dropped=self._dropped,
        )

    def is_threshold(self) -> bool:
        """Tells whether the threshold decode is used.

        Raises:
            ValueError: if it is requested but the hashes do not allow it.
        """
        can_serve = crossings.can_serve(self._hashes, self._num_labels)
        if self._decode_by == "threshold" and not can_serve:
            raise ValueError(
                "`decode_by` must not be 'threshold' for fewer than two "
                "hashes, or hashes that differ in buckets or prime. "
                f"Received: decode_by={self._decode_by!r}"
            )
        if self._decode_by != "auto":
            return self._decode_by == "threshold"
        return can_serve and self._num_labels >= _MANY_LABELS

    def has_collisions(self) -> bool:
        """Tells whether labels may share a bucket, so that means are biased."""
        return any(
            label_hash != hashing.identity(label_hash.num_buckets)
            or label_hash.num_buckets < self._num_labels
            for label_hash in self._hashes
        )

    def _bucket_crossings(self) -> crossings.Crossings:
        """Returns the threshold decode's tables, made at the first call."""
        if self._crossings is None:
            with tf.init_scope():
                self._crossings = crossings.make(
                    self._hashes, self._num_labels, self._dropped
                )
        return self._crossings
