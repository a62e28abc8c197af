"""The tf.data service's servers: whom they let in, and how they end."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess

import pytest
import runs

from strategies import addresses, strategy_errors
from tfxml import config as config_lib
from tfxml import serve_data
from tfxml.run import datasets


@contextlib.contextmanager
def _server(*flags):
    """Gives a server that is up, and the last word of what it says."""
    process = subprocess.Popen(
        runs.command("tfxml.serve_data", *flags),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()


def _outer():
    """Returns an address of this machine that others reach it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine is reached by loopback alone")
        return probe.getsockname()[0]


def _ports(process):
    """Returns the ports at which a process listens."""
    table = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{process.pid}/net/{name}") as lines:
            table += [line.split() for line in list(lines)[1:]]
    inodes = set()
    for handle in pathlib.Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed in between
            inodes.add(os.readlink(handle))
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in table
        if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    }


def test_loopback_alone_lets_in():
    dispatcher = serve_data.start(0)
    worker = serve_data.start(0, dispatcher.target)
    port = addresses.split(dispatcher.target.removeprefix("grpc://"))[1]
    assert addresses.answers(f"localhost:{port}")
    assert not addresses.answers(f"{_outer()}:{port}")
    del worker


def test_a_port_that_is_taken_is_named():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port}: Address already in"):
            serve_data.start(port)


def test_two_servers_do_not_share_a_port():
    server = serve_data.start(0)
    port = addresses.split(server.target.removeprefix("grpc://"))[1]
    with pytest.raises(OSError, match=f"port {port}: Address already in use"):
        serve_data.start(port)
    del server


def test_a_dispatcher_that_is_not_there_is_named():
    (port,) = addresses.free_ports(1)
    with pytest.raises(
        TimeoutError, match=f"the dispatcher at localhost:{port}"
    ):
        serve_data.start(0, f"grpc://localhost:{port}", connect_seconds=0.5)


@pytest.mark.parametrize("address", ["grpc://x", "x:5050", "grpc://x:99999"])
def test_a_dispatcher_that_cannot_be_is_named(address):
    with pytest.raises((ValueError, strategy_errors.StrategyError)) as raised:
        serve_data.start(0, address)
    assert address.removeprefix("grpc://") in str(raised.value)


def test_training_names_a_service_that_is_not_there(monkeypatch):
    monkeypatch.setattr(datasets, "_SERVICE_SECONDS", 0.3)
    (port,) = addresses.free_ports(1)
    with pytest.raises(
        TimeoutError, match=f"tf.data service at localhost:{port}"
    ):
        datasets.training_data(
            config_lib.Config(), "", data_service=f"grpc://localhost:{port}"
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_both(signum, code):
    with _server() as (dispatcher, target):
        with _server(f"--dispatcher={target}") as (worker, _):
            for process in (worker, dispatcher):
                process.send_signal(signum)
                assert process.wait(30) == code


@pytest.mark.slow
def test_a_worker_ends_without_its_dispatcher():
    with _server() as (dispatcher, target):
        words = [f"--dispatcher={target}", "--connect_seconds=4"]
        with _server(*words) as (worker, _):
            dispatcher.kill()
            output, errors = worker.communicate(timeout=60)
            assert worker.returncode == 69
            assert f"waits     for {target}, which is gone" in output
            assert f"FATAL no answer from the dispatcher {target}" in errors


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["dispatcher", "worker"])
def test_training_ends_with_a_word_without_its_service(lost, tmp_path):
    with _server() as (dispatcher, target):
        with _server(f"--dispatcher={target}") as (worker, _):
            train = subprocess.Popen(
                runs.command(
                    "tfxml.train",
                    *["--synthetic_labels=60", "--synthetic_train=2000"],
                    *["--synthetic_test=90", "--hidden_units=8"],
                    *["--batch_size=8", "--num_epochs=300"],
                    *["--steps_per_loop=10", "--stall_seconds=10"],
                    *[f"--data_service={target}", f"--workdir={tmp_path}"],
                ),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                for line in train.stdout:
                    if line.startswith("epoch 1:"):
                        break
                (dispatcher if lost == "dispatcher" else worker).kill()
                _, errors = train.communicate(timeout=120)
            finally:
                train.kill()
                train.wait()
            assert train.returncode == 75
            assert "FATAL" in errors and "tf.data service is lost" in errors


@pytest.mark.slow
def test_an_address_lets_others_in_with_a_warning():
    outer = _outer()
    with _server(f"--address={outer}") as (dispatcher, target):
        (port,) = _ports(dispatcher)
        assert addresses.answers(f"{outer}:{port}")
        words = [f"--dispatcher=grpc://{outer}:{port}"]
        with _server(*words) as (worker, _):
            (port,) = _ports(worker)
            assert addresses.answers(f"localhost:{port}")
            assert not addresses.answers(f"{outer}:{port}")
        dispatcher.send_signal(signal.SIGTERM)
        _, errors = dispatcher.communicate(timeout=60)
        assert "WARNING listens on every interface" in errors


@pytest.mark.slow
@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_out_of_range_is_refused(port):
    done = runs.finished(runs.command("tfxml.serve_data", f"--port={port}"))
    assert done.returncode == 1
    assert "FATAL" in done.stderr and "--port" in done.stderr
