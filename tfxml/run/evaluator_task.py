"""The evaluator task: follows a run's checkpoints while others train."""

from __future__ import annotations

import time
from collections.abc import Callable

import tensorflow as tf

from tfxml.evaluation import metrics
from tfxml.run import console, remote, restore
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoint_folders

_POLL_SECONDS = 2.0


def follow(
    path: str, data_dir: str, strategy: tf.distribute.Strategy
) -> list[dict]:
    """Evaluates each new checkpoint until the run has come to its end.

    Writes a line for each to `evaluator.jsonl` in the run's folder, and
    returns them. Checkpoints that come faster than they are evaluated, or are
    removed meanwhile, are passed over; the last never is.

    Args:
        path: the run's folder; waited for if it is not there yet.
        data_dir: where the data set lies on this machine.
        strategy: which devices evaluate.
    """
    if not path:
        raise ValueError(
            "`workdir` must name the folder of the run that an evaluator "
            "follows. Received: none"
        )
    workdir = workdir_lib.Workdir(path)
    run: restore.TrainedRun | None = None
    measure: Callable[[], metrics.RankingMetrics] | None = None
    entries: list[dict] = []
    evaluated: int | None = None  # the step of the last evaluation
    told = ""  # what it was last said to wait for
    while True:
        # Asked first: what is saved before the end is then seen below.
        remote.fetch(workdir.path)
        is_finished = workdir.is_finished
        latest = checkpoint_folders.latest_step(workdir.checkpoints)
        if latest is None or latest == evaluated:
            if is_finished:
                return entries
            awaited = _awaited(workdir, latest)
            if awaited != told:
                print(f"waits     for {awaited}", flush=True)
                told = awaited
            time.sleep(_POLL_SECONDS)
            continue
        try:
            if run is None or measure is None:
                run = restore.restore(str(workdir.path), strategy, "latest")
                measure = restore.make_evaluate(run, strategy, "", data_dir)
                latest = run.step
            else:
                run.saved.restore_model(latest)
        except (ValueError, FileNotFoundError):
            if checkpoint_folders.latest_step(workdir.checkpoints) == latest:
                raise
            continue  # removed while it was read: there is a newer one
        evaluated = latest
        entry = {"step": latest, **measure().result()}
        entries.append(entry)
        workdir.append_metrics(entry, "evaluator.jsonl")
        remote.publish(workdir.path)
        print(console.describe_checkpoint(entry))


def _awaited(workdir: workdir_lib.Workdir, latest: int | None) -> str:
    """Returns what has to come next, in words."""
    if not workdir.is_started:
        return f"a run in {workdir.path}, which training begins there"
    if latest is None:
        return f"the first checkpoint in {workdir.checkpoints}"
    return f"a checkpoint after step {latest} in {workdir.checkpoints}"
