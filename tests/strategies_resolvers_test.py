"""TF_CONFIG from SLURM and from a Kubernetes Indexed Job."""

import os
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.python.distribute.cluster_resolver import (
    slurm_cluster_resolver,
)

from strategies import addresses, cluster, resolvers, strategy_errors

ROOT = pathlib.Path(__file__).resolve().parents[1]


# SLURM.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1", ["n1"]),
        ("n[1-3]", ["n1", "n2", "n3"]),
        ("n[08-11,3]", ["n08", "n09", "n10", "n11", "n3"]),
        ("a,b[1,3],c-d.e", ["a", "b1", "b3", "c-d.e"]),
        ("r[0-1]n[1-2]", ["r0n1", "r0n2", "r1n1", "r1n2"]),
        ("n[1-2]-ib", ["n1-ib", "n2-ib"]),
    ],
)
def test_expand_hosts(text, expected):
    assert resolvers.expand_hosts(text) == expected


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["n", "gpu-a", "m0x"]),
            st.lists(
                st.tuples(st.integers(0, 120), st.integers(0, 12)), max_size=3
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_expand_hosts_like_tensorflow(parts):
    names = []
    for name, ranges in parts:
        inner = ",".join(
            f"{a:03d}-{a + b:03d}" if b else str(a) for a, b in ranges
        )
        names.append(f"{name}[{inner}]" if ranges else name)
    text = ",".join(names)
    expected = slurm_cluster_resolver.expand_hostlist(text)
    assert resolvers.expand_hosts(text) == expected


@pytest.mark.parametrize("text", ["2", "3(x2),2,1", "1(x128)"])
def test_expand_counts_like_tensorflow(text):
    expected = slurm_cluster_resolver.expand_tasks_per_node(text)
    assert resolvers.expand_counts(text) == expected


@pytest.mark.parametrize(
    "text", ["n[1-2", "n1-2]", "n[2-1]", "n[a]", "a,,b", "n[]", ","]
)
def test_bad_host_list(text):
    with pytest.raises(strategy_errors.StrategyError, match="SLURM_NODELIST"):
        resolvers.expand_hosts(text)


def test_bad_counts():
    with pytest.raises(
        strategy_errors.StrategyError, match="SLURM_TASKS_PER_NODE"
    ):
        resolvers.expand_counts("2(y3)")


def _slurm(rank, **more):
    environ = {
        "SLURM_PROCID": str(rank),
        "SLURM_JOB_ID": "313",
        "SLURM_STEP_NODELIST": "n[9-10]",
        "SLURM_STEP_TASKS_PER_NODE": "3,2",
    }
    return {**environ, **more}


def test_slurm_workers_in_the_order_of_their_ranks():
    # Job 313 is 1 modulo 312. n9 stays before n10.
    expected = ("n9:12064", "n9:12065", "n9:12066", "n10:12064", "n10:12065")
    for rank in range(5):
        found = resolvers.from_slurm(_slurm(rank))
        assert found == cluster.Cluster({"worker": expected}, "worker", rank)


def test_slurm_roles():
    who = []
    for rank in range(5):
        found = resolvers.from_slurm(_slurm(rank), 1, True, port=7000)
        who.append(found.task_name)
        assert found.tasks["chief"] == ("n9:7000",)
        assert found.tasks["ps"] == ("n10:7000",)
    assert who == ["chief:0", "worker:0", "worker:1", "ps:0", "evaluator:0"]


def test_slurm_job_where_there_is_no_step():
    environ = {
        "SLURM_PROCID": "0",
        "SLURM_JOB_ID": "0",
        "SLURM_JOB_NODELIST": "a",
        "SLURM_TASKS_PER_NODE": "1",
    }
    found = resolvers.from_slurm(environ)
    assert found.tasks == {"worker": ("a:12000",)}


@pytest.mark.parametrize("job", ["0", "311", "4000000000"])
def test_slurm_ports_stay_below_those_of_clients(job):
    environ = _slurm(0, SLURM_JOB_ID=job, SLURM_STEP_TASKS_PER_NODE="64(x2)")
    found = resolvers.from_slurm(environ)
    ports = [addresses.split(a)[1] for a in found.tasks["worker"]]
    assert 12000 <= min(ports) <= max(ports) < 32768


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"SLURM_PROCID": "x"}, "SLURM_PROCID"),
        ({"SLURM_PROCID": "5"}, "rank"),
        ({"SLURM_JOB_ID": ""}, "SLURM_JOB_ID"),
        ({"SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST"),
        ({"SLURM_STEP_TASKS_PER_NODE": "3"}, "SLURM_TASKS_PER_NODE"),
        ({"SLURM_DISTRIBUTION": "cyclic"}, "SLURM_DISTRIBUTION"),
    ],
)
def test_bad_slurm(change, field):
    with pytest.raises(strategy_errors.StrategyError) as caught:
        resolvers.from_slurm(_slurm(0, **change))
    assert caught.value.field == field


