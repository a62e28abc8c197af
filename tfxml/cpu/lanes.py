"""Means for several rows at once, in vector instructions.

LLVM does not find vectors in loops of a few steps between arrays that might
overlap, so here it is told.
"""

from __future__ import annotations

import functools
from typing import Any

LANES = 8  # float32 numbers of one vector


class _Mean:
    """What loops call as `mean(terms, buckets, label, reciprocal, means)`.

    Writes the mean over repetitions of a label's terms for LANES rows. Nothing
    is checked.

    Args:
        terms: [T LANES] float32, those of a bucket side by side.
        buckets: [R, L] unsigned integers, in C order.
        label: a column of `buckets`, unsigned.
        reciprocal: 1 / R, float32.
        means: [L LANES] float32.
    """

    @functools.cached_property
    def _intrinsic(self) -> Any:
        from numba import extending, types

        @extending.intrinsic
        def mean(typing_context, terms, buckets, label, reciprocal, means):
            signature = types.void(terms, buckets, label, reciprocal, means)
            return signature, _generate

        return mean

    def machine_code(self) -> Any:
        """Returns what a compiled loop calls."""
        return self._intrinsic


def _generate(context, builder, signature, arguments):
    """Writes the body of `_Mean` with LLVM's builder."""
    from llvmlite import ir  # here: they take half a second
    from numba.core import cgutils
    from numba.np import arrayobj

    terms, buckets, means = (
        arrayobj.make_array(signature.args[number])(
            context, builder, arguments[number]
        )
        for number in (0, 1, 4)
    )
    label, reciprocal = arguments[2:4]
    vector_type = ir.VectorType(ir.FloatType(), LANES)
    width = ir.Constant(label.type, LANES)

    def place(array, number):
        start = builder.mul(number, width)
        return builder.bitcast(
            builder.gep(array.data, [start]), vector_type.as_pointer()
        )

    num_repetitions, num_labels = cgutils.unpack_tuple(builder, buckets.shape)
    total = cgutils.alloca_once_value(
        builder, ir.Constant(vector_type, [0.0] * LANES)
    )
    with cgutils.for_range(builder, num_repetitions) as repetitions:
        position = builder.add(
            builder.mul(repetitions.index, num_labels), label
        )
        bucket = builder.zext(
            builder.load(builder.gep(buckets.data, [position])), label.type
        )
        row_terms = builder.load(place(terms, bucket), align=4)
        builder.store(builder.fadd(builder.load(total), row_terms), total)
    scale = ir.Constant(vector_type, ir.Undefined)
    for lane in range(LANES):
        index = ir.Constant(ir.IntType(32), lane)
        scale = builder.insert_element(scale, reciprocal, index)
    mean = builder.fmul(builder.load(total), scale)
    builder.store(mean, place(means, label), align=4)
    return context.get_dummy_value()


mean: Any = _Mean()  # compiled loops call it
