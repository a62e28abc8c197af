"""Compiled loops give what Python does, kept on a disk or not."""

import numpy as np

from tfxml import compiled


def _sums(values):
    found = np.zeros(len(values))
    total = 0.0
    for place in range(len(values)):
        total += values[place]
        found[place] = total
    return found


def test_a_loop_does_what_python_does():
    values = np.random.default_rng(0).normal(size=1000)
    run = compiled.loop(_sums)
    np.testing.assert_array_equal(run(values), _sums(values))
    assert run.__name__ == "_sums"


def test_where_machine_code_cannot_be_kept_it_is_made_anyway():
    made = {}
    exec("def add(one, other):\n    return one + other", made)  # no file
    assert compiled.loop(made["add"])(2, 3) == 5
