"""Kernels kept in fewer bits, that read as float32.

# D rows of a kernel, H units

int8 has a scale a row (Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", CVPR 2018, with
symmetric ranges); a row is what a gather reads, so that only the rows that a
request needs are widened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfxml.models import centroids, classifier

WEIGHTS = ("float32", "bfloat16", "int8")


class NarrowKernel:
    """Stands in for a kernel [D, H]: gathered by row, or read whole."""

    def __init__(self, kernel: np.ndarray, weights: str):
        self.shape = tf.TensorShape(kernel.shape)
        self.dtype = tf.float32
        self.scales = None
        if weights == "bfloat16":
            stored = tf.cast(kernel, tf.bfloat16)
        else:
            largest = np.abs(kernel).max(axis=1, keepdims=True)
            scales = np.where(largest > 0, largest, 1.0) / 127
            self.scales = tf.Variable(scales.astype(np.float32))
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
            scales = tf.gather(self.scales, indices)
        return _widen(tf.gather(self.stored, indices, name=name), scales)

    def __tf_tensor__(self, dtype=None, name: str | None = None):
        return _widen(self.stored, self.scales)


@contextlib.contextmanager
def kernels(
    model: classifier.ExtremeClassifier, weights: str
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
    encoders, blocks = model.encoders, model.head.blocks
    if isinstance(model.head, centroids.CentroidHead):
        blocks = [model.head]
    if model.refiner is not None:
        blocks = [*blocks, model.refiner]
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
        yield _variables(model)
    finally:
        for encoder, wide in zip(encoders, before[0], strict=True):
            encoder.kernels[:] = wide
        for block, wide in zip(blocks, before[1], strict=True):
            block.kernel = wide


def _variables(model) -> list[tf.Variable]:
    found = []
    for encoder in model.encoders:
        for kernel, bias in zip(encoder.kernels, encoder.biases, strict=True):
            found += [*kernel.variables(), bias.value]
    for block in model.head.blocks:
        found += [*block.kernel.variables(), block.bias.value]
    if isinstance(model.head, centroids.CentroidHead):
        found += [*model.head.kernel.variables()]
        found += [model.head.splits.value, model.head.labels.value]
    if model.refiner is not None:
        refiner = model.refiner
        found += [*refiner.kernel.variables(), refiner.bias.value]
        found += [refiner.splits.value, refiner.features.value]
    return found


def _widen(stored, scales) -> tf.Tensor:
    wide = tf.cast(stored, tf.float32)
    return wide if scales is None else wide * scales
