"""What a machine and its environment are like, looked at without TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import shutil
import sys
import tempfile

from packaging import requirements

import tfxml
from strategies import addresses, cluster, strategy_errors
from strategies import loopback as loopback_lib

OK, WARNING, PROBLEM = "ok", "warning", "problem"
_PACKAGES = (
    "tensorflow",
    "keras",
    "numpy",
    "numba",
    "scipy",
    "scikit-learn",
)
_PYTHONS = (3, 10), (3, 13)
_LEAST_SPACE = 2**30


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: str  # OK, WARNING or PROBLEM
    name: str
    found: str
    mend: str = ""  # what to do about it

    def text(self) -> str:
        """Returns a line, and one more on how to mend it."""
        line = f"{self.level:<9} {self.name}: {self.found}"
        return f"{line}\n          {self.mend}" if self.mend else line


def python() -> Finding:
    least, last = _PYTHONS
    version = sys.version_info[:2]
    name = f"{platform.python_version()} on {platform.platform()}"
    if least <= version <= last:
        return Finding(OK, "python", name)
    return Finding(
        PROBLEM,
        "python",
        name,
        f"use Python {'.'.join(map(str, least))} to {'.'.join(map(str, last))}",
    )


def packages() -> list[Finding]:
    """Returns the versions, compared with what tfxml asks for."""
    wanted = {}
    try:
        for line in importlib.metadata.requires("tfxml") or ():
            requirement = requirements.Requirement(line)
            if requirement.marker is None:
                wanted[requirement.name] = requirement.specifier
        found = [Finding(OK, "tfxml", tfxml.__version__)]
    except importlib.metadata.PackageNotFoundError:
        found = [Finding(OK, "tfxml", f"{tfxml.__version__}, not installed")]
    for name in _PACKAGES:
        mend = f'pip install "{name}{wanted.get(name, "")}"'
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found.append(Finding(PROBLEM, name, "not installed", mend))
            continue
        if name in wanted and not wanted[name].contains(version):
            found.append(
                Finding(PROBLEM, name, f"{version}, not {wanted[name]}", mend)
            )
        else:
            found.append(Finding(OK, name, version))
    return found


def backend() -> Finding:
    """Returns which backend Keras takes, as far as the environment says."""
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend == "tensorflow":
        return Finding(OK, "keras backend", backend)
    return Finding(
        PROBLEM,
        "keras backend",
        f"KERAS_BACKEND={backend}",
        "unset KERAS_BACKEND, or export KERAS_BACKEND=tensorflow",
    )


def threads() -> Finding:
    usable = len(os.sched_getaffinity(0))
    there = os.cpu_count()
    text = f"{usable} of {there} processors"
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) < usable:
            return Finding(
                WARNING,
                "threads",
                f"{text}, but {name}={value}",
                f"unset {name} unless other programs need the processors",
            )
    return Finding(OK, "threads", text)


def tasks() -> list[Finding]:
    """Returns whether TF_CONFIG is in order, and who answers at its ports."""
    try:
        task = cluster.from_environment()
    except strategy_errors.StrategyError as error:
        return [
            Finding(
                PROBLEM,
                "TF_CONFIG",
                str(error),
                "correct it, or unset TF_CONFIG to train in one process",
            )
        ]
    if task is None:
        return [Finding(OK, "TF_CONFIG", "none: one process")]
    found = [
        Finding(
            OK, "TF_CONFIG", f"{task.task_name} of {task.num_workers} workers"
        )
    ]
    own = task.task_name
    try:
        own = task.address
        addresses.listen(own).close()
        found.append(Finding(OK, "port", f"{own} is free"))
    except (OSError, strategy_errors.StrategyError) as error:
        found.append(
            Finding(
                PROBLEM,
                "port",
                f"{own}: {error}",
                "end what listens there, or take another port in TF_CONFIG of "
                "every task",
            )
        )
    return found


def loopback() -> Finding:
    if loopback_lib.is_possible():
        return Finding(OK, "local servers", "can be closed to other machines")
    return Finding(
        WARNING,
        "local servers",
        "cannot be closed to other machines on this system",
        "use a firewall where parameter servers or a tf.data service run",
    )


def folders(workdir: str) -> list[Finding]:
    cache = os.environ.get(
        "NUMBA_CACHE_DIR", pathlib.Path(__file__).parents[1] / "cpu"
    )
    return [
        _folder("workdir", workdir, "give another --workdir"),
        _folder("temporary files", tempfile.gettempdir(), "set TMPDIR"),
        _folder(
            "compiled loops",
            cache,
            "set NUMBA_CACHE_DIR to a folder that can be written, or each "
            "process compiles for a minute",
        ),
    ]


def _folder(name: str, path: str | os.PathLike, mend: str) -> Finding:
    """Returns whether a folder, or the first one above it, can be written."""
    found = pathlib.Path(path).absolute()
    while not os.path.lexists(found) and found != found.parent:
        found = found.parent
    try:
        with tempfile.TemporaryFile(dir=found):
            pass
    except OSError as error:
        text = f"{path} cannot be written ({error.strerror})"
        return Finding(PROBLEM, name, text, mend)
    free = shutil.disk_usage(found).free
    text = f"{path} can be written, {free / 2**30:.1f} GiB are free"
    if free < _LEAST_SPACE:
        return Finding(WARNING, name, text, mend)
    return Finding(OK, name, text)
