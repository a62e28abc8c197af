"""A server of tf.data service: `python -m tfxml.serve_data --port=5050`.

Without `--dispatcher` it hands out the work, with it, it does the work:

    python -m tfxml.serve_data --port=5050
    python -m tfxml.serve_data --dispatcher=grpc://host:5050
    python -m tfxml.train --data_service=grpc://host:5050 ...
"""

from __future__ import annotations

import tensorflow as tf
from absl import flags as absl_flags

from tfxml.data.feeding import service_batches
from tfxml.run import flags


def start(port: int, dispatcher: str = "", address: str = ""):
    """Returns a server that runs, a dispatcher's or a worker's.

    Args:
        port: where it listens; 0: at a free one.
        dispatcher: a worker's dispatcher, grpc://host:port; empty: it is one.
        address: the host by which others reach a worker; empty: localhost.
    """
    service = tf.data.experimental.service
    if not dispatcher:
        return service.DispatchServer(service.DispatcherConfig(port=port))
    service_batches.check_address(dispatcher)
    return service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=dispatcher.removeprefix(
                service_batches.PROTOCOL
            ),
            worker_address=f"{address}:%port%" if address else None,
            port=port,
        )
    )


def define_flags() -> None:
    absl_flags.DEFINE_integer(
        "port", 0, "Where it listens; 0: at a free one.", lower_bound=0
    )
    absl_flags.DEFINE_string(
        "dispatcher",
        "",
        "A worker's dispatcher, grpc://host:port; empty: it is one.",
    )
    absl_flags.DEFINE_string(
        "address",
        "",
        "The host by which training reaches a worker; empty: localhost.",
    )


def main() -> None:
    values = absl_flags.FLAGS
    server = start(values.port, values.dispatcher, values.address)
    if values.dispatcher:
        print(f"worker    of {values.dispatcher}", flush=True)
    else:
        print(f"dispatcher {server.target}", flush=True)
    server.join()


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