def test_slurm_too_few_tasks():
    with pytest.raises(strategy_errors.StrategyError, match="4 ps") as caught:
        resolvers.from_slurm(_slurm(0), num_ps=4)
    assert caught.value.value == 5


def test_cyclic_is_block_with_one_task_a_node():
    environ = _slurm(
        1, SLURM_DISTRIBUTION="cyclic", SLURM_STEP_TASKS_PER_NODE="1(x2)"
    )
    assert resolvers.from_slurm(environ).task_name == "worker:1"


# Kubernetes.


@pytest.mark.parametrize(
    "environ", [{"JOB_NAME": "a-1"}, {"HOSTNAME": "a-1-2"}]
)
def test_indexed_job(environ):
    environ = {"JOB_COMPLETION_INDEX": "2", **environ}
    found = resolvers.from_indexed_job(environ, 3, "svc")
    expected = ("a-1-0.svc:2222", "a-1-1.svc:2222", "a-1-2.svc:2222")
    assert found == cluster.Cluster({"worker": expected}, "worker", 2)


def test_indexed_job_with_parameter_servers():
    environ = {"JOB_COMPLETION_INDEX": "3", "JOB_NAME": "j"}
    found = resolvers.from_indexed_job(environ, 4, "s", num_ps=2, port=5)
    assert found.task_name == "ps:1"
    assert found.tasks["chief"] == ("j-0.s:5",)


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"JOB_NAME": "j"}, "JOB_COMPLETION_INDEX"),
        ({"JOB_COMPLETION_INDEX": "0"}, "HOSTNAME"),
        ({"JOB_COMPLETION_INDEX": "0", "HOSTNAME": "node"}, "HOSTNAME"),
        ({"JOB_COMPLETION_INDEX": "2", "JOB_NAME": "j"}, "rank"),
        ({"JOB_COMPLETION_INDEX": "0", "JOB_NAME": "j" * 62}, "JOB_NAME"),
    ],
)
def test_bad_indexed_job(environ, field):
    with pytest.raises(strategy_errors.StrategyError) as caught:
        resolvers.from_indexed_job(environ, 2, "s")
    assert caught.value.field == field


def _python(*arguments, **environ):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


def test_resolvers_become_the_command():
    command = ["-c", "import os; print(os.environ['TF_CONFIG'])"]
    slurm = _python(
        *["-m", "strategies.resolvers", "slurm", "--ps=1", "--port=7000"],
        *["--", sys.executable, *command],
        **_slurm(1),
    )
    found = cluster.from_json(slurm.stdout)
    assert found == resolvers.from_slurm(_slurm(1), num_ps=1, port=7000)
    environ = {"JOB_COMPLETION_INDEX": "1", "JOB_NAME": "j"}
    job = _python(
        *["-m", "strategies.resolvers", "indexed_job", "--tasks=2"],
        *["--service=s", "--", sys.executable, *command],
        **environ,
    )
    found = cluster.from_json(job.stdout)
    assert found == resolvers.from_indexed_job(environ, 2, "s")
