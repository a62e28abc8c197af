"""The lease of a run directory: one process at a time writes there.

`run.lock` names its holder, which touches it every few seconds. The lease of a
killed process is taken over: at once if the process ran on this machine and is
gone, else when nothing has touched it for a while. No clocks are compared, so
other machines' clocks may be wrong.
"""

from __future__ import annotations

import errno
import json
import os
import pathlib
import socket
import sys
import threading
import time
import uuid

from tfxml.data import atomic_files

NAME = "run.lock"
_BEAT_SECONDS = 5.0
_LEASE_SECONDS = 60.0  # 12 beats: a network folder may show them late
_MACHINE = ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid")


class LockedError(ValueError):
    """Another process holds the run directory, or has taken it over."""


class RunLock:
    """A lease of a folder, as a context that one process at a time can enter.

    Args:
        folder: the folder to lease; created if missing.
        lease_seconds: how long a lease stays valid without a sign of life, if
            its process cannot be checked.
        beat_seconds: how often this one gives a sign of life.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        lease_seconds: float = _LEASE_SECONDS,
        beat_seconds: float = _BEAT_SECONDS,
    ):
        self._folder = pathlib.Path(folder)
        self._path = self._folder / NAME
        self._lease_seconds = lease_seconds
        self._beat_seconds = beat_seconds
        self._content = json.dumps(holder()).encode()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> RunLock:
        """Takes the lease.

        Raises:
            LockedError: naming the holder.
            OSError: if the folder cannot be written to.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        while not self._take():
            self._take_over()
        atomic_files.remove_leftovers(self._folder, NAME)
        self._end.clear()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        if _read(self._path) == self._content:
            self._path.unlink(missing_ok=True)

    def check(self) -> None:
        """Raises LockedError if the lease was lost, as after a long pause."""
        content = _read(self._path)
        if content != self._content:
            raise LockedError(
                f"{self._path} was taken over by {name(content)} while this "
                "process did not run: it ends, and leaves the run to the other"
            )

    def _take(self) -> bool:
        """Writes the lease unless there is one; returns whether it did."""
        beside = self._path.with_name(f".{NAME}.writing-{_token()}")
        try:
            beside.write_bytes(self._content)
            try:
                # As a whole, and for one of those that try at once.
                os.link(beside, self._path)
                return True
            except (FileExistsError, FileNotFoundError):
                # There is one, or its holder took ours for a leftover.
                return False
            except OSError as error:
                if error.errno not in (
                    errno.EPERM,
                    errno.ENOTSUP,
                    errno.ENOSYS,
                ):
                    raise
            return self._take_without_links()
        finally:
            beside.unlink(missing_ok=True)

    def _take_without_links(self) -> bool:
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        with open(handle, "wb") as file:
            file.write(self._content)
        return True

    def _take_over(self) -> None:
        """Removes a lease that is void; raises LockedError if it is valid."""
        content = _read(self._path)
        if content is None:
            return
        holder = _parse(content)
        if _is_of_this_machine(holder):
            if _is_alive(holder):
                raise self._locked(content)
        else:
            self._watch(content)
        aside = self._path.with_name(f".{NAME}.removing-{_token()}")
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return
        if _read(aside) != content:
            # Another process has taken it over in between.
            os.replace(aside, self._path)
            raise self._locked(_read(self._path))
        aside.unlink()
        print(f"takes over the lease of {name(content)}, which has ended")

    def _watch(self, content: bytes) -> None:
        """Returns if nothing touches the lease; raises if its holder does."""
        print(
            f"{self._path} is held by {name(content)}: waits up to "
            f"{self._lease_seconds:g} s for a sign of life",
            flush=True,
        )
        first_stamp = _stamp(self._path)
        deadline = time.monotonic() + self._lease_seconds
        while time.monotonic() < deadline:
            if _stamp(self._path) != first_stamp:
                raise self._locked(content)
            time.sleep(min(1.0, self._lease_seconds / 10))

    def _locked(self, content: bytes | None) -> LockedError:
        return LockedError(
            f"`workdir` must be one that no other process writes to. Received: "
            f"workdir={self._folder}, which {name(content)} holds (see "
            f"{NAME} there)"
        )

    def _beat(self) -> None:
        while not self._end.wait(self._beat_seconds):
            try:
                if _read(self._path) == self._content:
                    os.utime(self._path)
            except OSError:
                continue  # a network folder that comes back


def holder() -> dict:
    """Returns what tells this process from all others."""
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "machine": _machine(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "command": " ".join(sys.argv)[:500],
        "token": _token(),
    }


def is_left_by_this_command(folder: pathlib.Path) -> bool:
    """Tells whether a folder's lease is of a process of the same command."""
    command = _parse(_read(folder / NAME) or b"").get("command")
    return command == holder()["command"]


def _machine() -> list[str]:
    """Returns the boot and the process namespace, in which pids are unique."""
    boot, namespace = map(pathlib.Path, _MACHINE)
    try:
        return [boot.read_text().strip(), os.readlink(namespace)]
    except OSError:
        return []  # not Linux: pids tell nothing


def _started(pid: int) -> str | None:
    """Returns when a process started, in ticks since boot; None: no process.

    The start time tells it from a later process with the same pid.
    """
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else fields[18]


def _is_of_this_machine(holder: dict) -> bool:
    machine = _machine()
    return (
        bool(machine)
        and holder.get("machine") == machine
        and holder.get("host") == socket.gethostname()
        and isinstance(holder.get("pid"), int)
    )


def _is_alive(holder: dict) -> bool:
    return _started(holder["pid"]) == holder.get("started")


def _read(path: pathlib.Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parse(content: bytes) -> dict:
    """Returns the holder; empty for a lease that is only partly written."""
    try:
        holder = json.loads(content)
    except ValueError:
        return {}
    return holder if isinstance(holder, dict) else {}


def name(content: bytes | None) -> str:
    holder = _parse(content or b"")
    if not holder:
        return "an unknown process"
    return (
        f"process {holder.get('pid')} on {holder.get('host')} since "
        f"{holder.get('since')} ({holder.get('command')})"
    )


def _stamp(path: pathlib.Path) -> tuple | None:
    """Returns what changes with each sign of life."""
    try:
        # Opened, so that a network folder asks its server.
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime_ns, file.read()
    except FileNotFoundError:
        return None


def _token() -> str:
    return uuid.uuid4().hex[:8]
