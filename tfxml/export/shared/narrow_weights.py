"""Kernels kept in fewer bits, that read as float32.

# D rows of a kernel, H units, T weights in one row

int8 has a scale a row (Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", CVPR 2018, with
symmetric ranges); a row is what a gather reads, so that only the rows that a
request needs are widened. Of weights that are gathered one by one 16 that lie
together share a scale.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfxml.models import extreme_classifier

_RUN = 16
WEIGHTS = ("float32", "bfloat16", "int8")


class NarrowKernel:
    """Stands in for a kernel [D, H] or [T]: gathered, or read whole."""

    def __init__(self, kernel: np.ndarray, weights: str):
        self.shape = tf.TensorShape(kernel.shape)
        self.dtype = tf.float32
        self.scales = None
        if weights == "bfloat16":
            stored = tf.cast(kernel, tf.bfloat16)
        else:
            largest = np.abs(kernel)
            if kernel.ndim == 1:
                runs = np.arange(0, len(kernel), _RUN)
                largest = np.maximum.reduceat(largest, runs)
            else:
                largest = largest.max(axis=1, keepdims=True)
            scales = np.where(largest > 0, largest, 1.0) / 127
            self.scales = tf.Variable(scales.astype(np.float32))
            if kernel.ndim == 1:
                scales = np.repeat(scales, _RUN)[: len(kernel)]
            stored = tf.constant(np.rint(kernel / scales), tf.int8)
        self.stored = tf.Variable(stored, trainable=False)

    @property
    def value(self) -> NarrowKernel:
        """What models read of a Keras variable."""
        return self

    def variables(self) -> list[tf.Variable]:
        both = [self.stored, self.scales]
        return [one for one in both if one is not None]

    def sparse_read(self, indices, name: str | None = None) -> tf.Tensor:
        """Returns the rows `indices`; what `tf.gather` calls."""
        scales = None
        if self.scales is not None:
            runs = indices // _RUN if self.shape.rank == 1 else indices
            scales = tf.gather(self.scales, runs)
        return _widen(tf.gather(self.stored, indices, name=name), scales)

    def __tf_tensor__(self, dtype=None, name: str | None = None):
        scales = self.scales
        if scales is not None and self.shape.rank == 1:
            scales = tf.repeat(scales, _RUN)[: self.shape[0]]
        return _widen(self.stored, scales)


@contextlib.contextmanager
def kernels(
    model: extreme_classifier.ExtremeClassifier, weights: str
) -> Iterator[list[tf.Variable]]:
    """Keeps the model's kernels in `weights` while the context lasts.

    Yields:
        The variables that the model then reads.
    """
    if weights not in WEIGHTS:
        raise ValueError(
            f"`weights` must be one of {WEIGHTS}. Received: {weights=}"
        )
    if weights == "float32":
        yield [one.value for one in model.named_variables().values()]
        return
    encoders = model.encoders
    blocks = [*(model.head.blocks or [model.head])]
    if model.reranker is not None:
        blocks.append(model.reranker)
    before = (
        [list(one.kernels) for one in encoders],
        [one.kernel for one in blocks],
    )
    for encoder in encoders:
        for place, kernel in enumerate(encoder.kernels):
            encoder.kernels[place] = NarrowKernel(kernel.numpy(), weights)
    for block in blocks:
        block.kernel = NarrowKernel(block.kernel.numpy(), weights)
    try:
        yield _variables(encoders, blocks)
    finally:
        for encoder, wide in zip(encoders, before[0], strict=True):
            encoder.kernels[:] = wide
        for block, wide in zip(blocks, before[1], strict=True):
            block.kernel = wide


def _variables(encoders, blocks) -> list[tf.Variable]:
    found = []
    for encoder in encoders:
        for kernel, bias in zip(encoder.kernels, encoder.biases, strict=True):
            found += [*kernel.variables(), bias.value]
    for block in blocks:
        found += block.kernel.variables()
        found += [one.value for one in block.weights if one.name != "kernel"]
    return found


def _widen(stored, scales) -> tf.Tensor:
    wide = tf.cast(stored, tf.float32)
    return wide if scales is None else wide * scales
