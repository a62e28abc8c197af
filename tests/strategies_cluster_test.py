"""TF_CONFIG: what is accepted, and who is chief."""

import itertools
import json
import os
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.python.distribute import multi_worker_util

from strategies import cluster, strategy_errors

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _config(tasks, task_type="worker", index=0):
    task = {"type": task_type, "index": index}
    return json.dumps({"cluster": tasks, "task": task})


def _tasks(**sizes):
    ports = itertools.count(2000)
    return {
        name: tuple(f"h:{next(ports)}" for _ in range(size))
        for name, size in sizes.items()
        if size
    }


# What TF_CONFIG may be.


def test_no_cluster():
    assert cluster.from_environment({}) is None
    assert cluster.from_environment({"TF_CONFIG": "{}"}) is None


def test_round_trip_and_unknown_keys():
    tasks = _tasks(chief=1, worker=2, ps=3, evaluator=1)
    text = json.loads(_config(tasks, "ps", 2))
    text["environment"] = "cloud"
    found = cluster.from_json(json.dumps(text))
    assert found == cluster.Cluster(tasks, "ps", 2)
    assert cluster.from_json(found.to_json()) == found


def test_index_as_text_and_empty_lists_are_what_tensorflow_takes():
    found = cluster.from_json(_config({"worker": ["h:1"], "ps": []}, index="0"))
    assert found == cluster.Cluster({"worker": ("h:1",)}, "worker", 0)


@pytest.mark.parametrize(
    "text",
    [
        '{"task": {"type": "evaluator", "index": 0}}',
        '{"cluster": {}, "task": {"type": "evaluator", "index": 0}}',
        _config({"worker": ["h:1", "h:2"]}, "evaluator"),
        _config({"evaluator": ["h:1"]}, "evaluator"),
    ],
)
def test_evaluator_may_be_missing_from_the_cluster(text):
    assert cluster.from_json(text).is_evaluator


BAD = [
    # text, the field that the error names, a word of what it needs
    ("", "TF_CONFIG", "JSON"),
    ("{", "TF_CONFIG", "JSON"),
    ("[1]", "TF_CONFIG", "JSON"),
    ('"x"', "TF_CONFIG", "JSON"),
    ('{"cluster": {"worker": ["h:1"]}}', "TF_CONFIG.task", "object"),
    ('{"task": {"type": "worker", "index": 0}}', "TF_CONFIG.cluster", "object"),
    (_config([]), "TF_CONFIG.cluster", "object"),
    (_config({}), "TF_CONFIG.task.type", "cluster"),
    (_config({"worker": "h:1"}), "TF_CONFIG.cluster.worker", "list"),
    (_config({"worker": {"0": "h:1"}}), "TF_CONFIG.cluster.worker", "list"),
    (_config({"worker": [7]}), "TF_CONFIG.cluster.worker[0]", "host:port"),
    (_config({"master": ["h:1"]}), "TF_CONFIG.cluster", "chief, worker"),
    (_config({"worker": ["h:1"]}, "master"), "TF_CONFIG.task.type", "chief"),
    (_config({"worker": ["h:1"]}, None), "TF_CONFIG.task.type", "chief"),
    (_config({"worker": ["h:1"]}, "chief"), "TF_CONFIG.task.type", "worker"),
    (_config({"worker": ["h:1"]}, index=1), "TF_CONFIG.task.index", "0 to 0"),
    (_config({"worker": ["h:1"]}, index=-1), "TF_CONFIG.task.index", ">= 0"),
    (_config({"worker": ["h:1"]}, index=None), "TF_CONFIG.task.index", ">= 0"),
    (_config({"worker": ["h:1"]}, index=True), "TF_CONFIG.task.index", ">= 0"),
    (_config({"worker": ["h:1"]}, index=0.0), "TF_CONFIG.task.index", ">= 0"),
    (_config({}, "evaluator", 1), "TF_CONFIG.task.index", "0 to 0"),
    (
        _config({"worker": ["h:1", "h:1"]}),
        "TF_CONFIG.cluster.worker[1]",
        "worker[0]",
    ),
    (
        _config({"chief": ["localhost:5"], "worker": ["127.0.0.1:5"]}),
        "TF_CONFIG.cluster.worker[0]",
        "chief[0]",
    ),
    (_config(_tasks(chief=2, worker=1)), "TF_CONFIG.cluster.chief", "one"),
    (
        _config(_tasks(worker=1, evaluator=2)),
        "TF_CONFIG.cluster.evaluator",
        "one",
    ),
    ("[" * 100_000, "TF_CONFIG", "JSON like"),
    (_config(_tasks(worker=1, ps=1)), "TF_CONFIG.cluster", "with a chief"),
    (
        _config(_tasks(chief=1, ps=1), "chief"),
        "TF_CONFIG.cluster",
        "with a worker",
    ),
]


