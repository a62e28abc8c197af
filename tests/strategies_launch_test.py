"""The launcher: what it tells its processes, and how they end."""

import collections
import json
import re
import subprocess
import sys

import launched
import pytest


@pytest.fixture
def launch(tmp_path):
    with launched.launcher(tmp_path) as start:
        yield start


# What the processes are told.


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        ("--workers=1", ["worker:0"]),
        ("--workers=3", ["worker:0", "worker:1", "worker:2"]),
        (
            "--workers=1 --ps=2 --evaluator",
            ["chief:0", "evaluator:0", "ps:0", "ps:1", "worker:0"],
        ),
    ],
)
def test_each_process_gets_its_task_and_all_the_same_cluster(
    launch, flags, names
):
    run = launch(
        flags,
        "say(os.environ['TF_CONFIG']); count()\n"
        "is_server = 'ps' in config['cluster'] and role in ('ps', 'worker')\n"
        "while is_server: time.sleep(1)\n"
        f"while len((here / 'log').read_text().split()) < {2 * len(names)}:\n"
        "    time.sleep(0.02)\n",
    )
    assert run.end() == 0
    found = launched.lines(run.out)
    assert sorted(found) == names
    clusters = []
    for name, (line,) in found.items():
        config = json.loads(line)
        assert "{type}:{index}".format(**config["task"]) == name
        clusters.append(config["cluster"])
    assert all(cluster == clusters[0] for cluster in clusters)
    everyone = [a for tasks in clusters[0].values() for a in tasks]
    assert len(set(everyone)) == len(everyone)
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", a) for a in everyone)
    sizes = collections.Counter(name.partition(":")[0] for name in names)
    # Nobody connects to an evaluator.
    del sizes["evaluator"]
    assert {k: len(v) for k, v in clusters[0].items()} == sizes


def test_gpus_are_shared_out(launch):
    run = launch(
        "--workers=2 --ps=1 --gpus_per_worker=2",
        "say(os.environ['CUDA_VISIBLE_DEVICES']); count()\n"
        "while role != 'chief': time.sleep(1)\n"
        "while len((here / 'log').read_text().split()) < 8:\n"
        "    time.sleep(0.02)\n",
    )
    assert run.end() == 0
    assert launched.lines(run.out) == {
        "chief:0": ["-1"],
        "worker:0": ["0,1"],
        "worker:1": ["2,3"],
        "ps:0": ["-1"],
    }


def test_every_line_has_its_prefix_and_none_is_lost(launch):
    run = launch(
        "--workers=2",
        "for i in range(20000): print(who, i)\n"
        "print('e1', file=sys.stderr)\n"
        "sys.stdout.write('end without newline')\n",
    )
    assert run.end() == 0
    found = launched.lines(run.out)
    for name in ("worker:0", "worker:1"):
        expected = [f"{name} {i}" for i in range(20000)]
        assert found[name] == [*expected, "end without newline"]
    errors = launched.lines(run.err)
    assert errors == {"worker:0": ["e1"], "worker:1": ["e1"]}


# Ends.


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(7)", 7),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", 128 + 9),
        ("os.kill(os.getpid(), signal.SIGSEGV)", 128 + 11),
    ],
)
def test_exit_code(launch, action, code):
    assert launch("--workers=1", action).end() == code


def test_the_first_failure_counts_and_ends_the_others(launch):
    run = launch(
        "--workers=2",
        "if who == 'worker:1':\n"
        "    while not (here / 'ready').exists(): time.sleep(0.02)\n"
        "    sys.exit(3)\n"
        "on_term(lambda *_: sys.exit(5))\n"
        "(here / 'ready').touch()\n"
        "while True: time.sleep(1)\n",
    )
    assert run.end() == 3


def test_one_worker_that_is_done_does_not_end_the_others(launch):
    run = launch(
        "--workers=2",
        "if who == 'worker:0': sys.exit(0)\ntime.sleep(0.5); log('done')",
    )
    assert run.end() == 0
    assert run.log() == ["worker:1 done"]


def test_the_chief_ends_its_servers(launch):
    run = launch(
        "--workers=2 --ps=1",
        "while role != 'chief': time.sleep(1)\ntime.sleep(0.3)",
    )
    assert run.end() == 0


def test_processes_that_a_child_started_end_with_it(launch):
    run = launch(
        "--workers=1",
        "subprocess.Popen(['sleep', '1000'], stdout=subprocess.DEVNULL)\n"
        "subprocess.Popen(['sleep', '1000'])\n",
    )
    assert run.end(20) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["--workers=1"], 2, "must follow"),
        (["--workers=1", "--"], 2, "must follow"),
        (["--workers=0", "--", "true"], 2, "`workers` must be"),
        (["--workers=1", "--grace_seconds=0", "--", "true"], 2, "seconds > 0"),
        (["--", "true"], 2, "--workers"),
        (["--workers=1", "--", "no-such-command"], 127, "no-such-command"),
    ],
)
def test_wrong_command_line(arguments, code, word):
    found = subprocess.run(
        [sys.executable, "-m", "strategies.launch", *arguments],
        cwd=launched.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.returncode == code
    assert word in found.stderr


# The evaluator.


def test_the_evaluator_may_finish_after_training(launch):
    run = launch(
        "--workers=1 --evaluator",
        "if role == 'worker': sys.exit(0)\ntime.sleep(0.5); log('done')",
    )
    assert run.end() == 0
    assert run.log() == ["evaluator:0 done"]


def test_the_evaluator_is_ended_when_its_time_is_up(launch):
    run = launch(
        "--workers=1 --evaluator --evaluator_seconds=0.5",
        "while role == 'evaluator': time.sleep(1)",
    )
    assert run.end(20) == 124


def test_a_failed_evaluator_leaves_training_alone_but_is_told(launch):
    run = launch(
        "--workers=1 --evaluator",
        "if role == 'evaluator': sys.exit(9)\ntime.sleep(0.5); log('done')",
    )
    assert run.end() == 9
    assert run.log() == ["worker:0 done"]
