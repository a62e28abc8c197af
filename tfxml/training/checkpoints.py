"""Checkpoints that are either whole or not there.

Each checkpoint is one folder, `step_00001234`, written under another name and
renamed when it is complete. It holds model, optimizer and step; the position
in the data follows from the step.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
from collections.abc import Callable

import tensorflow as tf

_NAME = re.compile(r"step_(\d{8,})")
_META = "checkpoint.json"


class Checkpoints:
    """The checkpoints of a run: writes, keeps n and the best, restores.

    Args:
        folder: where they lie; made when the first is written.
        checkpoint: what is saved, e.g. `tf.train.Checkpoint(model=model)`.
        keep: how many of the newest are kept, at least 1.
        io_device: which task reads and writes; None: each its own variables.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        checkpoint: tf.train.Checkpoint,
        keep: int = 2,
        io_device: str | None = None,
    ):
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1. Received: {keep=}")
        self.folder = pathlib.Path(folder)
        self.checkpoint = checkpoint
        self.keep = keep
        self._options = tf.train.CheckpointOptions(
            experimental_io_device=io_device
        )

    def steps(self) -> list[int]:
        """Returns the steps of the complete checkpoints, oldest first."""
        return steps(self.folder)

    def save(
        self,
        step: int,
        metrics: dict[str, float],
        is_best: bool,
        epoch: dict[str, float] | None = None,
    ) -> None:
        """Writes a checkpoint, then removes those that need not be kept.

        `epoch` is what is known of the epoch under way.

        Raises:
            OSError: if it cannot be written; those that there are stay.
        """
        final = self._path(step)
        partial = final.with_name(f"writing_{final.name}")
        for stale in (partial, final):
            if stale.exists():
                shutil.rmtree(stale)
        partial.mkdir(parents=True)
        try:
            self.checkpoint.write(str(partial / "model"), self._options)
        except tf.errors.OpError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise OSError(
                f"checkpoint {final} cannot be written, the one before is "
                f"kept: {error}"
            ) from error
        meta = {
            "step": step,
            "metrics": metrics,
            "is_best": is_best,
            "epoch": epoch,
        }
        (partial / _META).write_text(json.dumps(meta, indent=1))
        partial.rename(final)
        self._remove_old()

    def restore(self, step: int) -> dict:
        """Restores all of it; returns what was saved beside it.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            ValueError: if it is damaged or belongs to another model.
        """
        return self._restore(step, lambda status: status.assert_consumed())

    def restore_model(self, step: int) -> dict:
        """Restores what is there for the model alone, without its optimizer.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            ValueError: if it is damaged or belongs to another model.
        """
        return self._restore(
            step,
            lambda status: (
                status.expect_partial().assert_existing_objects_matched()
            ),
        )

    def latest_step(self) -> int | None:
        """Returns the newest step, or None."""
        return latest_step(self.folder)

    def best_step(self) -> int | None:
        """Returns the newest step marked best, or None."""
        best = [step for step in self.steps() if self._meta(step)["is_best"]]
        return best[-1] if best else None

    def _restore(self, step: int, check: Callable) -> dict:
        """Reads a checkpoint; `check` raises AssertionError if it is not it."""
        meta = self._meta(step)
        try:
            status = self.checkpoint.read(
                str(self._path(step) / "model"), self._options
            )
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise ValueError(
                f"checkpoint {self._path(step)} cannot be read: {error}"
            ) from error
        try:
            check(status)
        except AssertionError as error:
            raise ValueError(
                f"checkpoint {self._path(step)} does not fit this model: "
                f"{error}"
            ) from error
        return meta

    def _path(self, step: int) -> pathlib.Path:
        return self.folder / f"step_{step:08d}"

    def _meta(self, step: int) -> dict:
        path = self._path(step) / _META
        if not path.is_file():
            raise FileNotFoundError(f"there is no checkpoint {path.parent}")
        try:
            return json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is damaged: {error}") from error

    def _remove_old(self) -> None:
        kept = set(self.steps()[-self.keep :]) | {self.best_step()}
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self._path(step))


def latest_step(folder: pathlib.Path) -> int | None:
    """Returns the newest step of a folder, or None."""
    found = steps(folder)
    return found[-1] if found else None


def steps(folder: pathlib.Path) -> list[int]:
    """Returns the steps of the complete checkpoints of a folder, ascending."""
    if not folder.is_dir():
        return []
    names = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(name[1]) for name in names if name)
