"""How long a server stays, by what it sees of its coordinator."""

import os
import socket
import threading
import time

import pytest

from strategies import addresses, cluster, parameter_server, strategy_errors

LONG = 1000.0


def _watch(is_there, terminated=None, **seconds):
    everything = {
        "start_seconds": LONG,
        "gone_seconds": LONG,
        "drain_seconds": LONG,
    }
    patience = parameter_server.Patience(**{**everything, **seconds})
    terminated = terminated or threading.Event()
    start = time.monotonic()
    code = parameter_server.watch(is_there, patience, terminated)
    return code, time.monotonic() - start


def _until(seconds):
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def test_coordinator_that_never_comes():
    code, seconds = _watch(lambda: False, start_seconds=0.1)
    assert code == os.EX_UNAVAILABLE == 69
    assert 0.1 <= seconds < 10


def test_coordinator_that_goes():
    code, seconds = _watch(_until(0.5), gone_seconds=0.1)
    assert code == 0
    assert 0.5 <= seconds < 10


def test_coordinator_that_is_restarted_in_time():
    start = time.monotonic()

    def is_there():
        seconds = time.monotonic() - start
        return seconds < 0.5 or 2 < seconds < 3

    code, seconds = _watch(is_there, gone_seconds=2.5)
    assert code == 0
    assert seconds > 2 + 2.5


def test_coordinator_that_is_late_is_waited_for():
    start = time.monotonic()

    def is_there():
        return 1 < time.monotonic() - start < 3

    code, seconds = _watch(is_there, start_seconds=2.5, gone_seconds=0.1)
    assert code == 0
    assert seconds > 3


@pytest.mark.parametrize("seen", [False, True])
def test_sigterm_without_a_coordinator_ends_at_once(seen):
    terminated = threading.Event()
    start = time.monotonic()
    timer = threading.Timer(1.5, terminated.set)
    timer.start()
    code, _ = _watch(_until(0.5 if seen else 0.0), terminated)
    assert code == (0 if seen else 143)
    assert 1.5 <= time.monotonic() - start < 10


def test_sigterm_while_the_coordinator_saves():
    terminated = threading.Event()
    terminated.set()
    code, seconds = _watch(_until(1.0), terminated)
    assert code == 0
    assert 1.0 <= seconds < 10


def test_sigterm_and_a_coordinator_that_stays():
    terminated = threading.Event()
    terminated.set()
    code, seconds = _watch(lambda: True, terminated, drain_seconds=0.5)
    assert code == 143
    assert 0.5 <= seconds < 10


def test_a_real_coordinator_is_seen_at_its_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        timer = threading.Timer(1.5, server.close)
        timer.start()
        code, _ = _watch(lambda: addresses.answers(address), gone_seconds=0.1)
        timer.join()
    assert code == 0


@pytest.mark.parametrize("field", ["start_seconds", "gone_seconds"])
def test_wrong_patience(field):
    with pytest.raises(strategy_errors.StrategyError, match=field):
        parameter_server.Patience(**{field: 0})


@pytest.mark.parametrize(
    ("sizes", "who"),
    [
        ({"worker": ("h:1", "h:2")}, "worker"),
        ({"chief": ("h:1",), "worker": ("h:2",), "ps": ("h:3",)}, "chief"),
        ({"chief": ("h:1",), "worker": ("h:2",), "ps": ("h:3",)}, "evaluator"),
    ],
)
def test_only_servers_serve(sizes, who):
    with pytest.raises(strategy_errors.StrategyError, match="worker or ps"):
        parameter_server.serve(cluster.Cluster(sizes, who, 0))
