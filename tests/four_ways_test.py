"""The command, the estimator, Trainer and Keras: one precision, one cost."""

import sys

import pytest
import runs


@pytest.mark.quality
@pytest.mark.parametrize("name", ["bibtex", "delicious"])
def test_precision_and_cost_are_the_same_four_ways(name, real_data):
    words = [
        *[sys.executable, "benchmarks/four_ways.py", "--repeats=1"],
        *[f"--sets={name}", f"--data={real_data(name).parent}"],
    ]
    lines = runs.run(words, seconds=1200).splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines[2:]]
    assert [row[1] for row in rows] == [
        "command",
        "estimator",
        "trainer",
        "keras",
    ]
    precisions = [[float(value) for value in row[2:5]] for row in rows]
    for at_k in zip(*precisions, strict=True):
        assert max(at_k) - min(at_k) <= 0.3, lines
    # Processor seconds of the command's: the clock hears of other programs.
    assert max(float(row[8]) for row in rows) <= 1.3, lines
