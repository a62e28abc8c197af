"""Products of bytes, and of float32 numbers, in vector instructions.

Processors with AVX-512 VNNI multiply four times as many bytes as float32
numbers in the same time. LLVM does not find these instructions in loops, so
here it is told.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from tfxml.cpu import compiled

LABELS = 64  # of a tile: four vectors of 16 numbers of 32 bits
ROWS = 6  # of a tile; 24 sums and what they need fit into 32 registers
UNITS = 4  # that one instruction multiplies and adds
_WIDTH = 16  # numbers of 32 bits of a vector
_SUMS_AT_ONCE = 4  # so that no sum waits for the one before it


@functools.cache
def are_fast() -> bool:
    """Tells whether this processor has AVX-512 VNNI."""
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return features.get("avx512vnni", False)


def _generate_tile(context, builder, signature, arguments):
    """Writes the body of `tile`."""
    from llvmlite import ir  # here: they take half a second
    from numba.core import cgutils

    codes, packed, products = (
        _array(context, builder, signature, arguments, number)
        for number in (0, 2, 4)
    )
    row, block = arguments[1], arguments[3]
    number = ir.IntType(32)
    vector = ir.VectorType(number, _WIDTH)
    num_vectors = LABELS // _WIDTH
    instruction = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector] * 3),
        "llvm.x86.avx512.vpdpbusd.512",
    )
    num_units = cgutils.unpack_tuple(builder, codes.shape)[1]
    size = num_units.type
    num_steps = builder.udiv(num_units, ir.Constant(size, UNITS))
    code_rows = [
        builder.gep(
            codes.data,
            [
                builder.mul(
                    builder.add(row, ir.Constant(row.type, place)), num_units
                )
            ],
        )
        for place in range(ROWS)
    ]
    weights = builder.gep(
        packed.data,
        [builder.mul(builder.mul(block, num_units), ir.Constant(size, LABELS))],
    )
    sums = [
        [
            cgutils.alloca_once_value(builder, ir.Constant(vector, None))
            for _ in range(num_vectors)
        ]
        for _ in range(ROWS)
    ]
    for row_sums in sums:
        for total in row_sums:
            builder.store(ir.Constant(vector, None), total)
    with cgutils.for_range(builder, num_steps) as steps:
        step = builder.mul(steps.index, ir.Constant(size, UNITS))
        of_step = builder.mul(step, ir.Constant(size, LABELS))
        columns = [
            _load(
                builder,
                weights,
                builder.add(of_step, ir.Constant(size, place * _WIDTH * UNITS)),
                vector,
            )
            for place in range(num_vectors)
        ]
        for place in range(ROWS):
            four = _load(builder, code_rows[place], step, number)
            everywhere = _splat(builder, four, vector)
            for total, column in zip(sums[place], columns, strict=True):
                builder.store(
                    builder.call(
                        instruction, [builder.load(total), everywhere, column]
                    ),
                    total,
                )
    for place in range(ROWS):
        for column in range(num_vectors):
            target = ir.Constant(size, place * LABELS + column * _WIDTH)
            builder.store(
                builder.load(sums[place][column]),
                builder.bitcast(
                    builder.gep(products.data, [target]), vector.as_pointer()
                ),
                align=4,
            )
    return context.get_dummy_value()


def _generate_dot(context, builder, signature, arguments):
    """Writes the body of `dot`."""
    from llvmlite import ir
    from numba.core import cgutils

    left, right = (
        _array(context, builder, signature, arguments, place)
        for place in (0, 1)
    )
    number = ir.FloatType()
    vector = ir.VectorType(number, _WIDTH)
    (length,) = cgutils.unpack_tuple(builder, left.shape)
    size = length.type
    at_once = ir.Constant(size, _WIDTH * _SUMS_AT_ONCE)
    zero = ir.Constant(vector, None)
    sums = [
        cgutils.alloca_once_value(builder, zero) for _ in range(_SUMS_AT_ONCE)
    ]
    total = cgutils.alloca_once_value(builder, ir.Constant(number, 0.0))
    for one in sums:
        builder.store(zero, one)
    builder.store(ir.Constant(number, 0.0), total)
    num_steps = builder.udiv(length, at_once)
    with cgutils.for_range(builder, num_steps) as steps:
        start = builder.mul(steps.index, at_once)
        for place, one in enumerate(sums):
            where = builder.add(start, ir.Constant(size, place * _WIDTH))
            pair = [
                _load(builder, array.data, where, vector)
                for array in (left, right)
            ]
            builder.store(_added(builder, builder.load(one), *pair), one)
    first = builder.mul(num_steps, at_once)
    with cgutils.for_range(builder, builder.sub(length, first)) as rest:
        where = builder.add(first, rest.index)
        pair = [
            builder.load(builder.gep(array.data, [where]))
            for array in (left, right)
        ]
        builder.store(_added(builder, builder.load(total), *pair), total)
    values = [builder.load(one) for one in sums]
    while len(values) > 1:
        values = [
            builder.fadd(*values[place : place + 2])
            for place in range(0, len(values), 2)
        ]
    lanes = [
        builder.extract_element(values[0], ir.Constant(ir.IntType(32), lane))
        for lane in range(_WIDTH)
    ]
    while len(lanes) > 1:
        half = len(lanes) // 2
        lanes = [
            builder.fadd(one, other)
            for one, other in zip(lanes[:half], lanes[half:], strict=True)
        ]
    return builder.fadd(lanes[0], builder.load(total))


def _array(context, builder, signature, arguments, place):
    from numba.np import arrayobj

    return arrayobj.make_array(signature.args[place])(
        context, builder, arguments[place]
    )


def _load(builder, data, place, kind):
    """Returns what is at a place of an array, as another type."""
    pointer = builder.bitcast(builder.gep(data, [place]), kind.as_pointer())
    return builder.load(pointer, align=1)


def _added(builder, total, left, right):
    """Returns a sum and a product, rounded once where the processor can."""
    product = builder.fmul(left, right, flags=("contract",))
    return builder.fadd(total, product, flags=("contract",))


def _splat(builder, number, vector):
    """Returns a vector of one number."""
    from llvmlite import ir

    index = ir.Constant(ir.IntType(32), 0)
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), number, index
    )
    return builder.shuffle_vector(
        one,
        ir.Constant(vector, ir.Undefined),
        ir.Constant(ir.VectorType(ir.IntType(32), _WIDTH), None),
    )


@compiled.intrinsic(_generate_tile)
def tile(
    codes: np.ndarray,
    row: int,
    packed: np.ndarray,
    block: int,
    products: np.ndarray,
) -> None:
    """Writes the products of ROWS rows and LABELS labels; checks nothing.

    Args:
        codes: [N, U] uint8, in C order; U is a multiple of UNITS.
        row: the first row, unsigned.
        packed: [blocks of LABELS, U / UNITS, LABELS, UNITS] int8.
        block: which of the blocks, unsigned.
        products: [ROWS, LABELS] int32.
    """


@compiled.intrinsic(_generate_dot, "float32")
def dot(left: np.ndarray, right: np.ndarray) -> Any:
    """Returns the product of float32 vectors of one size; checks nothing."""
