"""Profiles a loop of steps, for TensorBoard's profile page and for Perfetto."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from tfxml import config as config_lib
from tfxml.run import run as run_lib


class ProfileWriter:
    """Profiles from the end of the loop that is traced to that of the next.

    Where a loop is an epoch, the evaluation between them is in the profile.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: pathlib.Path):
        self._folder = str(folder)
        self._is_running = False

    def begin(self, config: config_lib.Config, run: run_lib.Run) -> None:
        """Needs neither the recipe nor the parts."""

    def after_loop(self, is_traced: bool) -> None:
        """Begins after the first loop, and ends after the second."""
        if is_traced:
            tf.profiler.experimental.start(self._folder)
            self._is_running = True
        else:
            self.end()

    def write(self, entry: dict[str, float], run: run_lib.Run) -> None:
        """Needs no evaluation."""

    def end(self) -> None:
        """Writes the profile, if that has not been done."""
        if self._is_running:
            tf.profiler.experimental.stop()
            self._is_running = False
