"""Servers that only this machine reaches, though they listen for all."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

from strategies import addresses, loopback

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _outer(family):
    """Returns an address of this machine that others reach it by."""
    target = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))  # sends nothing
        except OSError:
            pytest.skip("this machine is reached by loopback alone")
        return probe.getsockname()[0]


def _is_let_in(host, port):
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("is_wanted", [True, False])
def test_what_listens_is_reached_by_loopback_alone(is_wanted):
    with socket.create_server(
        ("", 0), family=socket.AF_INET6, dualstack_ipv6=True
    ) as before:
        with loopback.only(is_wanted):
            server = socket.create_server(
                ("", 0), family=socket.AF_INET6, dualstack_ipv6=True
            )
        with server:
            port, other = (one.getsockname()[1] for one in (server, before))
            for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
                assert _is_let_in(host, port)
            for family in (socket.AF_INET, socket.AF_INET6):
                host = _outer(family)
                assert _is_let_in(host, port) != is_wanted
                assert _is_let_in(host, other)


def test_a_server_is_closed_while_its_maker_still_waits():
    host = _outer(socket.AF_INET)
    with loopback.only():
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
            deadline = time.monotonic() + 10
            while _is_let_in(host, port) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not _is_let_in(host, port)
            assert _is_let_in("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "wanted"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("worker-0.ns.svc", False),
        ("", False),
    ],
)
def test_loopback(host, wanted):
    assert loopback.is_loopback(host) == wanted


_SHOW = """
import os, sys
sys.path.insert(0, {root!r})
from strategies import cluster, factory, parameter_server
task = cluster.from_environment()
if task.is_server:
    sys.exit(parameter_server.serve(task))
strategy = factory.create("auto")
from strategies import addresses
outer = sys.argv[1]
for name, address in task.servers("chief", "worker", "ps").items():
    port = addresses.split(address)[1]
    hosts = "127.0.0.1", outer
    seen = [addresses.answers(f"{{host}}:{{port}}") for host in hosts]
    print("seen", name, *seen, flush=True)
from strategies import collective
print("sum", collective.make_sum_over_workers(strategy)([1.0]), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["--workers=2", "--workers=1 --ps=1"])
def test_what_is_launched_is_reached_by_loopback_alone(flags):
    done = subprocess.run(
        [
            *[sys.executable, "-m", "strategies.launch", *flags.split(), "--"],
            *[sys.executable, "-c", _SHOW.format(root=str(ROOT))],
            _outer(socket.AF_INET),
        ],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    seen = [
        line.split()[2:] for line in done.stdout.splitlines() if "seen" in line
    ]
    assert len(seen) >= 3 and all(one[1:] == ["True", "False"] for one in seen)
    assert addresses.free_ports(1)
