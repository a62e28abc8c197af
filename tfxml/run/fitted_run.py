"""A run that an estimator trained; its labels are those of Y.

The run directory is like that of the commands, with one more file that holds
the labels, which may be other than strings.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import pathlib
import shutil
import tempfile
import weakref
import zipfile

import numpy as np
import tensorflow as tf

from tfxml.data import arrays, checked_files
from tfxml.run import (
    array_predictor,
    fitted_scores,
    manifest,
    paths,
    remote,
    restore,
)

_FILE = "estimator.json"


class FittedRun:
    """A trained run, its labels, and its predictor.

    Args:
        path: the run directory.

    Attributes:
        run: what `restore.restore` returns.
        classes: [L], the labels in the order of their ids.
        is_single: whether it was trained on one label per row.
    """

    def __init__(self, path: str):
        self.path = paths.local(path, "workdir")
        self.run = restore.restore(path, tf.distribute.get_strategy())
        labels, self.is_single = read_labels(self.path)
        num_labels = self.run.facts.num_labels
        if labels is None or len(labels) != num_labels:  # labels were added
            labels = self.run.label_names or list(range(num_labels))
        self.classes = np.array(labels)

    @functools.cached_property
    def predictor(self) -> array_predictor.ArrayPredictor:
        """Finds the best labels; created on first use."""
        return array_predictor.ArrayPredictor(self.run)

    def set_scores(self, fitted: fitted_scores.FittedScores | None) -> None:
        """Calibrates the run's scores, also of its directory; None: undoes."""
        if fitted is None:
            fitted_scores.remove(self.path)
        else:
            fitted.write(self.path)
        remote.publish(self.path)
        self.run = dataclasses.replace(self.run, fitted=fitted, stale="")
        self.run.model.calibration = fitted.calibration if fitted else None
        self.__dict__.pop("predictor", None)  # it holds the scores of before

    def remove_with(self) -> None:
        """Removes the run directory once nothing refers to this object."""
        weakref.finalize(self, shutil.rmtree, self.path, True)


def write_labels(path: str, data: arrays.ArrayData) -> None:
    """Writes the labels of a run, in addition to their names as strings."""
    labels = data.labels
    if labels is not None:
        labels = [
            label.item() if isinstance(label, np.generic) else label
            for label in labels
        ]
    folder = paths.local(path, "workdir")
    checked_files.write_sealed(
        pathlib.Path(folder) / _FILE,
        {"labels": labels, "is_single": data.is_single},
    )
    manifest.note(pathlib.Path(folder), _FILE)
    remote.publish(folder)


def read_labels(path: str) -> tuple[list | None, bool]:
    """Returns what `write_labels` wrote: labels, and whether each row has one.

    Raises:
        DataError: if the file is damaged, or gone.
    """
    try:
        label_record = checked_files.read_sealed(pathlib.Path(path) / _FILE)
    except FileNotFoundError:
        needed = "the labels that an estimator wrote"
        manifest.check_never_there(pathlib.Path(path), _FILE, needed)
        return None, False
    with checked_files.reading(pathlib.Path(path) / _FILE):
        return label_record["labels"], bool(label_record["is_single"])


def archived(path: str) -> bytes:
    """Returns the files of a run directory as one zip archive."""
    content = io.BytesIO()
    root = pathlib.Path(path)
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root))
    return content.getvalue()


def from_archive(archive: bytes) -> FittedRun:
    """Returns the run of an archive, in a temporary directory."""
    path = tempfile.mkdtemp(prefix="tfxml-")
    with zipfile.ZipFile(io.BytesIO(archive)) as content:
        content.extractall(path)
    run = FittedRun(path)
    run.remove_with()
    return run
