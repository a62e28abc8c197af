"""A launcher under test, whose processes can all be found again.

Every launch carries a mark of its own in its environment. No process with the
mark may be left when it has ended.
"""

import collections
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]
# What every command starts with.
PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
config = json.loads(os.environ["TF_CONFIG"])
who = "{type}:{index}".format(**config["task"])
role = config["task"]["type"]
here = pathlib.Path(os.environ["HERE"])
def say(*words): print(*words, flush=True)
def log(word):
    with open(here / "log", "a") as out: out.write(f"{who} {word}\\n")
def count():
    log("start")
    return (here / "log").read_text().count(f"{who} start")
def on_term(action):
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, action)
"""


class Launched:
    """A launcher that runs, and what has come of it."""

    def __init__(self, folder, flags, script, python=("-S",)):
        self.mark = f"MARK={uuid.uuid4()}".encode()
        name, _, value = self.mark.decode().partition("=")
        self.log_path = folder / "log"
        self.log_path.touch()
        self.process = subprocess.Popen(
            [
                *[sys.executable, "-m", "strategies.launch", *flags, "--"],
                *[sys.executable, *python, "-c", PRELUDE + script],
            ],
            cwd=ROOT,
            env={**os.environ, "HERE": str(folder), name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, seconds=60):
        """Waits, and returns the exit code; nothing may be left then."""
        self.out, self.err = self.process.communicate(timeout=seconds)
        assert self.left() == []
        return self.process.returncode

    def left(self):
        """Returns the processes that this launch started and that live."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                # A zombie's environment is empty.
                is_ours = self.mark in (path / "environ").read_bytes()
            except OSError:
                continue
            if is_ours:
                found.append(int(path.name))
        return found

    def log(self):
        return self.log_path.read_text().splitlines()

    def wait_for(self, *lines, seconds=30):
        """Returns once the processes have logged these lines."""
        deadline = time.monotonic() + seconds
        while not set(lines) <= set(self.log()):
            assert time.monotonic() < deadline, self.log()
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.02)

    def pid(self, task):
        """Returns the process that runs as this task."""
        name, _, index = task.partition(":")
        wanted = f'"task": {{"type": "{name}", "index": {index}}}'.encode()
        (found,) = [
            pid
            for pid in self.left()
            if wanted in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        ]
        return found

    def wait_until_gone(self, seconds):
        deadline = time.monotonic() + seconds
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.left() == []


@contextlib.contextmanager
def launcher(folder, **options):
    """Gives a function that starts a launcher; ends what a test leaves."""
    launched = []

    def start(flags, script):
        launched.append(Launched(folder, flags.split(), script, **options))
        return launched[-1]

    yield start
    for one in launched:
        for pid in one.left():
            os.kill(pid, signal.SIGKILL)
        one.process.wait()
        one.process.stdout.close()
        one.process.stderr.close()


def lines(text):
    """Returns the lines of each process, without its prefix."""
    found = collections.defaultdict(list)
    for line in text.splitlines():
        match = re.fullmatch(r"\[(\w+(?::\d)?)\] (.*)", line)
        assert match, f"no prefix: {line!r}"
        found[match[1]].append(match[2])
    return found
