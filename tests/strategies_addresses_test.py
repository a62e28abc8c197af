"""host:port strings, who answers there, and free ports."""

import socket
import threading
import time

import pytest

from strategies import addresses, strategy_errors


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("h:1", ("h", 1)),
        ("worker-0.job.ns.svc:65535", ("worker-0.job.ns.svc", 65535)),
        ("my_host:22", ("my_host", 22)),
        ("10.0.0.1:2222", ("10.0.0.1", 2222)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_split_address(address, expected):
    assert addresses.split(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "h",
        "h:",
        ":1",
        "h:0",
        "h:65536",
        "h:-1",
        "h:1x",
        "h:١",
        "h h:1",
        "::1:80",
        "grpc://h:1",
        "h:1/",
        "-h:1",
        "",
    ],
)
def test_bad_address(address):
    with pytest.raises(strategy_errors.StrategyError, match="host:port"):
        addresses.split(address)


def test_answers_and_wait():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert addresses.answers(address)
        addresses.wait({"worker:0": address}, 5.0)
    assert not addresses.answers(address)


def test_wait_for_one_that_comes_late():
    (port,) = addresses.free_ports(1)
    servers = []

    def serve():
        time.sleep(0.5)
        servers.append(socket.create_server(("127.0.0.1", port)))

    thread = threading.Thread(target=serve)
    thread.start()
    addresses.wait({"ps:0": f"127.0.0.1:{port}"}, 20.0)
    thread.join()
    servers[0].close()


def test_wait_names_those_that_never_came():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket() as silent,
    ):
        # Held, so that nobody else comes to answer there; it does not listen.
        silent.bind(("127.0.0.1", 0))
        there = f"127.0.0.1:{server.getsockname()[1]}"
        gone = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError, match=f"worker:1 at {gone}") as caught:
            addresses.wait({"worker:0": there, "worker:1": gone}, 0.3)
    assert "worker:0" not in str(caught.value)
    assert "0.3 s" in str(caught.value)


def test_a_name_that_does_not_resolve_does_not_answer():
    assert not addresses.answers("no-such-host.invalid:80")


def test_free_ports_are_different_and_can_be_bound():
    ports = addresses.free_ports(20)
    assert len(set(ports)) == 20
    servers = [socket.create_server(("127.0.0.1", port)) for port in ports]
    for server in servers:
        server.close()


def test_free_ports_avoid_held_ones():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match="needed 1 free ports"):
            addresses.free_ports(1, range(port, port + 1))


def test_tasks_that_start_one_after_the_other_meet():
    ports = addresses.free_ports(4)
    everyone = {f"worker:{i}": f"127.0.0.1:{p}" for i, p in enumerate(ports)}
    met = []
    # What a worker that has met the others keeps open: TensorFlow's server.
    servers = []

    def work(name):
        time.sleep(0.3 * ports.index(addresses.split(everyone[name])[1]))
        peers = {k: v for k, v in everyone.items() if k != name}
        addresses.meet(everyone[name], peers, 30.0)
        servers.append(addresses.listen(everyone[name]))
        met.append(name)

    threads = [threading.Thread(target=work, args=[n]) for n in everyone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in servers:
        server.close()
    assert sorted(met) == sorted(everyone)


def test_a_port_that_is_taken():
    (port,) = addresses.free_ports(1)
    with addresses.listen(f"127.0.0.1:{port}"):
        assert addresses.answers(f"127.0.0.1:{port}")
        with pytest.raises(OSError, match=f"port {port}: .*in use"):
            addresses.listen(f"127.0.0.1:{port}")
