"""Serves a trained run: `python -m tfxml.serve --workdir=...`.

A page to try the model, and the REST form of TensorFlow Serving:

    curl -d '{"instances": ["some text"]}' \\
        http://127.0.0.1:8501/v1/models/tfxml:predict

Only this machine reaches it, unless `--address` says otherwise. It knows no
authentication and no encryption: on a network, put a proxy in front of it that
does. For much traffic export a SavedModel to TensorFlow Serving.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import signal
import socket
import sys

from absl import flags as absl_flags

from strategies import loopback
from tfxml.run import (
    answers,
    checkpoint_flags,
    early_checks,
    flags,
    set_choices,
    tensorflow_start,
)

_SHUTDOWN_SECONDS = 2.0
_LARGE_BODIES = 8  # of the largest size, that are held at a time


def listen(address: str, port: int, seconds: float = 30.0) -> socket.socket:
    """Returns a socket that listens.

    Args:
        address, port: where.
        seconds: how long what was sent may be left unread.

    Raises:
        OSError: naming the address, if it cannot.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        listening = socket.create_server((address, port), family=family)
    except OSError as error:
        raise OSError(
            error.errno, error.strerror, f"{address} port {port}"
        ) from error
    # Linux ends connections of this socket whose other end stops to read.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listening.setsockopt(
            socket.IPPROTO_TCP,
            socket.TCP_USER_TIMEOUT,
            max(1, int(1000 * seconds)),
        )
    return listening


def _is_complaint(record: logging.LogRecord) -> bool:
    """Tells whether a log record is of more than a request that is wrong.

    Whoever sends one is answered; a traceback for each would fill the disk.
    """
    from aiohttp import http_exceptions, web

    error = record.exc_info[1] if record.exc_info else None
    of_requests = (
        http_exceptions.HttpProcessingError,
        web.RequestPayloadError,
        ConnectionError,
    )
    return not isinstance(error, of_requests)


async def _serve(
    application, listening: socket.socket, url: str, idle_seconds: float
) -> int:
    """Returns the exit code once a signal says to end."""
    from aiohttp import web

    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def end(signum: int) -> None:
        if not told.done():
            told.set_result(signum)

    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, end, signum)
    logging.getLogger("aiohttp.server").addFilter(_is_complaint)
    runner = web.AppRunner(
        application,
        access_log=None,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        keepalive_timeout=idle_seconds,
    )
    await runner.setup()
    await web.SockSite(runner, listening).start()
    print(f"serves    {url}", flush=True)
    try:
        return 128 + await told
    finally:
        await runner.cleanup()


def main() -> None:
    values = absl_flags.FLAGS
    for name in ("aiohttp", "jinja2"):
        if importlib.util.find_spec(name) is None:
            raise ValueError(
                f"tfxml.serve needs the package {name}: "
                "pip install 'tfxml[serve]'"
            )
    early_checks.check_run(values.workdir)
    # Before anything is read.
    listening = listen(values.address, values.port, values.body_seconds)
    is_local = loopback.is_loopback(values.address)
    if not is_local:
        sys.stderr.write(
            "WARNING other machines reach this server, which knows no "
            "authentication and no encryption\n"
        )
    tensorflow_start.quietly()
    import tensorflow as tf

    from tfxml.run import restore
    from tfxml.serving import http_service

    run = restore.restore(
        values.workdir, tf.distribute.get_strategy(), values.checkpoint
    )
    service = http_service.Service(
        run,
        values.name,
        set_choices.SetChoice(
            limits=set_choices.limits_from_flags(
                run.fitted.thresholds if run.fitted else None
            ),
            abstain_below=values.abstain_below,
        ),
        http_service.Limits(
            body_bytes=values.max_request_mib << 20,
            upload_bytes=values.max_upload_mib << 20,
            instances=values.max_instances,
            k=values.max_k,
            body_seconds=values.body_seconds,
            held_bytes=_LARGE_BODIES * (values.max_upload_mib << 20),
        ),
        is_local,
        values.runtime,
    )
    host = f"[{values.address}]" if ":" in values.address else values.address
    url = f"http://{host}:{listening.getsockname()[1]}/"
    code = asyncio.run(
        _serve(service.application(), listening, url, values.body_seconds)
    )
    sys.stdout.flush()
    os._exit(code)  # a prediction that is under way is of no use to anyone


def define_flags() -> None:
    checkpoint_flags.define_flags()
    absl_flags.DEFINE_string(
        "address",
        "127.0.0.1",
        "Where it listens. Others than 127.0.0.1 or ::1 let other machines "
        "in: 0.0.0.0 is all of this machine's addresses.",
    )
    absl_flags.DEFINE_integer(
        "port",
        8501,
        "Its port; 0: a free one.",
        lower_bound=0,
        upper_bound=65535,
    )
    set_choices.define_limit_flags()
    absl_flags.DEFINE_string("name", "tfxml", "The model's name, in the URLs.")
    absl_flags.DEFINE_integer(
        "max_k", 100, "The largest k a request may ask for.", lower_bound=1
    )
    absl_flags.DEFINE_integer(
        "max_instances", 1024, "The most instances of a request.", lower_bound=1
    )
    absl_flags.DEFINE_integer(
        "max_request_mib", 16, "The largest request, in MiB.", lower_bound=1
    )
    absl_flags.DEFINE_integer(
        "max_upload_mib", 64, "The largest file, in MiB.", lower_bound=1
    )
    absl_flags.DEFINE_float(
        "body_seconds",
        30.0,
        "How long a request may take to arrive, a connection be idle, and a "
        "part of an answer be left unread.",
        lower_bound=0.1,
        upper_bound=86_400.0,
    )
    absl_flags.DEFINE_enum(
        "runtime",
        "auto",
        answers.RUNTIMES,
        "What finds labels; see tfxml.predict.",
    )


def run() -> None:
    flags.run(main, define_flags)


if __name__ == "__main__":
    run()
