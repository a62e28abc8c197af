"""Logs a run beside its own folder: to TensorBoard, MLflow, as a profile."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Protocol

from tfxml import config as config_lib
from tfxml.run import (
    log_kinds,
    mlflow_writer,
    profile_writer,
    tensorboard_writer,
)
from tfxml.run import run as run_lib


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
    """

    def __init__(self, kinds: Sequence[str], folder: pathlib.Path):
        log_kinds.check(kinds)
        events = folder / "tensorboard"
        self._writers: list[Writer] = []
        if log_kinds.TENSORBOARD in kinds:
            self._writers.append(tensorboard_writer.TensorboardWriter(events))
        if log_kinds.PROFILE in kinds:
            self._writers.append(profile_writer.ProfileWriter(events))
        if log_kinds.MLFLOW in kinds:
            self._writers.append(mlflow_writer.MlflowWriter(folder))

    def begin(self, config: config_lib.Config, run: run_lib.Run) -> None:
        """Tells all of the recipe and the parts, before the first step."""
        for writer in self._writers:
            writer.begin(config, run)

    def after_loop(self, is_traced: bool) -> None:
        """Tells all that a loop of steps is done."""
        for writer in self._writers:
            writer.after_loop(is_traced)

    def write(self, entry: dict[str, float], run: run_lib.Run) -> None:
        """Tells all of an evaluation."""
        for writer in self._writers:
            writer.write(entry, run)

    def end(self) -> None:
        """Tells all that training has come to its end."""
        for writer in self._writers:
            writer.end()
