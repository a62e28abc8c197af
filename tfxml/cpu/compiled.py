"""Loops over NumPy arrays, compiled by Numba when first called.

For work that NumPy does slowly: many reads and writes of a few elements each,
one after the other. The loops use only NumPy's simple functions: `diff`,
`partition` or assigning one array to a slice of another takes seconds to
compile, a loop of three lines does not.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from absl import logging

Function = TypeVar("Function", bound=Callable)


def loop(function: Function) -> Function:
    """Returns the function, compiled; it releases the GIL while it runs.

    It takes and returns arrays, numbers and named tuples of them; what it may
    do is on Numba's page of supported features. Divisions by zero give what
    NumPy gives. It may call other loops, by
    names in the globals of its module. The machine code is cached beside the
    module, or in the user's cache, for later processes.
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

    compiled: Any = run  # a function with an attribute, which no type allows
    compiled.machine_code = machine_code
    return compiled


def _with_compiled_loops(function: Callable) -> Callable:
    """Returns a copy of the function that calls compiled loops."""
    module_globals = function.__globals__
    loops = {
        name: module_globals[name].machine_code()
        for name in function.__code__.co_names
        if hasattr(module_globals.get(name), "machine_code")
    }
    copy = types.FunctionType(
        function.__code__, {**module_globals, **loops}, function.__name__
    )
    return functools.update_wrapper(copy, function)


class Intrinsic:
    """What loops call like a function, with a body that LLVM's builder writes.

    Args:
        generate: writes the body; its arguments are those of the code that
            `numba.extending.intrinsic` asks for.
        result: the name of Numba's type that is returned.
    """

    def __init__(self, generate: Callable, result: str = "void"):
        self._generate = generate
        self._result = result

    @functools.cached_property
    def _intrinsic(self) -> Any:
        from numba import extending, types

        generate, result = self._generate, getattr(types, self._result)

        @extending.intrinsic
        def call(typing_context, *arguments):
            return result(*arguments), generate

        return call

    def machine_code(self) -> Any:
        """Returns what a compiled loop calls."""
        return self._intrinsic


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
