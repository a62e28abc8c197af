"""One process at a time writes to a run directory, and kills end its lease."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from tfxml.run import run_lock

_HOLD = """
import sys
from tfxml.run import run_lock
with run_lock.RunLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lease of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def _edit(tmp_path, **words):
    path = tmp_path / "run.lock"
    holder = json.loads(path.read_text()) | words
    path.write_text(json.dumps(holder))


def test_a_second_process_is_told_who_holds_it(holder, tmp_path):
    with pytest.raises(run_lock.LockedError) as raised:
        run_lock.RunLock(tmp_path).__enter__()
    assert f"process {holder.pid} on {os.uname().nodename}" in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_stopped_process_still_holds_it(holder, tmp_path):
    holder.send_signal(signal.SIGSTOP)
    with pytest.raises(run_lock.LockedError):
        run_lock.RunLock(tmp_path).__enter__()


def test_a_killed_process_holds_nothing(holder, tmp_path, capsys):
    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    start = time.monotonic()
    with run_lock.RunLock(tmp_path):
        assert time.monotonic() - start < 5
    assert f"lease of process {holder.pid}" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_who_left_it_is_known_by_the_command(holder, tmp_path, monkeypatch):
    assert not run_lock.is_left_by_this_command(tmp_path)
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path)])
    assert run_lock.is_left_by_this_command(tmp_path)
    (tmp_path / "run.lock").unlink()
    assert not run_lock.is_left_by_this_command(tmp_path)


def test_a_number_that_is_used_again_is_another_process(holder, tmp_path):
    _edit(tmp_path, started="1")  # as the process before it had
    with run_lock.RunLock(tmp_path):
        pass


@pytest.mark.parametrize(
    "words", [{"host": "elsewhere"}, {"machine": ["another boot", "pid:[1]"]}]
)
def test_elsewhere_signs_of_life_decide(holder, tmp_path, words, capsys):
    _edit(tmp_path, **words)
    path = tmp_path / "run.lock"
    end = threading.Event()

    def touch():
        while not end.wait(0.1):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    with pytest.raises(run_lock.LockedError):
        run_lock.RunLock(tmp_path, lease_seconds=5).__enter__()
    end.set()
    thread.join()
    with run_lock.RunLock(tmp_path, lease_seconds=0.3):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert "waits up to 0.3 s" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b'{"pid": 3', b"[1]", b"\xff"])
def test_half_a_lease_is_of_nobody(tmp_path, content):
    (tmp_path / "run.lock").write_bytes(content)
    with run_lock.RunLock(tmp_path, lease_seconds=0.1):
        pass


def test_a_holder_gives_signs_of_life(tmp_path):
    path = tmp_path / "run.lock"
    with run_lock.RunLock(tmp_path, beat_seconds=0.05):
        os.utime(path, (1, 1))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_holder_sees_that_its_lease_was_taken_over(tmp_path):
    with run_lock.RunLock(tmp_path) as lock:
        lock.check()
        _edit(tmp_path, host="elsewhere", token="other")
        with pytest.raises(run_lock.LockedError, match="elsewhere"):
            lock.check()
    # What is another's stays.
    assert (tmp_path / "run.lock").exists()


def test_a_lease_may_be_taken_again(tmp_path):
    lock = run_lock.RunLock(tmp_path / "deep" / "run")
    for _ in range(2):
        with lock:
            lock.check()
        assert not (tmp_path / "deep" / "run" / "run.lock").exists()


def test_a_folder_without_links_will_do(tmp_path, monkeypatch):
    def refuse(*unused):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with run_lock.RunLock(tmp_path):
        with pytest.raises(run_lock.LockedError):
            run_lock.RunLock(tmp_path).__enter__()


@pytest.mark.slow
def test_of_many_that_try_at_once_one_succeeds(tmp_path):
    """Over a lease that a kill has left, so that each may take it over."""
    for turn in range(20):
        folder = tmp_path / str(turn)
        folder.mkdir()
        (folder / "run.lock").write_text(
            json.dumps({**run_lock._holder(), "started": "1"})
        )
        holders = [
            subprocess.Popen(
                [sys.executable, "-c", _HOLD, str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for _ in range(8)
        ]
        # Those that are refused end, and one waits for its input.
        deadline = time.monotonic() + 60
        while sum(p.poll() is None for p in holders) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        outputs = [p.communicate()[0] for p in holders]
        assert sum("held" in text for text in outputs) == 1
