"""The launcher when something fails, and when it gets a signal."""

import collections
import json
import os
import signal

import launched
import pytest


@pytest.fixture
def launch(tmp_path):
    with launched.launcher(tmp_path) as start:
        yield start


# Restarts.


def test_workers_that_train_together_restart_together(launch):
    run = launch(
        "--workers=2 --max_restarts=1",
        "n = count(); say(n, os.environ['TF_CONFIG'])\n"
        "if n == 2: sys.exit(0)\n"
        "while who == 'worker:1':\n"
        "    if 'worker:0 start' in (here / 'log').read_text(): sys.exit(6)\n"
        "    time.sleep(0.02)\n"
        "while True: time.sleep(1)\n",
    )
    assert run.end() == 0
    starts = collections.Counter(run.log())
    assert starts == {"worker:0 start": 2, "worker:1 start": 2}
    clusters = collections.defaultdict(set)
    for lines in launched.lines(run.out).values():
        for line in lines:
            life, _, text = line.partition(" ")
            config = json.loads(text)
            clusters[life].add(json.dumps(config["cluster"]))
    # One cluster a life; the second on other ports, should one be taken.
    assert {life: len(found) for life, found in clusters.items()} == {
        "1": 1,
        "2": 1,
    }
    assert clusters["1"] != clusters["2"]


def test_a_worker_of_a_ps_cluster_restarts_alone_on_its_port(launch):
    run = launch(
        "--workers=2 --ps=1 --max_restarts=1",
        "n = count(); say(os.environ['TF_CONFIG'])\n"
        "if who == 'worker:1' and n == 1: os.kill(os.getpid(), 9)\n"
        "if role == 'chief':\n"
        "    while (here / 'log').read_text().count('worker:1') < 2:\n"
        "        time.sleep(0.02)\n"
        "    sys.exit(0)\n"
        "while True: time.sleep(1)\n",
    )
    assert run.end() == 0
    starts = collections.Counter(run.log())
    assert starts["worker:1 start"] == 2
    assert set(starts.values()) == {1, 2}
    assert len(set(launched.lines(run.out)["worker:1"])) == 1


@pytest.mark.parametrize("victim", ["ps:0", "chief:0"])
def test_what_a_ps_cluster_cannot_lose_restarts_all(launch, victim):
    run = launch(
        "--workers=1 --ps=1 --max_restarts=1",
        "n = count()\n"
        "while (here / 'log').read_text().count('start') < 3 * n:\n"
        "    time.sleep(0.02)\n"
        f"if who == '{victim}' and n == 1: sys.exit(4)\n"
        "if role == 'chief' and n == 2: sys.exit(0)\n"
        "while True: time.sleep(1)\n",
    )
    assert run.end() == 0
    starts = collections.Counter(run.log())
    assert starts == {
        "chief:0 start": 2,
        "worker:0 start": 2,
        "ps:0 start": 2,
    }


def test_the_evaluator_restarts_alone(launch):
    run = launch(
        "--workers=1 --evaluator --max_restarts=1",
        "n = count()\n"
        "if role == 'evaluator': sys.exit(2 if n == 1 else 0)\n"
        "while (here / 'log').read_text().count('evaluator') < 2:\n"
        "    time.sleep(0.02)\n",
    )
    assert run.end() == 0
    assert run.log().count("worker:0 start") == 1


@pytest.mark.parametrize(
    ("flags", "victim", "starts"),
    [
        ("--workers=1", "worker", 3),
        ("--workers=1 --ps=1", "worker", 3),
        ("--workers=1 --ps=1", "ps", 3),
    ],
)
def test_restarts_end(launch, flags, victim, starts):
    run = launch(
        f"{flags} --max_restarts=2",
        "n = count()\n"
        f"if role == '{victim}': sys.exit(10 + n)\n"
        "while True: time.sleep(1)\n",
    )
    assert run.end() == 10 + starts
    assert run.log().count(f"{victim}:0 start") == starts


# Signals.


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_children_decide(launch, signum):
    run = launch(
        "--workers=2 --max_restarts=5",
        "def end(signum, _):\n"
        "    time.sleep(0.2 if who == 'worker:0' else 0.6)\n"
        "    log(signal.Signals(signum).name)\n"
        "    sys.exit(42 if who == 'worker:0' else 7)\n"
        "on_term(end); log('up')\n"
        "while True: time.sleep(1)\n",
    )
    run.wait_for("worker:0 up", "worker:1 up")
    run.process.send_signal(signum)
    assert run.end() == 42
    # The first exit did not cut the second short, and nothing was restarted.
    assert sorted(run.log()) == [
        f"worker:0 {signum.name}",
        "worker:0 up",
        f"worker:1 {signum.name}",
        "worker:1 up",
    ]


def test_children_that_only_die_of_the_signal(launch):
    run = launch("--workers=2", "log('up')\nwhile True: time.sleep(1)")
    run.wait_for("worker:0 up", "worker:1 up")
    run.process.terminate()
    assert run.end() == 128 + signal.SIGTERM


IGNORE = "on_term(lambda *_: log('deaf')); log('up')\nwhile 1: time.sleep(1)"


def test_children_that_ignore_it_are_killed_after_the_grace(launch):
    run = launch("--workers=2 --grace_seconds=0.5", IGNORE)
    run.wait_for("worker:0 up", "worker:1 up")
    run.process.terminate()
    assert run.end(20) == 128 + signal.SIGTERM


def test_a_second_signal_kills_at_once(launch):
    run = launch("--workers=2 --grace_seconds=1000", IGNORE)
    run.wait_for("worker:0 up", "worker:1 up")
    run.process.terminate()
    run.wait_for("worker:0 deaf", "worker:1 deaf")
    run.process.send_signal(signal.SIGINT)
    assert run.end(20) == 128 + signal.SIGTERM


def test_a_chief_saves_before_its_servers_end(launch):
    run = launch(
        "--workers=1 --ps=1 --evaluator",
        "def end(*_):\n"
        "    if role == 'chief': time.sleep(0.5)\n"
        "    log('end'); sys.exit(42 if role == 'chief' else 0)\n"
        "on_term(end); log('up')\n"
        "while True: time.sleep(1)\n",
    )
    names = ("chief:0", "worker:0", "ps:0", "evaluator:0")
    run.wait_for(*[f"{name} up" for name in names])
    run.process.terminate()
    assert run.end() == 42
    ends = [line for line in run.log() if line.endswith("end")]
    assert ends[:2] == ["evaluator:0 end", "chief:0 end"]
    assert sorted(ends[2:]) == ["ps:0 end", "worker:0 end"]


@pytest.mark.parametrize("is_deaf", [False, True])
def test_sigkill_of_the_launcher_ends_everything(launch, is_deaf):
    run = launch(
        "--workers=2 --ps=1",
        "subprocess.Popen(['sleep', '1000'])\n"
        + (IGNORE if is_deaf else "log('up')\nwhile True: time.sleep(1)"),
    )
    run.wait_for("chief:0 up", "worker:0 up", "worker:1 up", "ps:0 up")
    assert len(run.left()) == 1 + 1 + 4 * 2
    run.process.kill()
    run.process.wait()
    run.wait_until_gone(10)


def test_a_stopped_child_is_killed_after_the_grace(launch):
    run = launch("--workers=1 --grace_seconds=0.5", IGNORE)
    run.wait_for("worker:0 up")
    os.kill(run.pid("worker:0"), signal.SIGSTOP)
    run.process.terminate()
    assert run.end(20) == 128 + signal.SIGTERM
