"""A sweep: trials one after the other or side by side, the poor ones cut short.

Optuna proposes the recipes (TPE; Bergstra et al., NeurIPS 2011) and says which
trial to end: one whose metric so far is below the median of the others at the
same epoch. All is in the sweep's folder: `journal.log`, and a run directory a
trial.
"""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import optuna
from optuna import trial as trial_lib
from optuna.storages import journal

from tfxml.data import checked_files, data_errors
from tfxml.run import run_lock
from tfxml.sweeping import search_space, sweep_plan, trial_process

_POLL_SECONDS, _WAIT_SECONDS = 0.2, 10.0
_COMPLETE = trial_lib.TrialState.COMPLETE
_UNPRUNED_TRIALS, _UNPRUNED_EPOCHS = 4, 1
_FOLDER, _INTERRUPTED, _QUESTION = "folder", "interrupted", "question"


class Sweep:
    """The trials of a folder, which a killed sweep left, or none yet.

    Args:
        folder: of the sweep.
        plan: what to do.
        say: hears a line of each trial that ends.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        plan: sweep_plan.Plan,
        say: Callable[[str], None] = print,
    ):
        plan.check()
        self._folder, self._plan, self._say = folder, plan, say
        folder.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
        if plan.is_pruning:
            pruner = optuna.pruners.MedianPruner(
                _UNPRUNED_TRIALS, _UNPRUNED_EPOCHS
            )
        log = folder / "journal.log"
        with checked_files.reading(log, "the journal of a sweep"):
            self.study = optuna.create_study(
                storage=optuna.storages.JournalStorage(
                    journal.JournalFileBackend(str(log))
                ),
                study_name="sweep",
                direction="maximize",
                load_if_exists=True,
                pruner=pruner,
            )
        # Another seed after each interruption, or proposals would repeat.
        self.study.sampler = optuna.samplers.TPESampler(
            seed=plan.base.seed + len(self.study.trials), constant_liar=True
        )
        self._check_same()
        self._running: dict[int, tuple[optuna.Trial, Any]] = {}
        self._reported: dict[int, int] = {}

    def run(self) -> None:
        """Runs trials until there are enough; after an error none runs on."""
        self._take_up()
        try:
            while self._step():
                time.sleep(_POLL_SECONDS)
        finally:
            for _, process in self._running.values():
                process.end()

    def finished(self) -> list[trial_lib.FrozenTrial]:
        """Returns the trials that came to their end, best first."""
        done = [one for one in self.study.trials if one.state == _COMPLETE]
        return sorted(done, key=lambda one: (-(one.value or 0), one.number))

    def _step(self) -> bool:
        """Looks after all trials once; returns whether there are any."""
        for number in list(self._running):
            self._look_after(number)
        while (
            len(self._running) < self._plan.num_processes
            and self._num_counted() < self._plan.num_trials
        ):
            self._start(self.study.ask())
        return bool(self._running)

    def _num_counted(self) -> int:
        """Returns how many trials there are, without interrupted ones."""
        begun = sum(
            one.state != trial_lib.TrialState.WAITING
            for one in self.study.get_trials(deepcopy=False)
        )
        return begun - len(self._interrupted())

    def _interrupted(self) -> list[int]:
        """Returns the trials that others go on with."""
        return self.study.user_attrs.get(_INTERRUPTED, [])

    def _start(self, trial: optuna.Trial) -> None:
        values = {
            name: dimension.suggest(trial, name)
            for name, dimension in self._plan.space.items()
        }
        name = trial.user_attrs.get(_FOLDER, f"trial_{trial.number:04d}")
        trial.set_user_attr(_FOLDER, name)
        try:
            config = search_space.config_of(self._plan.base, values)
        except ValueError as error:
            self._tell(trial, trial_lib.TrialState.FAIL, f"invalid: {error}")
            return
        process = trial_process.TrialProcess(
            config,
            self._folder / "trials" / name,
            self._plan.data_dir,
            self._plan.command,
        )
        self._running[trial.number] = trial, process

    def _look_after(self, number: int) -> None:
        """Reports a trial's new evaluations, and tells how it ended."""
        trial, process = self._running[number]
        code = process.exit_code()  # first, so that no evaluation is missed
        history = process.evaluations()
        metric = self._plan.base.best_metric
        for entry in history[self._reported.get(number, 0) :]:
            trial.report(entry[metric], entry["epoch"])
        self._reported[number] = len(history)
        if code is None:
            if history and trial.should_prune():
                process.end()
                self._tell(trial, trial_lib.TrialState.PRUNED)
            return
        if code == 0:
            self._tell(trial, _COMPLETE, value=process.value())
        else:
            self._tell(
                trial,
                trial_lib.TrialState.FAIL,
                f"exit code {code}: {process.last_words()}",
            )

    def _tell(
        self,
        trial: optuna.Trial,
        state: trial_lib.TrialState,
        words: str = "",
        value: float | None = None,
    ) -> None:
        self.study.tell(trial, value, state)
        self._running.pop(trial.number, None)
        shown = " ".join(f"{k}={v}" for k, v in trial.params.items())
        result = state.name.lower()
        if value is not None:
            result = f"{self._plan.base.best_metric} {value:.2f}"
        line = f"trial {trial.number:<4} {result}  {shown}  {words}"
        self._say(line.rstrip())

    def _take_up(self) -> None:
        """Goes on with trials that were under way when the sweep ended."""
        for one in self.study.trials:
            if one.state != trial_lib.TrialState.RUNNING:
                continue
            folder = one.user_attrs.get(_FOLDER)
            if folder:
                self._wait_for(self._folder / "trials" / folder)
            self.study.set_user_attr(
                _INTERRUPTED, [*self._interrupted(), one.number]
            )
            self.study.tell(one.number, state=trial_lib.TrialState.FAIL)
            self.study.enqueue_trial(
                one.params, {_FOLDER: folder} if folder else None
            )

    def _wait_for(self, folder: pathlib.Path) -> None:
        """Waits for a training that outlived the sweep that began it."""
        while folder.is_dir():
            try:
                with run_lock.RunLock(folder):
                    return
            except run_lock.LockedError as error:
                self._say(f"waiting for {error}")
                time.sleep(_WAIT_SECONDS)

    def _check_same(self) -> None:
        """Raises ValueError for a folder of another sweep."""
        question = {
            "base": self._plan.base.to_json(),
            "space": repr(sorted(self._plan.space.items())),
            "data_dir": os.path.abspath(self._plan.data_dir or "."),
        }
        before = self.study.user_attrs.get(_QUESTION)
        if before is None:
            self.study.set_user_attr(_QUESTION, question)
            return
        changed = [name for name in question if before[name] != question[name]]
        if changed:
            raise data_errors.DataError(
                self._folder,
                f"a sweep of another {' and '.join(changed)}",
                "the same flags, or another folder",
            )
