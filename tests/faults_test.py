"""What real signals do to a run, and what is lost: nothing that was saved.

`python -m pytest -m slow tests/faults_test.py` runs what takes minutes.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest
import runs

from strategies import addresses

RECIPE = [
    "--synthetic_labels=60",
    "--synthetic_train=1300",
    "--synthetic_test=91",
    "--hidden_units=16",
    "--batch_size=64",
    "--steps_per_loop=3",
    "--num_epochs=12",
]
TRAIN = runs.command("tfxml.train", *RECIPE)
LAST_STEP = 12 * 21


class Running:
    """A command under way, its lines, and a signal at the right moment."""

    def __init__(self, *words, env=None):
        self.process = subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )
        self.lines = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def text(self):
        return "\n".join(self.lines)

    def wait_for(self, words, seconds=300):
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, self.text[-3000:]
            assert self.process.poll() is None, self.text[-3000:]
            time.sleep(0.01)

    def wait_for_step(self, path, step, seconds=300):
        """Returns once a run has a checkpoint of this step, or of a later."""
        deadline = time.monotonic() + seconds
        while _last_step(path) < step:
            assert time.monotonic() < deadline, self.text[-3000:]
            assert self.process.poll() is None, self.text[-3000:]
            time.sleep(0.01)

    def end(self, seconds=400):
        """Returns the exit code; ends the process if it takes too long."""
        try:
            code = self.process.wait(seconds)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self._reader.join(30)
        return code

    def task(self, name, index):
        """Returns the process of a task of the cluster."""
        wanted = f'"task": {{"type": "{name}", "index": {index}}}'.encode()
        session = str(self.process.pid)
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                found = wanted in (path / "environ").read_bytes()
                words = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if found and b"tfxml.train" in words and self.mark in words:
                return int(path.name)
        raise AssertionError(f"no {name}:{index} of session {session}")


def _last_step(path):
    """Returns the step of a run's newest checkpoint; 0 without one."""
    names = [one.name for one in (path / "checkpoints").glob("step_*")]
    return int(max(names, default="step_0").removeprefix("step_"))


def _launch(path, launcher, *words):
    train = ["tfxml.train", *RECIPE, f"--workdir={path}", *words]
    running = Running(*runs.launched(launcher, *train))
    running.mark = str(path).encode()
    return running


def _wait_until_idle(pids, seconds=60):
    """Returns once processes take no time of the CPU but for their waiting."""

    def ticks():
        fields = [
            pathlib.Path(f"/proc/{pid}/stat").read_text().split()
            for pid in pids
        ]
        return sum(int(one[13]) + int(one[14]) for one in fields)

    deadline, idle, before = time.monotonic() + seconds, 0, ticks()
    while idle < 5:
        assert time.monotonic() < deadline, "they work on"
        time.sleep(0.2)
        now = ticks()
        idle = idle + 1 if now - before <= 2 * len(pids) else 0
        before = now


def _assert_same(one, other, atol=0.0):
    for path in (one, other):
        assert runs.last_step(path) == f"step_{LAST_STEP:08d}"
    runs.assert_near(runs.tensors(one), runs.tensors(other), atol)


def _whole(path, *words):
    runs.run([*TRAIN, f"--workdir={path}", *words])


@pytest.mark.slow
def test_notice_saves_in_the_middle_of_an_epoch(tmp_path):
    """SIGTERM: exit code 143, and the same command ends bit for bit alike."""
    _whole(tmp_path / "whole")
    words = [*TRAIN, f"--workdir={tmp_path / 'run'}"]
    running = Running(*words)
    running.wait_for("epoch 2:")
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 143
    assert "told to end: saved at step" in running.text
    again = Running(*words)
    assert again.end() == 0
    assert "resumes   at step" in again.text
    _assert_same(tmp_path / "whole", tmp_path / "run")
    ours, theirs = (
        [runs.without_costs(entry) for entry in runs.entries(tmp_path / name)]
        for name in ("run", "whole")
    )
    for one, other in zip(ours, theirs, strict=True):
        # The sum of the epoch's losses resumes where it was.
        assert one.pop("loss") == pytest.approx(other.pop("loss"), rel=1e-6)
        assert one == other


