"""The factory: what each name gives, and what it says when it cannot.

On the two logical CPUs of conftest.py; what needs other processes is in
strategies_processes_test.py.
"""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from strategies import cluster, factory, strategy_errors, strategy_options

ROOT = pathlib.Path(__file__).resolve().parents[1]
CPUS = ("CPU:0", "CPU:1")
TWO_WORKERS = {"worker": ["127.0.0.1:2001", "127.0.0.1:2002"]}
WITH_PS = {
    "chief": ["127.0.0.1:2001"],
    "worker": ["127.0.0.1:2002"],
    "ps": ["127.0.0.1:2003"],
}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("TF_CONFIG", "TPU_NAME", "TPU_ACCELERATOR_TYPE"):
        monkeypatch.delenv(name, raising=False)


def _join(monkeypatch, tasks, task_type="worker", index=0):
    task = {"type": task_type, "index": index}
    value = json.dumps({"cluster": tasks, "task": task})
    monkeypatch.setenv("TF_CONFIG", value)


# What is made.

LOCAL = {
    # name: class, devices to choose from, expected replicas
    "default": (type(tf.distribute.get_strategy()), None, 1),
    "one_device": (tf.distribute.OneDeviceStrategy, ["cpu:1"], 1),
    "mirrored": (tf.distribute.MirroredStrategy, CPUS, 2),
    "central_storage": (
        tf.distribute.experimental.CentralStorageStrategy,
        ["/device:CPU:0", "/cpu:1"],
        2,
    ),
}


def test_every_name_is_tested_here_or_with_processes():
    others = {"auto", "multi_worker", "parameter_server", "tpu"}
    assert set(strategy_options.NAMES) == {*LOCAL, *others}


@pytest.mark.parametrize("name", LOCAL)
def test_local_strategies(name):
    expected, devices, replicas = LOCAL[name]
    strategy = factory.create(name, devices=devices)
    assert type(strategy) is expected
    assert strategy.num_replicas_in_sync == replicas
    # SGD by hand on mean (x w - y)^2 / 2, as one device would do it.
    x, y = np.arange(8.0, dtype=np.float32) / 8, np.float32(3.0)
    with strategy.scope():
        w = tf.Variable(1.0, aggregation=tf.VariableAggregation.SUM)

    def step(shard):
        gradient = tf.reduce_sum((shard * w - y) * shard) / len(x)
        w.assign_sub(0.5 * gradient)
        return tf.reduce_sum(shard)

    shards = np.split(x, replicas)
    values = strategy.experimental_distribute_values_from_function(
        lambda c: tf.constant(shards[c.replica_id_in_sync_group])
    )
    run = tf.function(lambda shard: strategy.run(step, args=(shard,)))
    total = strategy.reduce("SUM", run(values), axis=None)
    np.testing.assert_allclose(total, x.sum(), rtol=1e-6)
    np.testing.assert_allclose(w.numpy(), 1 - 0.5 * np.mean((x - y) * x), 1e-6)


@pytest.mark.parametrize(
    ("name", "devices"),
    [
        ("one_device", ["CPU:1"]),
        ("mirrored", CPUS),
        ("mirrored", ["CPU:1"]),
        ("central_storage", CPUS),
        ("central_storage", ["CPU:1"]),
    ],
)
def test_variables_and_replicas_are_on_the_devices(name, devices):
    strategy = factory.create(name, devices=devices)
    with strategy.scope():
        v = tf.Variable(1.0)
    found = [d.rpartition(":C")[2] for d in strategy.extended.worker_devices]
    assert [f"C{d}" for d in found] == list(devices)
    # Central storage keeps what two devices share with the host.
    expected = devices[0]
    assert tf.convert_to_tensor(v).device.endswith(expected)


@pytest.mark.parametrize("name", ["mirrored", "central_storage"])
def test_without_gpus_all_cpus_are_used(name):
    assert factory.create(name).num_replicas_in_sync == 2


