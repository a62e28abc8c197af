"""Logs a run beside its own folder: to TensorBoard, MLflow, as a profile."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from tfxml import config as config_lib
from tfxml.run import (
    log_kinds,
    mlflow_writer,
    profile_writer,
    tensorboard_writer,
)
from tfxml.run import run as run_lib

# Packages whose errors speak of where a log goes: a folder, a server.
_OF_STORES = ("mlflow", "tensorflow", "sqlalchemy", "requests", "urllib3")


class Writer(Protocol):
    """What hears of a run."""

    def begin(self, config: config_lib.Config, run: run_lib.Run) -> None:
        """Hears of the recipe and the parts, before the first step."""

    def after_loop(self, is_traced: bool) -> None:
        """Hears that a loop of steps is done, and whether it was traced."""

    def write(self, entry: dict[str, float], run: run_lib.Run) -> None:
        """Hears of an evaluation: its step, epoch, metrics and costs."""

    def end(self) -> None:
        """Hears that training has come to its end."""


class LogWriters:
    """The writers of a run as one.

    Args:
        kinds: some of `log_kinds.KINDS`.
        folder: the run directory.

    Raises:
        ValueError: for a kind that there is not, or without its package.
        OSError: where one cannot write, naming its kind; by all methods.
    """

    def __init__(self, kinds: Sequence[str], folder: pathlib.Path):
        log_kinds.check(kinds)
        events = folder / "tensorboard"
        makers: dict[str, Callable[[], Writer]] = {
            log_kinds.TENSORBOARD: lambda: tensorboard_writer.TensorboardWriter(
                events
            ),
            log_kinds.PROFILE: lambda: profile_writer.ProfileWriter(events),
            log_kinds.MLFLOW: lambda: mlflow_writer.MlflowWriter(folder),
        }
        self._writers: dict[str, Writer] = {}
        for kind, make in makers.items():
            if kind in kinds:
                with _told(kind):
                    self._writers[kind] = make()

    def begin(self, config: config_lib.Config, run: run_lib.Run) -> None:
        """Tells all of the recipe and the parts, before the first step."""
        self._each(lambda writer: writer.begin(config, run))

    def after_loop(self, is_traced: bool) -> None:
        """Tells all that a loop of steps is done."""
        self._each(lambda writer: writer.after_loop(is_traced))

    def write(self, entry: dict[str, float], run: run_lib.Run) -> None:
        """Tells all of an evaluation."""
        self._each(lambda writer: writer.write(entry, run))

    def end(self) -> None:
        """Tells all that training has come to its end."""
        self._each(lambda writer: writer.end())

    def _each(self, tell: Callable[[Writer], None]) -> None:
        for kind, writer in self._writers.items():
            with _told(kind):
                tell(writer)


@contextlib.contextmanager
def _told(kind: str) -> Iterator[None]:
    """Makes what MLflow and TensorFlow say of their stores an OSError."""
    try:
        yield
    except Exception as error:
        package = type(error).__module__.partition(".")[0]
        if package not in _OF_STORES:
            raise
        first = (str(error).strip().splitlines() or [""])[0]
        raise OSError(
            f"--log_to={kind}: {type(error).__name__}: {first:.500}"
        ) from error
