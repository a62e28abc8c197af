"""How a run goes on from what its folder holds."""

from __future__ import annotations

from tfxml import config as config_lib
from tfxml.run import more_epochs, remote
from tfxml.run import run as run_lib
from tfxml.run import workdir as workdir_lib
from tfxml.training import checkpoints


def check_same(workdir: workdir_lib.Workdir, config: config_lib.Config) -> None:
    """Raises ValueError unless the recipes agree, but for more epochs."""
    old = workdir.read()[0]
    if old.num_epochs < config.num_epochs:
        old = old.replace(num_epochs=config.num_epochs)
    changed = config_lib.differences(old, config)
    if changed:
        raise ValueError(
            f"`workdir` must be new, or hold a run of the same config; "
            "num_epochs may be larger. "
            f"Received: workdir={remote.name_of(workdir.path)}, whose run and "
            f"the flags differ in {'; '.join(changed)}"
        )


def resume(
    workdir: workdir_lib.Workdir, output: workdir_lib.Workdir, run: run_lib.Run
) -> list[dict]:
    """Restores the newest checkpoint; returns the evaluations up to there.

    Args:
        workdir: of the run.
        output: where this process writes, which is `workdir` on the chief.
        run: of the recipe that is trained now.
    """
    saved = checkpoints.Checkpoints(
        workdir.checkpoints,
        run.state,
        io_device=run.io_device,
        weights=run.weights,
    )
    latest = saved.latest_step()
    if latest is None:
        return []
    meta = saved.restore(latest)
    so_far = meta["epoch"]
    run.epoch_steps, run.epoch_loss = so_far["steps"], so_far["loss_sum"]
    print(f"resumes   at step {latest}")
    history = meta["history"]
    is_chief = output.path == workdir.path
    if is_chief and workdir.is_started and workdir.read()[0] != run.config:
        return more_epochs.continue_run(output, run, saved, history)
    return history