@pytest.mark.parametrize("reduction", ["hierarchical_copy", "one_device"])
def test_reduction(reduction):
    packs = 2 if reduction == "hierarchical_copy" else 1
    communication = strategy_options.Communication(
        reduction=reduction, num_packs=packs
    )
    strategy = factory.create(
        "mirrored", devices=CPUS, communication=communication
    )

    def add():
        context = tf.distribute.get_replica_context()
        mine = tf.cast(context.replica_id_in_sync_group + 1, tf.float32)
        return context.all_reduce("sum", [mine, [mine, 10 * mine]])

    found = tf.function(lambda: strategy.run(add))()
    for replica in range(2):
        one, two = tf.nest.map_structure(
            lambda v, i=replica: strategy.experimental_local_results(v)[i],
            found,
        )
        assert one.numpy() == 3
        assert [v.numpy() for v in two] == [3, 30]


# What `auto` finds.


@pytest.mark.parametrize(
    ("tasks", "who", "tpu", "expected"),
    [
        (None, None, None, "default"),
        ({"worker": ["h:1"]}, "worker", None, "default"),
        ({"chief": ["h:1"]}, "chief", None, "default"),
        (TWO_WORKERS, "worker", None, "multi_worker"),
        ({"chief": ["h:1"], "worker": ["h:2"]}, "chief", None, "multi_worker"),
        (WITH_PS, "chief", None, "parameter_server"),
        (WITH_PS, "evaluator", None, "default"),
        (TWO_WORKERS, "evaluator", None, "default"),
        (None, None, "local", "tpu"),
        (TWO_WORKERS, "worker", "local", "multi_worker"),
    ],
)
def test_auto(monkeypatch, tasks, who, tpu, expected):
    if tpu:
        monkeypatch.setenv("TPU_NAME", tpu)
    if tasks:
        _join(monkeypatch, tasks, who)
    task = cluster.from_environment()
    assert factory.resolve("auto", task) == expected


@pytest.mark.parametrize("name", ["multi_worker", "parameter_server"])
def test_an_evaluator_is_a_cluster_of_its_own(monkeypatch, name):
    _join(monkeypatch, WITH_PS if name[0] == "p" else TWO_WORKERS, "evaluator")
    partition = strategy_options.Partition() if name[0] == "p" else None
    communication = strategy_options.Communication(connect_seconds=1)
    strategy = factory.create(
        name, communication=communication, partition=partition
    )
    assert strategy is tf.distribute.get_strategy()
    assert "role=evaluator:0" in factory.describe(strategy)


def test_other_names_stand_for_themselves(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "local")
    for name in set(strategy_options.NAMES) - {"auto"}:
        assert factory.resolve(name, None) == name


# What it says.


@pytest.mark.parametrize(
    ("name", "devices", "expected"),
    [
        (
            "default",
            None,
            "strategy=default replicas=1 devices=CPU:0 workers=1 ps=0 "
            "role=chief",
        ),
        (
            "one_device",
            ["CPU:1"],
            "strategy=one_device replicas=1 devices=CPU:1 workers=1 ps=0 "
            "role=chief",
        ),
        (
            "mirrored",
            CPUS,
            "strategy=mirrored replicas=2 devices=CPU:0,CPU:1 workers=1 ps=0 "
            "role=chief",
        ),
        (
            "central_storage",
            CPUS,
            "strategy=central_storage replicas=2 devices=CPU:0,CPU:1 "
            "workers=1 ps=0 role=chief",
        ),
    ],
)
def test_describe(name, devices, expected):
    strategy = factory.create(name, devices=devices)
    assert factory.describe(strategy) == expected


# Logical CPUs.


def test_logical_cpus_again_is_no_error():
    factory.logical_cpus(2)


@pytest.mark.parametrize("count", [0, -1, 1.0])
def test_wrong_logical_cpus(count):
    with pytest.raises(strategy_errors.StrategyError, match="count"):
        factory.logical_cpus(count)


def test_logical_cpus_in_a_process_of_its_own():
    script = (
        "from strategies import factory\n"
        "factory.logical_cpus(3)\n"
        "print(factory.describe(factory.create('mirrored')))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "replicas=3 devices=CPU:0,CPU:1,CPU:2" in found.stdout
