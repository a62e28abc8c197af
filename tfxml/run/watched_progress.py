"""Progress of steps whose batches come from other processes, or never come."""

from __future__ import annotations

from strategies import watchdog
from tfxml.run import console


class WatchedProgress(console.Progress):
    """A progress bar per epoch; a watchdog runs from its start to its end.

    Args:
        num_epochs, steps_per_epoch: of the run.
        stall_watchdog: gets a beat at each loop of steps.
    """

    def __init__(
        self,
        num_epochs: int,
        steps_per_epoch: int,
        stall_watchdog: watchdog.Watchdog,
    ):
        super().__init__(num_epochs, steps_per_epoch)
        self._stall_watchdog = stall_watchdog

    def start(self, step: int) -> None:
        """Begins the bar of the epoch that comes after `step` steps."""
        super().start(step)
        self._stall_watchdog.beat()

    def update(self, step: int, loss: float) -> None:
        """Shows that `step` steps are done."""
        super().update(step, loss)
        if step % self._steps_per_epoch:
            self._stall_watchdog.beat()
        else:
            self._stall_watchdog.pause()  # evaluation needs no others
