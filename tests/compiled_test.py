"""Compiled loops against the same functions in Python."""

import numpy as np
import pytest

from tfxml.cpu import compiled

_at_rank = compiled.at_rank


def _sums(values):
    sums = np.zeros(len(values))
    total = 0.0
    for place in range(len(values)):
        total += values[place]
        sums[place] = total
    return sums


def test_a_loop_does_what_python_does():
    values = np.random.default_rng(0).normal(size=1000)
    run = compiled.loop(_sums)
    np.testing.assert_array_equal(run(values), _sums(values))
    assert run.__name__ == "_sums"


def test_a_function_without_a_file_is_compiled_without_a_cache():
    names = {}
    exec("def add(left, right):\n    return left + right", names)
    assert compiled.loop(names["add"])(2, 3) == 5


def _sum_of_largest(values, number):
    total = 0.0
    for rank in range(number):
        total += _at_rank(values, rank + 1)
    return total


def test_a_loop_may_call_another():
    values = np.random.default_rng(0).normal(size=50)
    np.testing.assert_allclose(
        compiled.loop(_sum_of_largest)(values.copy(), 7),
        np.sort(values)[-7:].sum(),
    )


@pytest.mark.parametrize("has_equals", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 40, 1000])
def test_the_score_at_a_rank_is_that_of_a_sort(size, has_equals):
    scores = np.random.default_rng(size).normal(size=size)
    scores = np.round(scores) if has_equals else scores
    wanted = np.sort(scores)[::-1]
    for rank in {1, max(size // 2, 1), size}:
        assert compiled.at_rank(scores.copy(), rank) == wanted[rank - 1]