@pytest.mark.parametrize(("text", "field", "word"), BAD)
def test_error_names_field_need_and_value(text, field, word):
    with pytest.raises(strategy_errors.StrategyError) as caught:
        cluster.from_json(text)
    assert caught.value.field == field
    assert word in caught.value.needed
    assert f"`{field}` must be" in str(caught.value)
    assert f"Received: {field}={caught.value.value!r}" in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=8),
    lambda x: (
        st.lists(x, max_size=3)
        | st.dictionaries(
            st.sampled_from([*cluster.TASK_TYPES, "cluster", "task", "index"])
            | st.text(max_size=3),
            x,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(JSON, JSON)
def test_whatever_is_read_either_works_or_is_named(found, task):
    for value in (found, {"cluster": found, "task": task}):
        try:
            cluster.from_json(json.dumps(value))
        except strategy_errors.StrategyError as error:
            assert error.field.startswith("TF_CONFIG")


# Roles.

SIZES = [
    (chief, worker, ps, evaluator)
    for chief in (0, 1)
    for worker in (0, 1, 3)
    for ps in (0, 2)
    for evaluator in (0, 1)
    if (chief and worker) or (not ps and chief + worker)
]


@pytest.mark.parametrize("sizes", SIZES)
def test_chief_is_whom_tensorflow_takes_for_it(sizes):
    tasks = _tasks(
        chief=sizes[0], worker=sizes[1], ps=sizes[2], evaluator=sizes[3]
    )
    everyone = [
        (name, i) for name, found in tasks.items() for i in range(len(found))
    ]
    for name, index in {*everyone, ("evaluator", 0)}:
        task = cluster.Cluster(tasks, name, index)
        spec = {k: list(v) for k, v in tasks.items()}
        expected = multi_worker_util.is_chief(spec, name, index)
        assert task.is_chief == expected, (name, index)
    trainers = [cluster.Cluster(tasks, *who) for who in everyone]
    trainers = [task for task in trainers if not task.is_evaluator]
    assert sum(task.is_chief for task in trainers) == 1


@pytest.mark.parametrize(
    ("sizes", "num_workers"),
    [
        ({"worker": 3}, 3),
        ({"chief": 1, "worker": 2}, 3),
        ({"chief": 1}, 1),
        ({"chief": 1, "worker": 2, "ps": 2}, 2),
        ({"chief": 1, "worker": 2, "evaluator": 1}, 3),
    ],
)
def test_who_computes_gradients(sizes, num_workers):
    name = next(iter(sizes))
    assert cluster.Cluster(_tasks(**sizes), name, 0).num_workers == num_workers


def test_only_parameter_server_clusters_have_servers():
    tasks = _tasks(chief=1, worker=1, ps=1)
    is_server = {
        name: cluster.Cluster(tasks, name, 0).is_server
        for name in cluster.TASK_TYPES
    }
    expected = {"chief": 0, "worker": 1, "ps": 1, "evaluator": 0}
    assert is_server == expected
    assert not cluster.Cluster(_tasks(worker=2), "worker", 1).is_server


def test_servers_by_name():
    task = cluster.Cluster({"worker": ("a:1", "b:2")}, "evaluator", 0)
    found = task.servers("chief", "worker")
    assert found == {"worker:0": "a:1", "worker:1": "b:2"}


def test_evaluators_are_not_connected():
    task = cluster.Cluster(_tasks(worker=1, evaluator=1), "worker", 0)
    assert set(task.training_tasks()) == {"worker"}


@pytest.mark.parametrize(
    ("task_type", "index", "is_workdir"),
    [("worker", 0, True), ("worker", 1, False), ("evaluator", 0, True)],
)
def test_write_folder(tmp_path, task_type, index, is_workdir):
    task = cluster.Cluster(_tasks(worker=2), task_type, index)
    folder = cluster.write_folder(str(tmp_path), task)
    assert (folder == str(tmp_path)) == is_workdir
    assert os.path.isdir(folder)
    assert is_workdir or not folder.startswith(str(tmp_path))


def test_write_folder_without_cluster():
    assert cluster.write_folder("/there", None) == "/there"


def test_write_folders_of_two_workers_differ_and_are_removed_at_exit():
    script = (
        "from strategies import cluster\n"
        "t = {'worker': ('h:1', 'h:2', 'h:3')}\n"
        "for i in (1, 2):\n"
        "    w = cluster.Cluster(t, 'worker', i)\n"
        "    print(cluster.write_folder('x', w))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folders = found.stdout.split()
    assert len(set(folders)) == 2
    assert not any(os.path.exists(folder) for folder in folders)