@pytest.mark.slow
def test_checkpoints_between_evaluations(tmp_path):
    """SIGKILL loses the steps since the last checkpoint, and no more."""
    _whole(tmp_path / "whole")
    words = [*TRAIN, f"--workdir={tmp_path / 'run'}"]
    extra = ["--checkpoint_steps=4", "--eval_epochs=12"]
    running = Running(*words, *extra)
    running.wait_for_step(tmp_path / "run", 2 * 21 + 6)
    running.process.kill()
    running.end()
    last_step = _last_step(tmp_path / "run")
    again = Running(*words, *extra)
    assert again.end() == 0
    (line,) = [one for one in again.lines if one.startswith("resumes")]
    assert int(line.split()[-1]) == last_step < LAST_STEP
    _assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_full_disk_keeps_the_checkpoint_before(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk needs the right to mount one")
    try:
        words = [*TRAIN, f"--workdir={disk / 'run'}"]
        running = Running(*words)
        running.wait_for("epoch 2:")
        running.process.send_signal(signal.SIGSTOP)
        with open(disk / "ballast", "wb") as ballast:
            try:
                ballast.write(bytes(700 << 10))
            except OSError:
                pass  # the disk is full now
        running.process.send_signal(signal.SIGCONT)
        assert running.end() == 1
        assert "FATAL" in running.text and "No space left" in running.text
        assert str(disk / "run") in running.text
        (disk / "ballast").unlink()
        again = Running(*words)
        assert again.end() == 0
        assert "resumes   at step" in again.text
        shutil.copytree(disk / "run", tmp_path / "run")
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    _whole(tmp_path / "whole")
    _assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
def test_half_a_checkpoint_is_named(tmp_path):
    words = [*TRAIN, f"--workdir={tmp_path / 'run'}", "--keep_checkpoints=2"]
    running = Running(*words)
    running.wait_for("epoch 3:")
    running.process.kill()
    running.end()
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("step_*"))
    data = next(checkpoints[-1].glob("model.data*"))
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    again = Running(*words)
    assert again.end() == 1
    assert f"FATAL {data}: found " in again.text
    shutil.rmtree(checkpoints[-1])
    # A folder that was being written counts for nothing.
    name = ".step_00009999.writing-0123abcd"
    shutil.copytree(checkpoints[0], checkpoints[0].with_name(name))
    checkpoints[0].with_name("step_00009998").mkdir()
    assert Running(*words).end() == 0
    _whole(tmp_path / "whole", "--keep_checkpoints=2")
    _assert_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_is_lost(signum, index, tmp_path):
    """All start again, and end where an undisturbed run ends."""
    words = ["--strategy=multi_worker", "--dropout=0"]
    launcher = ["--workers=2", "--max_restarts=1"]
    running = _launch(tmp_path / "run", launcher, *words)
    running.wait_for("epoch 2:")
    os.kill(running.task("worker", index), signum)
    assert running.end() == 0, running.text[-3000:]
    assert "resumes   at step" in running.text
    _whole(tmp_path / "whole", "--dropout=0")
    _assert_same(tmp_path / "whole", tmp_path / "run", atol=1e-5)


