"""Checkpoints that are either complete or absent.

Each checkpoint is a folder, `step_00001234`, written under a temporary name and
renamed when it is complete. It holds model, optimizer and step; the step gives
the position in the data. Its `checkpoint.json` marks it as complete: it holds
the checksums of the other files, and the run's evaluations so far.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from tfxml.data import atomic_files, checked_files, data_errors
from tfxml.training import checkpoint_folders

_PATTERN = re.compile(r"[*?\[\\]")  # TensorFlow reads these as a pattern


class Checkpoints:
    """The checkpoints of a run: writes, keeps n and the best, restores.

    Args:
        folder: their folder; created with the first checkpoint.
        checkpoint: the objects to save, e.g.
            `tf.train.Checkpoint(model=model)`.
        keep: how many of the newest to keep, at least 1.
        io_device: which task reads and writes; None: each its own variables.
        weights: the weights that must be finite, by name.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        checkpoint: tf.train.Checkpoint,
        keep: int = 2,
        io_device: str | None = None,
        weights: dict[str, keras.Variable] | None = None,
    ):
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1. Received: {keep=}")
        self.folder = pathlib.Path(folder)
        self.checkpoint = checkpoint
        self.keep = keep
        self._weights = weights or {}
        self._options = tf.train.CheckpointOptions(
            experimental_io_device=io_device
        )
        self._written_step: int | None = None  # the last that this object wrote

    def steps(self) -> list[int]:
        """Returns the steps of the complete checkpoints, oldest first."""
        return checkpoint_folders.steps(self.folder)

    def save(
        self,
        step: int,
        metrics: dict[str, float],
        is_best: bool,
        epoch: dict[str, float] | None = None,
        history: list[dict] | None = None,
    ) -> None:
        """Writes a checkpoint, then removes those that need not be kept.

        Args:
            step: how many steps are done.
            metrics: the evaluation of these weights; empty: there is none.
            is_best: whether it is the best so far.
            epoch: the state of an unfinished epoch.
            history: the run's evaluations so far.

        Raises:
            OSError: if it cannot be written; earlier checkpoints are kept.
            FloatingPointError: if a weight is not finite; likewise.
        """
        meta = {
            "step": step,
            "metrics": metrics,
            "is_best": is_best,
            "epoch": epoch,
            "history": history or [],
        }
        path = self._path(step)
        if step == self._written_step and checkpoint_folders.is_whole(path):
            # The folder already has these weights: only the rest is new.
            meta["files"] = self.meta(step)["files"]
            checked_files.write_sealed(path / checkpoint_folders.META, meta)
        else:
            self._check_weights(step)
            with atomic_files.new_folder(path, is_replacing=True) as unfinished:
                self._write(unfinished, path, meta)
        self._written_step = step
        self.remove_old()

    def _write(self, unfinished: pathlib.Path, path, meta: dict) -> None:
        try:
            with _without_pattern(unfinished) as folder:
                self.checkpoint.write(f"{folder}/model", self._options)
        except tf.errors.OpError as error:
            raise OSError(
                f"checkpoint {path} cannot be written, the one before is "
                f"kept: {error}"
            ) from error
        files = {
            file.name: checked_files.digest(file)
            for file in sorted(unfinished.iterdir())
        }
        checked_files.write_sealed(
            unfinished / checkpoint_folders.META, {**meta, "files": files}
        )

    def restore(self, step: int) -> dict:
        """Restores everything; returns what `meta` does.

        Raises:
            FileNotFoundError: if there is no such checkpoint.
            ValueError: if it is damaged or belongs to another model.
        """
        return self._restore(step, lambda status: status.assert_consumed())

    def restore_model(self, step: int) -> dict:
        """Restores only the model, without its optimizer.

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
        return checkpoint_folders.latest_step(self.folder)

    def best_step(self) -> int | None:
        """Returns the newest step marked best, or None."""
        return checkpoint_folders.best_step(self.folder)

    def meta(self, step: int) -> dict:
        """Returns the metadata of a checkpoint; see `save`."""
        return checkpoint_folders.read_meta(self.folder, step)

    def _restore(self, step: int, check: Callable) -> dict:
        """Reads a checkpoint; `check` raises AssertionError if it is wrong."""
        meta, path = self.meta(step), self._path(step)
        for name, expected in meta["files"].items():
            checked_files.check(path / name, expected)
        try:
            with _without_pattern(path) as folder:
                status = self.checkpoint.read(f"{folder}/model", self._options)
        except (tf.errors.OpError, ValueError, IndexError) as error:
            raise ValueError(
                f"checkpoint {path} cannot be read: {error}"
            ) from error
        try:
            check(status)
        except AssertionError as error:
            raise ValueError(
                f"checkpoint {path} does not fit this model: {error}"
            ) from error
        bad_weight = _first_not_finite(self._weights)
        if bad_weight:
            raise data_errors.DataError(
                path,
                f"weights that are not finite: {bad_weight}",
                "finite weights",
            )
        return meta

    def _check_weights(self, step: int) -> None:
        bad_weight = _first_not_finite(self._weights)
        if bad_weight is None:
            return
        latest = self.latest_step()
        last_good = (
            "none was saved before" if latest is None else f"step {latest}"
        )
        raise FloatingPointError(
            f"the weights are not finite at step {step} ({bad_weight}): not "
            f"saved. The last good checkpoint: {last_good}. Lower "
            "--learning_rate or set --global_clipnorm, in a new --workdir, or "
            "look at the data"
        )

    def _path(self, step: int) -> pathlib.Path:
        return checkpoint_folders.path(self.folder, step)

    def remove(self, step: int) -> None:
        """Removes the checkpoint of a step."""
        atomic_files.remove(self._path(step))

    def remove_old(self) -> None:
        """Removes the checkpoints that need not be kept, and leftovers."""
        kept_steps = set(self.steps()[-self.keep :]) | {self.best_step()}
        for path in checkpoint_folders.folders(self.folder):
            if checkpoint_folders.step_of(path) not in kept_steps:
                atomic_files.remove(path)
        atomic_files.remove_leftovers(self.folder)


@contextlib.contextmanager
def _without_pattern(folder: pathlib.Path) -> Iterator[str]:
    """Yields a path of a folder that TensorFlow does not read as a pattern."""
    if not _PATTERN.search(str(folder)):
        yield str(folder)
        return
    temporary = tempfile.mkdtemp(prefix="tfxml-")
    try:
        link = os.path.join(temporary, "folder")
        os.symlink(folder.resolve(), link)
        yield link
    finally:
        shutil.rmtree(temporary)


def _first_not_finite(weights: dict[str, keras.Variable]) -> str | None:
    """Returns the name of the first weight with a NaN or infinity, or None.

    A sum is finite only if all its terms are: one pass, and no copy.
    """
    for name, weight in weights.items():
        if not tf.as_dtype(weight.dtype).is_floating:
            continue
        # On the server that holds it: only the sum is sent, not the weight.
        variable = weight.value
        is_remote = "/job:ps" in (variable.device or "")
        with tf.device(variable.device if is_remote else None):
            value = tf.convert_to_tensor(variable)
            if value.dtype != tf.float64:
                value = tf.cast(value, tf.float32)
            total = tf.reduce_sum(value)
        if not np.isfinite(total.numpy()):
            return name
    return None
