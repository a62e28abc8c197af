"""A server of the tf.data service: `python -m tfxml.serve_data --port=5050`.

Without `--dispatcher` it is the dispatcher; with it, it is a worker:

    python -m tfxml.serve_data --port=5050
    python -m tfxml.serve_data --dispatcher=grpc://host:5050
    python -m tfxml.train --data_service=grpc://host:5050 ...

Only this machine can reach it, unless `--address` names a host that others can
reach. The service has no authentication: whoever reaches its port can read the
data and run any code. Close the port to all but the machines of the training
with a firewall, or a network policy as in `configs/cluster/`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from absl import flags as absl_flags

from strategies import addresses, loopback, strategy_errors
from tfxml.run import flags, tensorflow_start

if TYPE_CHECKING:
    import tensorflow as tf

_POLL_SECONDS = 2.0


def start(
    port: int,
    dispatcher: str = "",
    address: str = "",
    connect_seconds: float = 60.0,
) -> (
    tf.data.experimental.service.DispatchServer
    | tf.data.experimental.service.WorkerServer
):
    """Returns a server that runs, a dispatcher's or a worker's.

    Args:
        port: the port to listen on; 0: a free one.
        dispatcher: a worker's dispatcher, grpc://host:port; empty: it is the
            dispatcher.
        address: the host by which others reach it; empty: localhost, which no
            other machine can reach.
        connect_seconds: how long a worker waits for its dispatcher.

    Raises:
        ValueError: for an invalid address.
        TimeoutError: if the dispatcher does not answer.
        OSError: if the port is taken, or cannot be closed to other machines.
    """
    # Here, so that flags are checked before TensorFlow is imported.
    import tensorflow as tf

    is_local = not address or loopback.is_loopback(address)
    if port:
        addresses.listen(f"localhost:{port}").close()  # fails with the reason
    if is_local and not loopback.is_possible():
        raise OSError(
            "this system cannot close a port to other machines: close it by a "
            "firewall, and name this machine by --address"
        )
    service = tf.data.experimental.service
    if dispatcher:
        addresses.wait({"the dispatcher": _host(dispatcher)}, connect_seconds)
    with loopback.only(is_local):
        if not dispatcher:
            return service.DispatchServer(service.DispatcherConfig(port=port))
        return service.WorkerServer(
            service.WorkerConfig(
                dispatcher_address=_host(dispatcher),
                worker_address=f"{address}:%port%" if address else None,
                port=port,
            )
        )


def serve(dispatcher: str, gone_seconds: float) -> int:
    """Returns the exit code after a signal, or once the dispatcher is gone.

    Args:
        dispatcher: a worker's dispatcher; empty: it is the dispatcher.
        gone_seconds: how long a worker waits for a dispatcher that is gone.
    """
    signals = []
    is_over = threading.Event()

    def record_signal(signum, frame) -> None:
        signals.append(signum)
        is_over.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, record_signal)
    silent_seconds = 0.0
    while not is_over.wait(_POLL_SECONDS):
        if not dispatcher or addresses.answers(_host(dispatcher)):
            silent_seconds = 0.0
            continue
        if not silent_seconds:
            print(f"waits     for {dispatcher}, which is gone", flush=True)
        silent_seconds += _POLL_SECONDS
        if silent_seconds >= gone_seconds:
            sys.stderr.write(
                f"FATAL no answer from the dispatcher {dispatcher} for "
                f"{gone_seconds:g} s\n"
            )
            return os.EX_UNAVAILABLE
    return 128 + signals[0]


def _host(dispatcher: str) -> str:
    """Returns host:port; raises ValueError for what cannot be one."""
    from tfxml.data.feeding import service_batches

    service_batches.check_address(dispatcher)
    address = dispatcher.removeprefix(service_batches.PROTOCOL)
    addresses.split(address, "dispatcher")
    return address


def define_flags() -> None:
    absl_flags.DEFINE_integer(
        "port",
        0,
        "The port to listen on. 0: a free one.",
        lower_bound=0,
        upper_bound=65535,
    )
    absl_flags.DEFINE_string(
        "dispatcher",
        "",
        "A worker's dispatcher, grpc://host:port. Empty: be the dispatcher.",
    )
    absl_flags.DEFINE_string(
        "address",
        "",
        "The host by which other machines reach it, which opens it to all of "
        "them. Empty: localhost, which no other machine can reach.",
    )
    absl_flags.DEFINE_float(
        "connect_seconds",
        60.0,
        "How long a worker waits for a dispatcher that does not answer.",
        lower_bound=1.0,
        upper_bound=strategy_errors.WEEK,
    )


def main() -> None:
    values = absl_flags.FLAGS
    tensorflow_start.quietly()
    server = start(
        values.port, values.dispatcher, values.address, values.connect_seconds
    )
    if values.address and not loopback.is_loopback(values.address):
        sys.stderr.write(
            "WARNING listens on every interface of this machine, without "
            "authentication: let no other machines than those of the training "
            "reach its port, by a firewall or a network policy\n"
        )
    if values.dispatcher:
        print(f"worker    of {values.dispatcher}", flush=True)
    else:
        print(f"dispatcher {server.target}", flush=True)
    code = serve(values.dispatcher, values.connect_seconds)
    # TensorFlow would wait for the clients of a server that it stops.
    sys.stdout.flush()
    os._exit(code)


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
