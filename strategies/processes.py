"""Child processes that never outlive the launcher; output lines name them.

Each child leads a process group of its own, so that the processes that it
starts are ended with it. Linux: uses waitid.
"""

from __future__ import annotations

import dataclasses
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from typing import IO, BinaryIO

from strategies import guardian

_READ_BYTES = 1 << 16


@dataclasses.dataclass
class _Stream:
    """An output of a child, and the part of its last line read so far."""

    prefix: bytes
    source: IO[bytes]
    sink: BinaryIO
    line: bytes = b""

    def pump(self) -> bool:
        """Copies what can be read now; returns False at the end."""
        chunk = self._read()
        self._write_lines(chunk or b"")
        return chunk != b""

    def finish(self) -> None:
        """Copies all that is left, and ends an unfinished last line."""
        while chunk := self._read():
            self._write_lines(chunk)
        if self.line:
            self._write_lines(b"\n")

    def _read(self) -> bytes | None:
        try:
            return os.read(self.source.fileno(), _READ_BYTES)
        except BlockingIOError:
            return None

    def _write_lines(self, chunk: bytes) -> None:
        *lines, self.line = (self.line + chunk).split(b"\n")
        if len(self.line) > _READ_BYTES:
            lines.append(self.line)
            self.line = b""
        if lines:
            self.sink.write(b"".join(self.prefix + x + b"\n" for x in lines))
            self.sink.flush()


class Group:
    """The children of a launcher. A context manager: leaving it ends them.

    Not for use beside threads: children are forked.
    """

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup = os.pipe()
        self._guardian: subprocess.Popen[bytes] | None = None
        self.signals: list[int] = []

    def __enter__(self) -> Group:
        self._guardian = subprocess.Popen(
            [sys.executable, "-I", guardian.__file__],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        for end in self._wakeup:
            os.set_blocking(end, False)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda signum, frame: None)
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # nohup and background shells have some of them ignored.
            if signal.getsignal(signum) != signal.SIG_IGN:
                signal.signal(signum, lambda n, frame: self.signals.append(n))
        return self

    def __exit__(self, *unused: object) -> None:
        self.stop(self.running, 0.0)
        if self._guardian is not None:
            self._guardian_input().close()
            self._guardian.wait()
        signal.set_wakeup_fd(-1)

    @property
    def running(self) -> list[str]:
        """Names of the children whose end `wait` has not yet returned."""
        return list(self._children)

    def start(
        self, name: str, command: Sequence[str], settings: Mapping[str, str]
    ) -> None:
        """Starts a child called `name`, with more in its environment."""
        guardian_fd = self._guardian_input().fileno()

        def announce() -> None:
            os.write(guardian_fd, b"+%d\n" % os.getpid())

        child = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            # Before the command runs, so that the guardian knows the child
            # even if the launcher dies now. No threads, so no deadlock.
            preexec_fn=announce,
        )
        self._children[name] = child
        prefix = f"[{name}] ".encode()
        sinks = (sys.stdout.buffer, sys.stderr.buffer)
        for source, sink in zip(_outputs(child), sinks, strict=True):
            os.set_blocking(source.fileno(), False)
            stream = _Stream(prefix, source, sink)
            self._selector.register(source, selectors.EVENT_READ, stream)

    def wait(self, seconds: float) -> dict[str, int]:
        """Copies output until a child ends, a signal comes, or time is up.

        Returns:
            The exit code of each child that ended, 128 + n if by signal n.
        """
        deadline = time.monotonic() + seconds
        while True:
            num_signals = len(self.signals)
            seconds_left = max(0.0, deadline - time.monotonic())
            for key, _ in self._selector.select(seconds_left):
                if key.data is None:
                    os.read(key.fd, _READ_BYTES)
                elif not key.data.pump():
                    self._selector.unregister(key.fileobj).data.finish()
            ended = self._collect()
            is_signalled = len(self.signals) > num_signals
            if ended or is_signalled or time.monotonic() >= deadline:
                return ended

    def send(self, names: Collection[str], signum: int) -> None:
        """Signals the children and all that they started."""
        for name in names:
            if name in self._children:
                _signal_group(self._children[name].pid, signum)

    def stop(
        self, names: Collection[str], grace_seconds: float
    ) -> dict[str, int]:
        """Ends children: SIGTERM, then SIGKILL after the grace.

        A signal that arrives meanwhile ends the grace.

        Returns:
            The exit codes, including those of other children that ended.
        """
        ended: dict[str, int] = {}
        num_signals = len(self.signals)
        deadline = time.monotonic() + grace_seconds
        self.send(names, signal.SIGTERM)
        while set(names) & set(self.running):
            seconds_left = deadline - time.monotonic()
            if seconds_left <= 0 or len(self.signals) > num_signals:
                self.send(names, signal.SIGKILL)
                seconds_left = 1.0
            ended.update(self.wait(seconds_left))
        return ended

    def _collect(self) -> dict[str, int]:
        ended = {}
        for name, child in list(self._children.items()):
            # Not reaped yet: until then nobody else can get the process
            # group's number, and what is left of the group can be ended.
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            state = os.waitid(os.P_PID, child.pid, flags)
            if state is None:
                continue
            _signal_group(child.pid, signal.SIGKILL)
            self._drain(child)
            child.wait()
            self._guardian_input().write(b"-%d\n" % child.pid)
            self._guardian_input().flush()
            del self._children[name]
            is_exit = state.si_code == os.CLD_EXITED
            ended[name] = state.si_status + (0 if is_exit else 128)
        return ended

    def _guardian_input(self) -> IO[bytes]:
        """Returns the pipe that tells the guardian about children."""
        if self._guardian is None or self._guardian.stdin is None:
            raise RuntimeError("enter the `Group` before starting children")
        return self._guardian.stdin

    def _drain(self, child: subprocess.Popen[bytes]) -> None:
        """Copies the rest of an ended child's output."""
        for source in _outputs(child):
            if source in self._selector.get_map():
                self._selector.unregister(source).data.finish()
            source.close()


def _outputs(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Returns the pipes of the child's standard output and error."""
    if child.stdout is None or child.stderr is None:
        raise ValueError("`child` must be started with pipes for its output")
    return child.stdout, child.stderr


def _signal_group(group: int, signum: int) -> None:
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return