@pytest.mark.slow
def test_notice_to_one_worker_is_notice_to_all(tmp_path):
    words = ["--strategy=multi_worker", "--dropout=0"]
    running = _launch(tmp_path / "run", ["--workers=2"], *words)
    running.wait_for("epoch 2:")
    os.kill(running.task("worker", 1), signal.SIGTERM)
    assert running.end() == 143
    # The chief speaks for all, whoever was told.
    assert running.text.count("told to end: saved at step") == 1
    assert "[worker:0] told to end: saved at step" in running.text
    # Another strategy resumes, and ends with the same weights.
    _whole(tmp_path / "run", "--dropout=0")
    _whole(tmp_path / "whole", "--dropout=0")
    _assert_same(tmp_path / "whole", tmp_path / "run", atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "task, signum",
    [
        (("worker", 1), signal.SIGKILL),
        (("worker", 1), signal.SIGSTOP),
        (("ps", 0), signal.SIGKILL),
        (("ps", 0), signal.SIGSTOP),
        (("chief", 0), signal.SIGKILL),
        (("evaluator", 0), signal.SIGKILL),
    ],
)
def test_a_task_of_parameter_servers_is_lost(task, signum, tmp_path):
    launcher = ["--workers=2", "--ps=1", "--evaluator", "--max_restarts=2"]
    words = ["--strategy=parameter_server", "--stall_seconds=10"]
    running = _launch(tmp_path / "run", launcher, *words)
    running.wait_for("epoch 2:")
    os.kill(running.task(*task), signum)
    assert running.end() == 0, running.text[-3000:]
    entries = runs.entries(tmp_path / "run")
    assert [one["epoch"] for one in entries] == list(range(1, 13))
    assert entries[-1]["step"] == LAST_STEP
    # At least once: a step that failed under way may have been applied.
    for one in entries:
        assert one["steps_applied"] >= one["steps_scheduled"]
    followed = runs.entries(tmp_path / "run", "evaluator.jsonl")
    assert followed[-1]["step"] == LAST_STEP


@pytest.mark.slow
def test_a_stopped_chief_goes_on_where_it_was(tmp_path):
    launcher = ["--workers=2", "--ps=1"]
    running = _launch(tmp_path / "run", launcher, "--strategy=parameter_server")
    running.wait_for("epoch 2:")
    chief = running.task("chief", 0)
    os.kill(chief, signal.SIGSTOP)
    others = [("worker", 0), ("worker", 1), ("ps", 0)]
    _wait_until_idle([running.task(*task) for task in others])
    assert "epoch 12:" not in running.text
    os.kill(chief, signal.SIGCONT)
    assert running.end() == 0, running.text[-3000:]
    last = runs.entries(tmp_path / "run")[-1]
    assert last["step"] == last["steps_applied"] == LAST_STEP


@pytest.mark.slow
def test_a_stopped_evaluator_holds_nobody_up(tmp_path):
    """Training ends as if it were not there; then the launcher ends it."""
    launcher = ["--workers=2", "--ps=1", "--evaluator"]
    running = _launch(
        tmp_path / "run",
        [*launcher, "--evaluator_seconds=2", "--grace_seconds=2"],
        "--strategy=parameter_server",
    )
    running.wait_for("epoch 2:")
    os.kill(running.task("evaluator", 0), signal.SIGSTOP)
    assert running.end() == 124, running.text[-3000:]
    entries = runs.entries(tmp_path / "run")
    assert [one["epoch"] for one in entries] == list(range(1, 13))
    assert "training is done: up to 2 s for the evaluator" in running.text


@pytest.mark.slow
def test_parameter_servers_on_one_core(tmp_path):
    """One thread a task would wait for itself for ever."""
    train = ["tfxml.train", *RECIPE, f"--workdir={tmp_path}"]
    words = ["--strategy=parameter_server", "--stall_seconds=30"]
    launched = runs.launched(["--workers=1", "--ps=1"], *train, *words)
    runs.run(["taskset", "--cpu-list", "0", *launched])
    assert runs.entries(tmp_path)[-1]["steps_applied"] == LAST_STEP


@pytest.mark.slow
def test_notice_to_parameter_servers(tmp_path):
    words = ["--strategy=parameter_server"]
    launcher = ["--workers=2", "--ps=1"]
    running = _launch(tmp_path / "run", launcher, *words)
    running.wait_for("epoch 2:")
    running.process.send_signal(signal.SIGTERM)
    assert running.end() == 143
    assert "told to end: saved at step" in running.text
    again = _launch(tmp_path / "run", launcher, *words)
    assert again.end() == 0
    assert runs.entries(tmp_path / "run")[-1]["step"] == LAST_STEP


@pytest.mark.slow
def test_a_worker_that_never_comes_is_named(tmp_path):
    ports = addresses.free_ports(2)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    value = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
    running = Running(
        *TRAIN,
        f"--workdir={tmp_path}",
        "--strategy=multi_worker",
        "--connect_seconds=3",
        env={"TF_CONFIG": json.dumps(value)},
    )
    assert running.end() == 1
    assert "FATAL" in running.text and "worker:1" in running.text
