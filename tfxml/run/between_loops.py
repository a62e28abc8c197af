"""Runs between two loops of steps: saves, and exits after a signal."""

from __future__ import annotations

from tfxml.run import remote, run_lock, termination
from tfxml.run import run as run_lib
from tfxml.training import checkpoints


class BetweenLoops:
    """Saves when a checkpoint is due, and exits after a signal.

    Args:
        run: the run that is trained.
        saved: its checkpoints.
        notice: tells whether a signal has arrived.
        history: the run's evaluations so far; later ones are appended.
        lock: checked before each save: it must still be held.
    """

    def __init__(
        self,
        run: run_lib.Run,
        saved: checkpoints.Checkpoints,
        notice: termination.Notice,
        history: list[dict],
        lock: run_lock.RunLock,
    ):
        self._run = run
        self._lock = lock
        self._history = history
        self._saved = saved
        self._notice = notice
        self._saved_step = run.steps_done

    def __call__(self) -> None:
        """Saves if a checkpoint is due; raises SystemExit after a signal."""
        run, interval = self._run, self._run.config.checkpoint_steps
        step = run.steps_done
        if self._notice.came():
            self.save({})
            print(
                f"told to end: saved at step {step}; the same command resumes"
            )
            raise SystemExit(self._notice.exit_code)
        if interval and step - self._saved_step >= interval:
            self.save({})

    def save(self, metrics: dict[str, float], is_best: bool = False) -> None:
        """Saves the run as it is, with the evaluation of its weights."""
        run = self._run
        if run.steps_done == self._saved_step and not metrics:
            return
        self._lock.check()
        epoch_so_far = {"steps": run.epoch_steps, "loss_sum": run.epoch_loss}
        self._saved.save(
            run.steps_done, metrics, is_best, epoch_so_far, self._history
        )
        remote.publish(self._saved.folder)
        self._saved_step = run.steps_done
