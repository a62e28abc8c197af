"""Compiled loops against the same functions in Python."""

import pathlib
import subprocess
import sys

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


def _write(module: pathlib.Path, *lines: str) -> None:
    text = "from tfxml.cpu import compiled\n" + "\n".join(lines) + "\n"
    module.write_text(text)


@pytest.mark.parametrize(
    "changed",
    [["@compiled.loop", "def inner(x):", "    return x * 3"], ["N = 7"]],
)
def test_code_is_compiled_anew_when_what_it_calls_has_changed(
    changed, tmp_path
):
    """Numba itself looks at the file of the outer loop alone."""
    called = ["@compiled.loop", "def inner(x):", "    return x * 2", "N = 4"]
    _write(tmp_path / "called.py", *called)
    _write(
        tmp_path / "caller.py",
        "from called import N, inner",
        "@compiled.loop",
        "def between(x):",
        "    return inner(x)",
    )
    _write(
        tmp_path / "outer.py",
        "from called import N",
        "from caller import between",
        "@compiled.loop",
        "def outer(x):",
        "    return between(x) + N",
        "print(outer(100))",
    )

    def printed() -> str:
        run = [sys.executable, tmp_path / "outer.py"]
        return subprocess.run(
            run, check=True, capture_output=True, text=True
        ).stdout

    assert printed() == printed() == "204\n"
    _write(tmp_path / "called.py", *called, *changed)
    assert printed() == ("304\n" if "N = 7" not in changed else "207\n")


@pytest.mark.parametrize("has_equals", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 40, 1000])
def test_the_score_at_a_rank_is_that_of_a_sort(size, has_equals):
    scores = np.random.default_rng(size).normal(size=size)
    scores = np.round(scores) if has_equals else scores
    wanted = np.sort(scores)[::-1]
    for rank in {1, max(size // 2, 1), size}:
        assert compiled.at_rank(scores.copy(), rank) == wanted[rank - 1]
