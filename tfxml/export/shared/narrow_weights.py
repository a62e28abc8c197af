"""Kernels stored in fewer bits and read as float32; ids in 16 where they fit.

# D rows of a kernel, H units, T weights in one row

int8 kernels have a scale per row (Jacob et al., "Quantization and training of
neural networks for efficient integer-arithmetic-only inference", CVPR 2018,
with symmetric ranges). A gather reads whole rows, so only the rows that a
request needs are widened. Where weights are gathered one by one, each run of 16
shares a scale.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tfxml.export.shared import weight_formats
from tfxml.models import extreme_classifier

_RUN = 16  # weights that share a scale
_FEWEST_IDS = 1024  # that are worth it


class NarrowWeight:
    """Replaces a weight that is gathered or read whole.

    Args:
        kernel: [D, H] or [T] float32; or int32 ids below 2^16.
        weights: how a kernel is stored.
    """

    def __init__(self, kernel: np.ndarray, weights: str):
        self.shape = tf.TensorShape(kernel.shape)
        self.dtype = tf.as_dtype(kernel.dtype)
        self.scales = None
        if self.dtype == tf.int32:
            stored = tf.cast(kernel, tf.uint16)
        elif weights == "bfloat16":
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
    def value(self) -> NarrowWeight:
        """Itself: models read the `value` of a Keras variable."""
        return self

    def variables(self) -> list[tf.Variable]:
        """Returns the stored weights and, for int8, their scales."""
        if self.scales is None:
            return [self.stored]
        return [self.stored, self.scales]

    def sparse_read(
        self, indices: tf.Tensor, name: str | None = None
    ) -> tf.Tensor:
        """Returns the rows at `indices`; `tf.gather` calls this."""
        scales = None
        if self.scales is not None:
            runs = indices // _RUN if self.shape.rank == 1 else indices
            scales = tf.gather(self.scales, runs)
        return self._widen(tf.gather(self.stored, indices, name=name), scales)

    def __tf_tensor__(self, dtype=None, name: str | None = None):
        scales = self.scales
        if scales is not None and self.shape.rank == 1:
            scales = tf.repeat(scales, _RUN)[: self.shape[0]]
        return self._widen(self.stored, scales)

    def _widen(self, stored, scales) -> tf.Tensor:
        wide = tf.cast(stored, self.dtype)
        return wide if scales is None else wide * scales


@contextlib.contextmanager
def kernels(
    model: extreme_classifier.ExtremeClassifier, weights: str
) -> Iterator[list[tf.Variable]]:
    """Stores the model's kernels as `weights` while the context lasts.

    If they are not float32, ids below 2^16 are stored in 16 bits too.

    Yields:
        The variables that the model reads meanwhile.
    """
    if weights not in weight_formats.SAVED_MODEL:
        raise ValueError(
            f"`weights` must be one of {weight_formats.SAVED_MODEL}. "
            f"Received: {weights=}"
        )
    model_variables = list(model.named_variables().values())
    if weights == "float32":
        yield [weight.value for weight in model_variables]
        return
    layers = [*model.encoders, model.head]
    if model.reranker is not None:
        layers.append(model.reranker)
    holders = [holder for layer in layers for holder in _holders_of(layer)]
    narrow_of = {}  # by the id of the kernel that each replaces
    for holder in holders:
        kernel = holder.read()
        if id(kernel) not in narrow_of:
            narrow_of[id(kernel)] = NarrowWeight(kernel.numpy(), weights)
    wide_kernels = [holder.read() for holder in holders]
    for holder, kernel in zip(holders, wide_kernels, strict=True):
        holder.write(narrow_of[id(kernel)])
    try:
        read_variables = []
        for weight in model_variables:
            narrow = narrow_of.get(id(weight))
            read_variables += (
                [weight.value] if narrow is None else narrow.variables()
            )
        yield read_variables
    finally:
        for holder, kernel in zip(holders, wide_kernels, strict=True):
            holder.write(kernel)


class _Holder(NamedTuple):
    """Reads and replaces a kernel of a layer, wherever it is kept."""

    read: Callable[[], keras.Variable]
    write: Callable[[object], None]


def _holders_of(layer: keras.layers.Layer) -> list[_Holder]:
    """Returns the holders of what a layer and its sublayers store narrow.

    That are weights in an attribute or in a list: kernels, whose name starts
    with "kernel", and small ids.
    """
    holders = []
    for inner in layer._flatten_layers():
        for name, value in list(vars(inner).items()):
            if is_kernel(value) or _are_small_ids(value):
                holders.append(_attribute(inner, name))
            elif isinstance(value, list) and not name.startswith("_"):
                holders += [
                    _item(value, position)
                    for position, item in enumerate(value)
                    if is_kernel(item)
                ]
    return holders


def is_kernel(value: object) -> bool:
    """Tells whether a member of a layer is a kernel."""
    return (
        isinstance(value, keras.Variable)
        and value.name.startswith("kernel")
        and value.dtype == "float32"
    )


def _are_small_ids(value) -> bool:
    if not isinstance(value, keras.Variable) or value.dtype != "int32":
        return False
    ids = value.numpy()
    return ids.size >= _FEWEST_IDS and 0 <= ids.min() and ids.max() < 1 << 16


def _attribute(layer: keras.layers.Layer, name: str) -> _Holder:
    # Bypass Keras' tracking, which would add the replacement as a weight.
    return _Holder(
        lambda: vars(layer)[name],
        lambda value: object.__setattr__(layer, name, value),
    )


def _item(items: list, position: int) -> _Holder:
    return _Holder(
        lambda: items[position],
        lambda value: list.__setitem__(items, position, value),
    )
