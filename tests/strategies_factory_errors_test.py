"""What the factory says when it cannot, before TensorFlow connects."""

import json
import socket

import pytest

from strategies import addresses, factory, strategy_errors, strategy_options

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


WRONG = [
    # name, arguments, the field that the error names, a word of its need
    ("mirrord", {}, "name", "mirrored"),
    ("one_device", {"devices": CPUS}, "devices", "one device"),
    ("mirrored", {"devices": []}, "devices", "list"),
    ("mirrored", {"devices": "CPU:0"}, "devices", "list"),
    ("mirrored", {"devices": ["CPU0"]}, "devices", "CPU:0"),
    ("mirrored", {"devices": ["TPU:0"]}, "devices", "CPU:0"),
    ("mirrored", {"devices": ["CPU:0", "cpu:0"]}, "devices", "different"),
    ("mirrored", {"devices": ["CPU:0", "GPU:7"]}, "devices", "CPU:1"),
    ("one_device", {"devices": ["GPU:7"]}, "devices", "CPU:1"),
    ("central_storage", {"devices": ["CPU:2"]}, "devices", "CPU:1"),
    ("default", {"devices": ["CPU:0"]}, "devices", "None for default"),
    (
        "mirrored",
        {"communication": strategy_options.Communication(reduction="nccl")},
        "reduction",
        "CPU:0",
    ),
    (
        "mirrored",
        {"communication": strategy_options.Communication(collective="ring")},
        "collective",
        "multi_worker",
    ),
    (
        "default",
        {"communication": strategy_options.Communication(connect_seconds=1)},
        "connect_seconds",
        "parameter_server",
    ),
    (
        "mirrored",
        {"partition": strategy_options.Partition()},
        "partition",
        "None",
    ),
    ("mirrored", {"tpu_address": "local"}, "tpu_address", "None"),
    ("mirrored", {"batch_size": 0}, "batch_size", ">= 1"),
    ("multi_worker", {}, "TF_CONFIG", "set for multi_worker"),
    ("parameter_server", {}, "TF_CONFIG", "set for parameter_server"),
    ("tpu", {}, "tpu_address", "TPU_NAME"),
    ("tpu", {"tpu_address": "1.2.3.4:8470"}, "tpu_address", "grpc://"),
    ("tpu", {"tpu_address": "local"}, "tensorflow-tpu", "installed"),
]


@pytest.mark.parametrize(("name", "arguments", "field", "word"), WRONG)
def test_wrong_arguments(name, arguments, field, word):
    with pytest.raises(strategy_errors.StrategyError) as caught:
        factory.create(name, **arguments)
    assert caught.value.field == field
    assert word in caught.value.needed


@pytest.mark.parametrize(
    ("kind", "arguments", "field"),
    [
        (strategy_options.Communication, {"reduction": "ring"}, "reduction"),
        (strategy_options.Communication, {"collective": "gloo"}, "collective"),
        (strategy_options.Communication, {"num_packs": 0}, "num_packs"),
        (strategy_options.Communication, {"num_packs": 2}, "num_packs"),
        (
            strategy_options.Communication,
            {"bytes_per_pack": -1},
            "bytes_per_pack",
        ),
        (
            strategy_options.Communication,
            {"timeout_seconds": 0},
            "timeout_seconds",
        ),
        (
            strategy_options.Communication,
            {"connect_seconds": None},
            "connect_seconds",
        ),
        (strategy_options.Partition, {"min_shard_bytes": 0}, "min_shard_bytes"),
        (strategy_options.Partition, {"max_shards": 0}, "max_shards"),
    ],
)
def test_wrong_options(kind, arguments, field):
    with pytest.raises(strategy_errors.StrategyError) as caught:
        kind(**arguments)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("name", "tasks", "who", "field", "word"),
    [
        ("mirrored", TWO_WORKERS, "worker", "name", "for 2 workers"),
        ("default", TWO_WORKERS, "worker", "name", "multi_worker"),
        ("multi_worker", WITH_PS, "chief", "TF_CONFIG.cluster", "without ps"),
        ("mirrored", WITH_PS, "chief", "TF_CONFIG.cluster", "without ps"),
        (
            "parameter_server",
            TWO_WORKERS,
            "worker",
            "TF_CONFIG.cluster",
            "chief, worker and ps",
        ),
        ("auto", WITH_PS, "worker", "TF_CONFIG.task.type", "serve"),
        ("parameter_server", WITH_PS, "ps", "TF_CONFIG.task.type", "serve"),
    ],
)
def test_wrong_cluster(monkeypatch, name, tasks, who, field, word):
    _join(monkeypatch, tasks, who)
    with pytest.raises(strategy_errors.StrategyError) as caught:
        factory.create(name)
    assert caught.value.field == field
    assert word in caught.value.needed


def _local_tasks(*names):
    ports = iter(addresses.free_ports(len(names)))
    return {name: [f"127.0.0.1:{next(ports)}"] for name in names}


SHORT = strategy_options.Communication(connect_seconds=0.3)


@pytest.mark.parametrize(
    ("name", "names", "missing"),
    [
        ("multi_worker", ("chief", "worker"), ["worker"]),
        ("parameter_server", ("chief", "worker", "ps"), ["worker", "ps"]),
    ],
)
def test_tasks_that_never_come_are_named(monkeypatch, name, names, missing):
    tasks = _local_tasks(*names)
    _join(monkeypatch, tasks, "chief")
    with pytest.raises(TimeoutError, match="within 0.3 s") as caught:
        factory.create(name, communication=SHORT)
    for task in missing:
        assert f"{task}:0 at {tasks[task][0]}" in str(caught.value)
    assert "chief:0" not in str(caught.value)


@pytest.mark.parametrize("name", ["multi_worker", "parameter_server"])
def test_a_port_that_is_taken_is_named(monkeypatch, name):
    names = ("chief", "worker", "ps")[: 2 + (name == "parameter_server")]
    tasks = _local_tasks(*names)
    _join(monkeypatch, tasks, "chief")
    _, port = addresses.split(tasks["chief"][0])
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(OSError, match=f"port {port}: .*in use"):
            factory.create(name, communication=SHORT)


def test_a_remote_tpu_that_does_not_answer_is_named():
    address = f"127.0.0.1:{addresses.free_ports(1)[0]}"
    with pytest.raises(TimeoutError, match=f"tpu {address}"):
        factory.create(
            "tpu", tpu_address=f"grpc://{address}", communication=SHORT
        )
