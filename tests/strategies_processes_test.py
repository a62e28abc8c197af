"""Strategies that take several TensorFlow processes, in real ones."""

import os
import signal
import subprocess
import sys
import time

import launched
import pytest

from strategies import addresses, cluster

pytestmark = pytest.mark.slow

MULTI_WORKER = """
import sys; sys.path.insert(0, os.getcwd())
import tensorflow as tf
from strategies import factory, strategy_options
strategy = factory.create(
    "auto",
    communication=options.Communication(
        collective="ring", connect_seconds=120
    ),
)
say(factory.describe(strategy))
def add():
    mine = tf.constant(10.0 ** config["task"]["index"])
    return tf.distribute.get_replica_context().all_reduce("sum", mine)
say("sum", strategy.run(tf.function(add)).numpy())
"""

PARAMETER_SERVER = """
import sys; sys.path.insert(0, os.getcwd())
import tensorflow as tf
from strategies import cluster, factory, strategy_options, parameter_server
task = cluster.from_environment()
if task.is_server:
    gone_seconds = float(os.environ.get("GONE", 60))
    log("serve")
    code = parameter_server.serve(
        task, parameter_server.Patience(gone_seconds=gone_seconds)
    )
    log(f"ends {code}")
    sys.exit(code)
strategy = factory.create(
    "auto", partition=options.Partition(min_shard_bytes=16)
)
say(factory.describe(strategy))
if task.is_evaluator:
    sys.exit(0)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    count = tf.Variable(0.0)
    table = tf.Variable(lambda: tf.zeros([7, 2]), shape=[7, 2])
shards = getattr(table, "variables", [])
say("shards", *[shard.shape[0] for shard in shards])
say("devices", *[shard.device.split("/")[1:4:2] for shard in shards])
log("training")
@tf.function
def step():
    count.assign_add(1.0)
for _ in range(int(os.environ["STEPS"])):
    coordinator.schedule(step)
    time.sleep(float(os.environ.get("PAUSE", 0)))
coordinator.join()
say("count", count.numpy())
"""


@pytest.fixture
def launch(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    monkeypatch.setenv("PYTHONPATH", str(launched.ROOT))
    with launched.launcher(tmp_path, python=()) as start:
        yield start


def test_two_workers_add_up(launch):
    run = launch("--workers=2", MULTI_WORKER)
    assert run.end(180) == 0
    for index, name in enumerate(("worker:0(chief)", "worker:1")):
        lines = launched.lines(run.out)[f"worker:{index}"]
        assert lines == [
            "strategy=multi_worker replicas=2 devices=CPU:0 workers=2 ps=0 "
            f"role={name}",
            "sum 11.0",
        ]


def test_chief_worker_ps_and_evaluator(launch, monkeypatch):
    monkeypatch.setenv("STEPS", "10")
    run = launch("--workers=1 --ps=2 --evaluator", PARAMETER_SERVER)
    assert run.end(240) == 0
    lines = launched.lines(run.out)
    assert lines["chief:0"] == [
        "strategy=parameter_server replicas=1 devices=CPU:0 workers=1 ps=2 "
        "role=chief:0",
        "shards 4 3",
        "devices ['job:ps', 'task:1'] ['job:ps', 'task:0']",
        "count 10.0",
    ]
    assert lines["evaluator:0"] == [
        "strategy=default replicas=1 devices=CPU:0 workers=1 ps=0 "
        "role=evaluator:0"
    ]
    # The launcher asked them, and none had to be killed.
    for name in ("worker:0", "ps:0", "ps:1"):
        assert f"{name} ends 0" in run.log()


def test_a_killed_worker_comes_back_and_no_step_is_lost(launch, monkeypatch):
    monkeypatch.setenv("STEPS", "150")
    monkeypatch.setenv("PAUSE", "0.1")
    run = launch("--workers=1 --ps=1 --max_restarts=1", PARAMETER_SERVER)
    run.wait_for("chief:0 training", seconds=180)
    time.sleep(1)
    os.kill(run.pid("worker:0"), signal.SIGKILL)
    assert run.end(240) == 0
    assert run.log().count("worker:0 serve") == 2
    # At least once: a step may have been applied and not reported.
    (line,) = [x for x in run.out.splitlines() if "count" in x]
    assert 150 <= float(line.split()[-1]) <= 152


def _read(path):
    return path.read_text() if path.exists() else ""


def test_servers_end_without_a_launcher_when_the_chief_is_killed(tmp_path):
    ports = addresses.free_ports(3)
    tasks = {
        name: (f"127.0.0.1:{port}",)
        for name, port in zip(("chief", "worker", "ps"), ports, strict=True)
    }
    environ = {
        **os.environ,
        "HERE": str(tmp_path),
        "STEPS": "100000",
        "PAUSE": "0.1",
        "GONE": "2",
    }
    processes = {}
    for name in tasks:
        task = cluster.Cluster(tasks, name, 0)
        processes[name] = subprocess.Popen(
            [sys.executable, "-c", launched.PRELUDE + PARAMETER_SERVER],
            cwd=launched.ROOT,
            env={**environ, "TF_CONFIG": task.to_json()},
        )
    try:
        deadline = time.monotonic() + 180
        while "chief:0 training" not in _read(tmp_path / "log"):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        time.sleep(2)
        processes["chief"].kill()
        assert processes["worker"].wait(60) == 0
        assert processes["ps"].wait(60) == 0
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
