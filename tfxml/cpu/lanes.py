"""Sums for many rows at once, in vector instructions.

LLVM does not find vectors in loops of a few steps between arrays that might
overlap, so here it is told.
"""

from __future__ import annotations

import numpy as np

from tfxml.cpu import compiled

LANES = 32  # rows, whose codes of 16 bits are one or two vectors


def _generate(context, builder, signature, arguments):
    """Writes the body of `largest_sum`."""
    from llvmlite import ir  # here: they take half a second
    from numba.core import cgutils
    from numba.np import arrayobj

    codes, buckets, largest = (
        arrayobj.make_array(signature.args[number])(
            context, builder, arguments[number]
        )
        for number in (0, 1, 4)
    )
    first, last = arguments[2:4]
    vector_type = ir.VectorType(ir.IntType(16), LANES)
    zeros = ir.Constant(vector_type, None)
    width = ir.Constant(first.type, LANES)
    num_repetitions, num_labels = cgutils.unpack_tuple(builder, buckets.shape)
    best = cgutils.alloca_once_value(builder, zeros)
    total = cgutils.alloca_once_value(builder, zeros)
    builder.store(zeros, best)
    with cgutils.for_range_slice(
        builder, first, last, ir.Constant(first.type, 1), inc=True
    ) as (label, _):
        builder.store(zeros, total)
        with cgutils.for_range(builder, num_repetitions) as repetitions:
            position = builder.add(
                builder.mul(repetitions.index, num_labels), label
            )
            bucket = builder.zext(
                builder.load(builder.gep(buckets.data, [position])), label.type
            )
            place = builder.gep(codes.data, [builder.mul(bucket, width)])
            vector = builder.load(
                builder.bitcast(place, vector_type.as_pointer()), align=2
            )
            builder.store(builder.add(builder.load(total), vector), total)
        old, new = builder.load(best), builder.load(total)
        is_larger = builder.icmp_unsigned(">", new, old)
        builder.store(builder.select(is_larger, new, old), best)
    place = builder.bitcast(largest.data, vector_type.as_pointer())
    builder.store(builder.load(best), place, align=2)
    return context.get_dummy_value()


@compiled.intrinsic(_generate)
def largest_sum(
    codes: np.ndarray,
    buckets: np.ndarray,
    first: int,
    last: int,
    largest: np.ndarray,
) -> None:
    """Writes the largest sum of some labels' codes, for each of LANES rows.

    A label's codes are summed over the repetitions. Nothing is checked.

    Args:
        codes: [T LANES] uint16, those of a bucket side by side.
        buckets: [R, L] unsigned integers, in C order.
        first, last: the labels are [first, last), unsigned; at least one.
        largest: [LANES] uint16.
    """
