"""A run that an estimator trained: its labels are whatever they were in Y.

The run directory is that of the commands, and one file more, which says what
the labels are where they are no strings.
"""

from __future__ import annotations

import functools
import io
import json
import pathlib
import shutil
import tempfile
import weakref
import zipfile

import numpy as np
import tensorflow as tf

from tfxml.data import arrays
from tfxml.run import array_predictor, restore

_FILE = "estimator.json"


class FittedRun:
    """A trained run, its labels, and what predicts with it.

    Args:
        path: the run directory.

    Attributes:
        run: what `restore.restore` returns.
        classes: [L], the labels in the order of their ids.
        is_single: whether it was trained on one label a row.
    """

    def __init__(self, path: str):
        self.path = path
        self.run = restore.restore(path, tf.distribute.get_strategy())
        labels, self.is_single = None, False
        file = pathlib.Path(path) / _FILE
        if file.is_file():
            note = json.loads(file.read_text())
            labels, self.is_single = note["labels"], note["is_single"]
        number = self.run.facts.num_labels
        if labels is None or len(labels) != number:  # labels were added
            labels = self.run.label_names or list(range(number))
        self.classes = np.array(labels)

    @functools.cached_property
    def predictor(self) -> array_predictor.ArrayPredictor:
        """What finds the best labels, made when first asked for."""
        return array_predictor.ArrayPredictor(self.run)

    def remove_with(self) -> None:
        """Removes the run directory once nothing refers to this object."""
        weakref.finalize(self, shutil.rmtree, self.path, True)


def write_labels(path: str, data: arrays.ArrayData) -> None:
    """Writes what the labels of a run are, beside their names as strings."""
    labels = data.labels
    if labels is not None:
        labels = [
            label.item() if isinstance(label, np.generic) else label
            for label in labels
        ]
    note = {"labels": labels, "is_single": data.is_single}
    (pathlib.Path(path) / _FILE).write_text(json.dumps(note))


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
