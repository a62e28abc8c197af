"""What is done between two loops of steps: saving, and ending if told."""

from __future__ import annotations

from tfxml.run import run as run_lib
from tfxml.run import run_lock, termination
from tfxml.training import checkpoints


class BetweenLoops:
    """Saves when it is time, and ends the process if it was told to end.

    Args:
        run: what is trained.
        saved: where its checkpoints go.
        notice: whether it was told to end.
        history: the run's evaluations so far; more are added meanwhile.
        lock: must be held still when something is saved.
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
        """Saves if it is time; raises SystemExit if told to end."""
        run, every = self._run, self._run.config.checkpoint_steps
        done = run.steps_done
        if self._notice.came():
            self.save({})
            print(
                f"told to end: saved at step {done}; the same command resumes"
            )
            raise SystemExit(self._notice.exit_code)
        if every and done - self._saved_step >= every:
            self.save({})

    def save(self, metrics: dict[str, float], is_best: bool = False) -> None:
        """Saves the run as it is, with the evaluation of its weights."""
        run = self._run
        if run.steps_done == self._saved_step and not metrics:
            return
        self._lock.check()
        so_far = {"steps": run.epoch_steps, "loss_sum": run.epoch_loss}
        self._saved.save(
            run.steps_done, metrics, is_best, so_far, self._history
        )
        self._saved_step = run.steps_done
