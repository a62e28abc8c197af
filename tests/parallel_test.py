"""The order, the errors and the bound of parallel.in_order."""

import itertools
import threading
import time

import pytest

from tfxml.data import parallel


def test_results_come_in_order():
    def slow_first(number):
        time.sleep(0.02 if number % 2 == 0 else 0)
        return number * number

    squares = list(parallel.in_order(slow_first, range(9)))
    assert squares == [number * number for number in range(9)]


def test_nothing_in_nothing_out():
    assert list(parallel.in_order(str, [])) == []


def test_two_run_at_once():
    both = threading.Barrier(2, timeout=10)
    assert len(list(parallel.in_order(lambda _: both.wait(), "ab"))) == 2


def test_an_endless_stream_is_read_only_as_far_as_needed():
    numbers = itertools.count()
    results = parallel.in_order(str, numbers)
    assert list(itertools.islice(results, 5)) == list("01234")
    results.close()
    assert next(numbers) <= 5 + 2 + 1


@pytest.mark.parametrize("where", ["function", "stream"])
def test_errors_arrive_as_they_were_raised(where):
    def stream():
        yield 1
        if where == "stream":
            raise KeyError("stream")
        yield 0

    def invert(number):
        return 1 / number

    error = KeyError if where == "stream" else ZeroDivisionError
    with pytest.raises(error):
        list(parallel.in_order(invert, stream()))
