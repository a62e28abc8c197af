"""Steps in a table of features by compiled loops, inside TensorFlow's graphs.

# N instances, D features, E features of all rows, U distinct features of a
# batch, H units

A batch of text touches a part of a table's rows. TensorFlow copies them before
it multiplies, and takes a pass over them for each operation of an optimizer.
The loops of `cpu/table_loops.py` read and update them where they lie: on a CPU
a variable that no sparse operation has touched gives its own memory when it is
read. Where it gives a copy, the copy is updated and assigned.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tfxml.cpu import table_steps
from tfxml.models import sparse_rows


class HostTables:
    """Lets compiled loops take the steps that are traced inside `used`.

    Nothing else may be reading the tables while a step updates them: an
    operation of TensorFlow may use what it has read later.
    """

    def __init__(self):
        self._loops = table_steps.TableSteps()
        self._variables: dict[int, tf.Variable] = {}  # that were traced

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """While a step is traced."""
        token = _current.set(self)
        try:
            with sparse_rows.multiplied_by(self._product):
                yield
        finally:
            _current.reset(token)

    def are_in_place(self) -> bool:
        """Tells whether all tables give their own memory when they are read.

        They no longer do after a sparse operation of TensorFlow.
        """
        return not any(
            _Slot(variable.handle).is_copy
            for variable in self._variables.values()
        )

    def lazy_adam(
        self,
        gradient: tf.IndexedSlices,
        variables: Sequence[tf.Variable],
        constants: Sequence[tf.Tensor | float],
    ) -> None:
        """Takes a step of lazy Adam in some rows of a table.

        Args:
            gradient: of distinct rows.
            variables: the table, its momentum and velocity.
            constants: the step's rate, 1 - beta_1, 1 - beta_2 and epsilon.
        """
        self._note(*variables)
        # Given the handles, TensorFlow orders this among what reads them.
        tf.py_function(
            _lazy_adam,
            [
                *(variable.handle for variable in variables),
                gradient.indices,
                gradient.values,
                tf.stack([tf.cast(value, tf.float32) for value in constants]),
            ],
            [],
        )

    def _product(
        self, rows: sparse_rows.HostRows, table: tf.Tensor | tf.Variable
    ) -> tf.Tensor:
        """Returns rows times the table, [N, H]; see `sparse_rows.Product`.

        The gradient of the table are its rows that the batch has.
        """
        if isinstance(table, tf.Variable):
            self._note(table)
        arrays = [rows.splits, rows.feature_ids, rows.values]
        num_units = table.shape[1]
        loops = self._loops

        @tf.custom_gradient
        def product(table):
            def gradient(upstream):
                features, values = tf.numpy_function(
                    loops.gradient,
                    [*arrays, upstream, table.shape[0]],
                    [tf.int64, tf.float32],
                )
                return tf.IndexedSlices(
                    tf.ensure_shape(values, [None, num_units]),
                    tf.ensure_shape(features, [None]),
                    tf.constant(table.shape.as_list(), tf.int64),
                )

            output = tf.numpy_function(
                loops.product, [*arrays, table], tf.float32
            )
            return tf.ensure_shape(output, [None, num_units]), gradient

        return product(tf.convert_to_tensor(table))

    def _note(self, *variables: tf.Variable) -> None:
        self._variables |= {id(variable): variable for variable in variables}


_current: contextvars.ContextVar[HostTables | None] = contextvars.ContextVar(
    "host_tables", default=None
)


def updating() -> HostTables | None:
    """Returns what updates tables in the step that is traced; or None."""
    return _current.get()


def _lazy_adam(table, momentum, velocity, rows, gradients, constants) -> None:
    slots = [_Slot(handle) for handle in (table, momentum, velocity)]
    table_steps.lazy_adam(
        _array(rows),
        _array(gradients),
        _array(constants),
        [slot.array for slot in slots],
    )
    for slot in slots:
        slot.assign()


class _Slot:
    """The memory of a variable, which may be written."""

    def __init__(self, handle: tf.Tensor):
        self._handle = handle
        value, again = (
            tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)
            for _ in range(2)
        )
        self._value = value
        address = _array(value).ctypes.data
        self.is_copy = address != _array(again).ctypes.data
        self.array = np.ctypeslib.as_array(
            ctypes.cast(address, ctypes.POINTER(ctypes.c_float)),
            tuple(value.shape),
        )

    def assign(self) -> None:
        """Writes what was a copy back to the variable."""
        if self.is_copy:
            tf.raw_ops.AssignVariableOp(
                resource=self._handle, value=self._value
            )


def _array(tensor: tf.Tensor) -> np.ndarray:
    """Returns a tensor's own memory, to read."""
    return np.asarray(memoryview(tensor))
