"""Progress of steps whose batches others make, and may never come."""

from __future__ import annotations

from strategies import watchdog
from tfxml.run import progress


class WatchedProgress(progress.Progress):
    """A progress line; from an epoch's start to its end a watchdog waits.

    Args:
        num_epochs, steps_per_epoch, examples_per_step: of the run.
        dog: hears of each loop of steps.
        is_shown: whether it is written at all.
    """

    def __init__(
        self,
        num_epochs: int,
        steps_per_epoch: int,
        examples_per_step: float,
        dog: watchdog.Watchdog,
        is_shown: bool = True,
    ):
        super().__init__(
            num_epochs, steps_per_epoch, examples_per_step, is_shown
        )
        self._dog = dog

    def start(self, step: int) -> None:
        """Begins the bar of the epoch that comes after `step` steps."""
        super().start(step)
        self._dog.beat()

    def update(self, step: int, loss: float, is_traced: bool = False) -> None:
        """Shows that `step` steps are done."""
        super().update(step, loss, is_traced)
        if step % self._steps_per_epoch:
            self._dog.beat()
        else:
            self._dog.pause()  # evaluation waits for nobody
