"""Closes this process's servers to other machines.

TensorFlow's servers listen on every interface, and know no authentication.
Where all tasks are on one machine, a filter of the kernel drops what is not
addressed to loopback: to others the port then looks like one behind a
firewall, as if the server had been bound to 127.0.0.1. Linux.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import socket
import struct
import sys
import threading
from collections.abc import Iterator

_SO_ATTACH_FILTER = 26
# Classic BPF, see the kernel's networking/filter.rst.
_LOAD, _IF_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_PROTOCOL = -0x1000  # of the packet
_HEADER = -0x100000  # the IP header begins here
_IPV4, _IPV6 = 0x0800, 0x86DD
# Each: a code, how far to jump if it holds and if it does not, an operand.
_PROGRAM = (
    (_LOAD, 0, 0, _PROTOCOL),
    (_IF_EQUAL, 0, 3, _IPV4),
    (_LOAD, 0, 0, _HEADER + 16),  # to which address
    (_AND, 0, 0, 0xFF000000),
    (_IF_EQUAL, 9, 10, 0x7F000000),  # 127.0.0.0/8
    (_IF_EQUAL, 0, 9, _IPV6),
    (_LOAD, 0, 0, _HEADER + 24),  # ::1, word by word
    (_IF_EQUAL, 0, 7, 0),
    (_LOAD, 0, 0, _HEADER + 28),
    (_IF_EQUAL, 0, 5, 0),
    (_LOAD, 0, 0, _HEADER + 32),
    (_IF_EQUAL, 0, 3, 0),
    (_LOAD, 0, 0, _HEADER + 36),
    (_IF_EQUAL, 0, 1, 1),
    (_RETURN, 0, 0, 0xFFFFFFFF),  # the whole packet
    (_RETURN, 0, 0, 0),  # none of it
)
_POLL_SECONDS = 0.02


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, under an address of no other."""
    if host.lower() in ("localhost", "localhost.localdomain"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def only(is_wanted: bool = True) -> Iterator[None]:
    """Closes the servers that start inside the context to other machines.

    Args:
        is_wanted: False changes nothing. On a system without such filters,
            True prints a warning on standard error.
    """
    if is_wanted and not is_possible():
        sys.stderr.write(
            "this system cannot close a port to other machines: servers "
            "listen on every interface, without authentication\n"
        )
    if not (is_wanted and is_possible()):
        yield
        return
    sockets_before, is_over = set(_listening()), threading.Event()

    def watch() -> None:
        # TensorFlow may wait for other tasks while its server listens.
        while not is_over.wait(_POLL_SECONDS):
            _close_new(sockets_before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        _close_new(sockets_before)


def is_possible() -> bool:
    """Whether this system can close a port to other machines."""
    if sys.platform != "linux":
        return False
    with socket.socket() as probe:
        try:
            _close(probe)
        except OSError:
            return False
    return True


def _close_new(sockets_before: set[str]) -> None:
    for name, descriptor in _listening().items():
        if name not in sockets_before:
            with contextlib.suppress(OSError):  # closed in between
                with socket.socket(fileno=os.dup(descriptor)) as server:
                    _close(server)


def _close(server: socket.socket) -> None:
    program = b"".join(
        struct.pack("HBBI", code, holds, fails, operand & 0xFFFFFFFF)
        for code, holds, fails, operand in _PROGRAM
    )
    buffer = ctypes.create_string_buffer(program)
    server.setsockopt(
        socket.SOL_SOCKET,
        _SO_ATTACH_FILTER,
        struct.pack("HP", len(_PROGRAM), ctypes.addressof(buffer)),
    )


def _listening() -> dict[str, int]:
    """Returns the file descriptors of this process's TCP servers, by name."""
    servers = {}
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # closed in between
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            if name.startswith("socket:") and _is_server(descriptor):
                servers[name] = descriptor
    return servers


def _is_server(descriptor: int) -> bool:
    with socket.socket(fileno=os.dup(descriptor)) as probe:
        return probe.family in (socket.AF_INET, socket.AF_INET6) and bool(
            probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        )
