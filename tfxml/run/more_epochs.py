"""Continues a run whose recipe now has more epochs."""

from __future__ import annotations

from tfxml import config as config_lib
from tfxml.run import run as run_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoints


def continue_run(
    workdir: workdir_lib.Workdir,
    run: run_lib.Run,
    saved: checkpoints.Checkpoints,
    history: list[dict],
) -> list[dict]:
    """Makes a run one of `run.config`'s epochs; returns its evaluations.

    Killed at any time, the same command does what is left of it.

    Args:
        workdir: of the run, of fewer epochs.
        run: restored to its newest checkpoint.
        saved: where its checkpoints are.
        history: the run's evaluations.
    """
    old, _ = workdir.read()
    steps = run.steps_per_epoch * old.num_epochs
    last = run.steps_done
    if last > steps:  # what is learnt after the last epoch is learnt again
        run.reopen(steps)
        history = [entry for entry in history if entry["step"] <= steps]
        saved.save(
            steps, {}, False, {"steps": 0, "loss_sum": 0.0}, history=history
        )
        saved.remove(last)
    workdir.change_recipe(run.config)
    print(describe(old, run.config))
    return history


def describe(old: config_lib.Config, new: config_lib.Config) -> str:
    """Returns what goes on, and how it differs from a run in one go."""
    text = f"continues after {old.num_epochs} epochs, up to {new.num_epochs}"
    if new.decay == "constant":
        return f"{text}, as a run of so many epochs"
    return (
        f"{text}; not as a run of {new.num_epochs} epochs from the start, for "
        f"the learning rate fell to 0 over {old.num_epochs} and now falls over "
        f"all {new.num_epochs}; --decay=constant has no such difference"
    )
