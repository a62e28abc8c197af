"""Loops over NumPy arrays, compiled for this processor when first called.

For what arrays at a time do badly: many short reads and writes of a few
elements each, one after the other. Of NumPy's functions the simple ones alone
are used there: `diff` or `partition`, or an array written into a part of
another, take seconds to compile, which a loop of three lines does not.
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
    """Returns the function, compiled; it holds no lock while it runs.

    It takes and returns arrays and numbers; Numba's page on supported features
    says what it may do. It may call other loops that its module has names for.
    The machine code is kept beside the module, or in the user's cache, for the
    next process.
    """

    @functools.cache
    def machine_code():
        import numba  # half a second, which few commands need

        whole = _with_parts(function)
        try:
            return numba.njit(nogil=True, cache=True)(whole)
        except RuntimeError as error:  # no folder that could be written to
            logging.info("compiled for this process alone: %s", error)
            return numba.njit(nogil=True)(whole)

    @functools.wraps(function)
    def run(*arguments):
        return machine_code()(*arguments)

    compiled: Any = run  # a function with an attribute, which no type allows
    compiled.machine_code = machine_code
    return compiled


def _with_parts(function: Callable) -> Callable:
    """Returns the function with the loops that it calls compiled."""
    own = function.__globals__
    parts = {
        name: own[name].machine_code()
        for name in function.__code__.co_names
        if hasattr(own.get(name), "machine_code")
    }
    whole = types.FunctionType(
        function.__code__, {**own, **parts}, function.__name__
    )
    return functools.update_wrapper(whole, function)


@loop
def at_rank(scores: np.ndarray, k: int) -> float:
    """Returns the k-th largest of scores, whose order it changes.

    By Hoare's selection ("Algorithm 65: Find", CACM 1961).
    """
    first, last = 0, len(scores) - 1
    while first < last:
        pivot = scores[(first + last) // 2]
        one, other = first, last
        while one <= other:
            while scores[one] > pivot:
                one += 1
            while scores[other] < pivot:
                other -= 1
            if one <= other:
                scores[one], scores[other] = scores[other], scores[one]
                one += 1
                other -= 1
        if k - 1 <= other:
            last = other
        elif k - 1 >= one:
            first = one
        else:
            break
    return scores[k - 1]
