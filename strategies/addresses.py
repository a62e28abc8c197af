"""host:port strings: checked, probed, waited for, and found free."""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Mapping

from strategies import strategy_errors

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+\]")
# Above the registered services and below Linux's range for outgoing
# connections (32768 to 60999), so that no client takes the port of a task
# between its death and its restart.
_FREE_PORTS = range(20000, 32768)


def split(address: str, field: str = "address") -> tuple[str, int]:
    """Returns the host and the port of `address`, or says what is wrong.

    Args:
        address: `host:port`; the host is a name, an IPv4 address, or an IPv6
            address in brackets.
        field: What the error calls the address.
    """
    needed = "host:port with a port from 1 to 65535"
    if not isinstance(address, str):
        raise strategy_errors.StrategyError(field, needed, address)
    host, _, port = address.rpartition(":")
    if not (_NAME.fullmatch(host) or _IPV6.fullmatch(host)):
        raise strategy_errors.StrategyError(field, needed, address)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise strategy_errors.StrategyError(field, needed, address)
    return host.strip("[]"), int(port)


def answers(address: str, timeout_seconds: float = 1.0) -> bool:
    """Whether something accepts a TCP connection at `address`.

    A stopped process still answers: the kernel accepts for it.
    """
    try:
        with socket.create_connection(
            split(address), timeout_seconds
        ) as connection:
            # The kernel may give the caller the very port that it connects
            # to; TCP then connects the socket to itself.
            return connection.getsockname() != connection.getpeername()
    except OSError:
        return False


def wait(servers: Mapping[str, str], timeout_seconds: float) -> None:
    """Returns once every server answers.

    Args:
        servers: Address by the name that the error gives the server.
        timeout_seconds: How long to wait for the last one.

    Raises:
        TimeoutError: naming the servers that never answered.
    """
    deadline = time.monotonic() + timeout_seconds
    missing = dict(servers)
    while True:
        missing = {k: v for k, v in missing.items() if not answers(v)}
        if not missing:
            return
        if time.monotonic() >= deadline:
            names = ", ".join(f"{k} at {v}" for k, v in missing.items())
            raise TimeoutError(
                f"no answer within {timeout_seconds:g} s from {names}. Check "
                "that the process runs, that its name resolves and that no "
                "firewall closes the port"
            )
        time.sleep(0.2)


def meet(
    own_address: str, servers: Mapping[str, str], timeout_seconds: float
) -> None:
    """Returns once every server has answered; answers at `own_address` too.

    For tasks that all start like this, before TensorFlow waits for the others
    inside a call that no thread and no SIGTERM can end. A task that is past
    this point answers through TensorFlow.
    """
    with listen(own_address):
        wait(servers, timeout_seconds)


def listen(address: str) -> socket.socket:
    """Returns a server at the port of `address`, or says that it is taken."""
    _, port = split(address)
    is_dual = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if is_dual else socket.AF_INET,
            backlog=1024,
            dualstack_ipv6=is_dual,
        )
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot serve at {address}, this task's address: port {port}: "
            f"{error.strerror}",
        ) from error


def free_ports(count: int, among: range = _FREE_PORTS) -> list[int]:
    """Returns `count` different ports that are free on this machine.

    They are not reserved: another process may take one before its server
    starts.
    """
    ports: list[int] = []
    for port in random.sample(among, len(among)):
        if len(ports) == count:
            break
        if _is_free(port):
            ports.append(port)
    if len(ports) < count:
        raise OSError(
            f"needed {count} free ports from {among.start} to "
            f"{among.stop - 1}, found {len(ports)}"
        )
    return ports


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do, so that a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Any local address: a server on 0.0.0.0 holds the port as well.
            probe.bind(("", port))
        except OSError:
            return False
    return True
