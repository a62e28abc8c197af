"""Asks for memory before a loop reads it.

A processor foresees the reads of a long list, but not where the next list
begins: each begins with a wait for memory.
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled

_READ, _INTO_SECOND_LEVEL, _DATA = 0, 2, 1  # operands of LLVM's `prefetch`


def _generate(context, builder, signature, arguments):
    """Writes the body of `fetch`."""
    from llvmlite import ir  # here: they take half a second
    from numba.core import cgutils
    from numba.np import arrayobj

    array, position = arguments
    data = arrayobj.make_array(signature.args[0])(context, builder, array).data
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    place = builder.bitcast(builder.gep(data, [position]), byte)
    prefetch = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
        "llvm.prefetch.p0i8",
    )
    how = (_READ, _INTO_SECOND_LEVEL, _DATA)
    builder.call(prefetch, [place, *(ir.Constant(number, one) for one in how)])
    return context.get_dummy_value()


@compiled.intrinsic(_generate)
def fetch(array: np.ndarray, position: int) -> None:
    """Fetches a cache line while the loop goes on; checks nothing.

    Args:
        array: of one axis, in C order.
        position: of an element in the line, unsigned.
    """
