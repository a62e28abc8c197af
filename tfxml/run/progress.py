"""The line that tells how far training is.

On a terminal it is one line that stays in place, in a notebook too; in a log it
is a line a minute, so that short epochs add none to that of their evaluation.
Several steps are one call of a graph; the line is written between such calls.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

from rich import console as rich_console
from rich import progress as rich_progress

from tfxml.run import console

_LIVE_SECONDS = 0.2
_NOTEBOOK_SECONDS = 1.0
_LOG_SECONDS = 60.0
_WIDTH = 79  # of a line that the next one overwrites
_MEMORY = 0.9  # how much of the seconds a step that were seen before stays


class Progress:
    """Examples per second, loss, memory and the time that is left.

    Args:
        num_epochs, steps_per_epoch: of the run.
        examples_per_step: on average, over all replicas.
        is_shown: whether it is written at all; on a chief alone.

    Attributes:
        after_loop: is called after each loop of steps, with whether
            TensorFlow made its graph in it.
    """

    def __init__(
        self,
        num_epochs: int,
        steps_per_epoch: int,
        examples_per_step: float,
        is_shown: bool = True,
    ):
        self.after_loop: Callable[[bool], None] = lambda is_traced: None
        self._num_epochs = num_epochs
        self._steps_per_epoch = steps_per_epoch
        self._examples_per_step = examples_per_step
        self._is_shown = is_shown
        self._step = 0
        self._step_seconds: float | None = None
        self._seconds_between = 0.0  # an epoch's evaluation and checkpoint
        self._looked: float | None = None  # when `update` was last called
        self._ended: float | None = None  # when the last epoch was
        self._written = -math.inf
        self._bar: rich_progress.Progress | None = None

    def start(self, step: int) -> None:
        """Begins the epoch that follows `step` steps."""
        self._step = step
        self._looked = time.monotonic()
        if self._ended is not None:
            self._seconds_between = self._looked - self._ended
        self._written = self._looked
        if not self._is_shown:
            return
        if self._ended is None:
            print("tracing   the first steps")
        elif sys.stdout.isatty():
            self._bar = _bar(self._steps_per_epoch)
            self._bar.start()

    def update(self, step: int, loss: float, is_traced: bool = False) -> None:
        """Shows progress up to `step`.

        Args:
            step: how many steps are done.
            loss: the mean of the epoch so far.
            is_traced: whether TensorFlow made its graph meanwhile, so that
                the time tells nothing of the steps to come.
        """
        self.after_loop(is_traced)
        now = time.monotonic()
        number, seconds = step - self._step, now - (self._looked or now)
        self._step, self._looked = step, now
        if not is_traced and number:
            self._learn(seconds / number)
        done = step % self._steps_per_epoch or self._steps_per_epoch
        if done == self._steps_per_epoch:
            self.stop()
            self._ended = now
        elif self._is_shown and now - self._written >= self._pause():
            self._written = now
            self._write(done, loss)

    def stop(self) -> None:
        """Takes the line away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._is_shown and _is_notebook():
            print("\r" + " " * _WIDTH + "\r", end="")

    def text(self, done: int, loss: float) -> str:
        """Returns the line after `done` steps of an epoch."""
        seconds = self._step_seconds
        words = [
            f"epoch {self._epoch(done)}/{self._num_epochs}",
            f"{100 * done / self._steps_per_epoch:3.0f} %",
        ]
        if seconds:
            words.append(f"{self.examples_per_second:,.0f} examples/s")
        words += [f"loss {loss:.4f}", f"{console.peak_memory_gib():.2f} GiB"]
        if seconds:
            left = self._steps_per_epoch - done
            epochs_left = self._num_epochs - self._epoch(done)
            of_epoch = seconds * left
            of_run = of_epoch + epochs_left * (
                seconds * self._steps_per_epoch + self._seconds_between
            )
            words.append(
                f"left {_clock(of_epoch)}, of the run {_clock(of_run)}"
            )
        return "  ".join(words)

    @property
    def examples_per_second(self) -> float:
        """Of late; 0 before it is known."""
        if not self._step_seconds:
            return 0.0
        return self._examples_per_step / self._step_seconds

    def _epoch(self, done: int) -> int:
        return (self._step - done) // self._steps_per_epoch + 1

    def _learn(self, seconds: float) -> None:
        if self._step_seconds is None:
            self._step_seconds = seconds
        else:
            self._step_seconds += (1 - _MEMORY) * (seconds - self._step_seconds)

    def _pause(self) -> float:
        if sys.stdout.isatty():
            return _LIVE_SECONDS
        return _NOTEBOOK_SECONDS if _is_notebook() else _LOG_SECONDS

    def _write(self, done: int, loss: float) -> None:
        text = self.text(done, loss)
        if sys.stdout.isatty():
            if self._bar is None:  # the first epoch, once it has been traced
                self._bar = _bar(self._steps_per_epoch)
                self._bar.start()
            (task,) = self._bar.task_ids
            self._bar.update(task, completed=done, description=text)
            self._bar.refresh()
        elif _is_notebook():
            print("\r" + text[:_WIDTH].ljust(_WIDTH), end="")
        else:
            print(text)


def _bar(num_steps: int) -> rich_progress.Progress:
    """Returns a bar that is drawn when it is told to, by no thread."""
    bar = rich_progress.Progress(
        rich_progress.BarColumn(bar_width=16),
        rich_progress.TextColumn("{task.description}"),
        console=rich_console.Console(file=sys.stdout),
        auto_refresh=False,
        transient=True,
    )
    bar.add_task("", total=num_steps)
    return bar


def _is_notebook() -> bool:
    return type(sys.stdout).__module__.startswith("ipykernel")


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds:02d}"
    return f"{minutes}:{seconds:02d}"
