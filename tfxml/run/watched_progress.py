"""Progress of steps whose batches others make, and may never come."""

from __future__ import annotations

from strategies import watchdog
from tfxml.run import console


class WatchedProgress(console.Progress):
    """A progress bar an epoch; from its start to its end a watchdog waits.

    Args:
        num_epochs, steps_per_epoch: of the run.
        dog: hears of each loop of steps.
    """

    def __init__(
        self, num_epochs: int, steps_per_epoch: int, dog: watchdog.Watchdog
    ):
        super().__init__(num_epochs, steps_per_epoch)
        self._dog = dog

    def start(self, step: int) -> None:
        """Begins the bar of the epoch that comes after `step` steps."""
        super().start(step)
        self._dog.beat()

    def update(self, step: int, loss: float) -> None:
        """Shows that `step` steps are done."""
        super().update(step, loss)
        if step % self._steps_per_epoch:
            self._dog.beat()
        else:
            self._dog.pause()  # evaluation waits for nobody
