"""Loops over NumPy arrays, compiled by Numba when first called.

For work that NumPy does slowly: many reads and writes of a few elements each,
one after the other. The loops use only NumPy's simple functions: `diff`,
`partition` or assigning one array to a slice of another takes seconds to
compile, a loop of three lines does not.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import pathlib
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from absl import logging

Function = TypeVar("Function", bound=Callable)


def loop(function: Function) -> Function:
    """Returns the function, compiled; it releases the GIL while it runs.

    It takes and returns arrays, numbers and named tuples of them; what it may
    do is on Numba's page of supported features. Divisions by zero give what
    NumPy gives. It may call other loops, by names in the globals of its
    module. The machine code is cached beside the module, or in the user's
    cache, for later processes; it is made anew when the file of a loop that it
    calls has changed.
    """

    @functools.cache
    def machine_code():
        import numba  # here: it takes half a second, and few commands need it

        with_loops = _with_compiled_loops(function)
        # Python's check of each divisor would keep loops from vectors.
        njit = functools.partial(numba.njit, nogil=True, error_model="numpy")
        try:
            return njit(cache=True)(with_loops)
        except RuntimeError as error:  # no folder is writable
            logging.info("compiled for this process alone: %s", error)
            return njit()(with_loops)

    @functools.wraps(function)
    def run(*arguments):
        return machine_code()(*arguments)

    compiled: Any = run  # a function with attributes, which no type allows
    compiled.machine_code = machine_code
    compiled.digest = functools.cache(functools.partial(_digest, function))
    return compiled


def intrinsic(generate: Callable, result: str = "void") -> Callable:
    """Makes a function one that loops call, with a body for LLVM's builder.

    What is decorated gives its name, its arguments and their meaning.

    Args:
        generate: writes the body; its arguments are those of the code that
            `numba.extending.intrinsic` asks for.
        result: the name of Numba's type that is returned.
    """

    def with_body(prototype: Callable) -> Any:
        @functools.cache
        def machine_code():
            from numba import extending
            from numba import types as numba_types

            result_type = getattr(numba_types, result)

            def call(typing_context, *arguments):
                return result_type(*arguments), generate

            # Numba passes on what is named; a starred argument would get all.
            context = inspect.Parameter(
                "typing_context", inspect.Parameter.POSITIONAL_OR_KEYWORD
            )
            named = inspect.signature(prototype).parameters.values()
            described: Any = call
            described.__signature__ = inspect.Signature([context, *named])
            return extending.intrinsic(described)

        compiled: Any = prototype
        compiled.machine_code = machine_code
        compiled.digest = functools.cache(functools.partial(_digest, generate))
        return compiled

    return with_body


def _with_compiled_loops(function: Callable) -> Callable:
    """Returns a copy of the function that calls compiled loops."""
    called = _called(function)
    loops = {name: loop.machine_code() for name, loop in called.items()}
    copy = types.FunctionType(
        function.__code__,
        {**function.__globals__, **loops},
        function.__name__,
    )
    functools.update_wrapper(copy, function)
    # Numba looks at a function's own file and names its cache by this.
    copy.__qualname__ += "_" + _digest_of_used(function)
    return copy


def _used(function: Callable) -> Mapping[str, Any]:
    """Returns what a function uses of its module's globals, by name."""
    names = function.__code__.co_names
    return {name: function.__globals__.get(name) for name in names}


def _called(function: Callable) -> Mapping[str, Any]:
    """Returns the loops that a function calls, by name."""
    used = _used(function).items()
    return {name: found for name, found in used if hasattr(found, "digest")}


def _digest(function: Callable) -> str:
    """Returns a digest of a function's file and of what it uses of others."""
    code, path = function.__code__, pathlib.Path(function.__code__.co_filename)
    source = path.read_bytes() if path.is_file() else code.co_code
    return _hash(source + _digest_of_used(function).encode())


def _digest_of_used(function: Callable) -> str:
    """Returns a digest of the loops and numbers of its module that it uses."""
    used = _used(function).items()
    numbers = {name: x for name, x in used if isinstance(x, int | float)}
    called = {name: one.digest() for name, one in _called(function).items()}
    return _hash(repr((numbers, called)).encode())


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


@loop
def at_rank(scores: np.ndarray, k: int) -> Any:
    """Returns the k-th largest of scores; reorders them.

    By Hoare's selection ("Algorithm 65: Find", CACM 1961).
    """
    first, last = 0, len(scores) - 1
    while first < last:
        pivot = scores[(first + last) // 2]
        left, right = first, last
        while left <= right:
            while scores[left] > pivot:
                left += 1
            while scores[right] < pivot:
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                left += 1
                right -= 1
        if k - 1 <= right:
            last = right
        elif k - 1 >= left:
            first = left
        else:
            break
    return scores[k - 1]
