"""The folder of a run: what is written there, and how it is read again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfxml
from tfxml import config as config_lib
from tfxml.data import atomic_files, checked_files, data_errors
from tfxml.data.formats import numpy_arrays
from tfxml.data.text import text_features as text_features_lib
from tfxml.run import fingerprint as fingerprint_lib
from tfxml.run import fitted_scores, flags, manifest, paths, run_lock

_BACKBONE = "backbone.keras"
# What stays the same during a run, and what comes to it.
_CONSTANT = (
    "config.json",
    "flags.cfg",
    "run.json",
    "label_counts.npy",
    "label_names.jsonl",
    "head.json",
    "serving.json",
    "text_features",
    "dropped_labels.npy",
    _BACKBONE,
)
_CHANGING = (
    "checkpoints",
    "metrics.jsonl",
    "result.json",
    fitted_scores.NAME,
)


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the model's shape follows from, beside the config."""

    num_features: int
    num_labels: int
    num_train: int
    form: str  # how sparse rows are multiplied
    is_text: bool
    data_dir: str  # absolute; empty for the generated set
    num_tokens: int = 0  # one more than the largest token id; 0: no tokens


class Workdir:
    """All that a run writes.

    - `config.json`, `flags.cfg`: the recipe, the second as a flagfile that
      reproduces the run.
    - `run.json`: facts about the data, command lines, versions.
    - `label_counts.npy`, `label_names.jsonl`, `head.json`, `serving.json`,
      `text_features/`: what evaluation and prediction need of the data.
    - `backbone.keras`: the model that `--backbone` named.
    - `dropped_labels.npy`: labels that are never answered, if there are any.
    - `manifest.json`: the checksums of all these, written last; a folder
      without it holds no run.
    - `checkpoints/`, `metrics.jsonl`; `evaluator.jsonl` by an evaluator task.
    - `result.json`: the final metrics, once the run has come to its end.
    - `calibration.json`: what `tfxml.calibrate` found; see `fitted_scores`.

    Files are checked against the manifest whenever they are read.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(paths.local(path, "workdir"))
        self.checkpoints = self.path / "checkpoints"
        self._manifest = manifest.Manifest(self.path)

    @property
    def is_started(self) -> bool:
        return self._manifest.is_there and not manifest.is_unfinished(self.path)

    def check_new(self) -> None:
        """Raises ValueError if there is a run already.

        Killed when all was written, the same command writes it again.
        """
        if self.is_started and not run_lock.is_left_by_this_command(self.path):
            raise ValueError(
                f"`output` must be a new folder. Received: output={self.path}"
            )

    def check_free(self) -> None:
        """Raises DataError if a run that begins here would replace files."""
        if self.is_started or manifest.is_unfinished(self.path):
            return
        names = [
            name
            for name in (*_CONSTANT, *_CHANGING)
            if os.path.lexists(self.path / name)
        ]
        if names:
            raise data_errors.DataError(
                self.path,
                f"{', '.join(names)} without the manifest.json of a run",
                "all that training wrote there, or another workdir",
            )

    @contextlib.contextmanager
    def beginning(self) -> Iterator[Workdir]:
        """Gives a folder to write what stays the same; then it is all there.

        Raises:
            DataError: if what lies there belongs to no run, or its run is gone.
        """
        self.check_free()
        with manifest.beginning(
            self.path, _CONSTANT, _CHANGING, [fitted_scores.NAME]
        ) as stage:
            yield Workdir(stage)
        self._manifest = manifest.Manifest(self.path)

    def start(
        self, config: config_lib.Config, facts: Facts, fingerprint: dict
    ) -> None:
        """Writes the recipe and the facts, into the folder of a beginning.

        Args:
            config: what is trained.
            facts: what the model's shape follows from.
            fingerprint: of the data; see `fingerprint.of`.
        """
        self._write("config.json", config.to_json())
        self._write("flags.cfg", flags.to_flagfile(config))
        run = {
            "facts": dataclasses.asdict(facts),
            "data": fingerprint,
            "command": sys.argv,
            "started": time.strftime("%Y-%m-%d %H:%M:%S"),
            "versions": {
                "tfxml": tfxml.__version__,
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "python": platform.python_version(),
            },
        }
        self._write("run.json", json.dumps(run, indent=1))

    def change_recipe(self, config: config_lib.Config) -> None:
        """Makes the run one of another recipe, which has yet to end."""
        manifest.replace(
            self.path,
            {
                "config.json": config.to_json(),
                "flags.cfg": flags.to_flagfile(config),
            },
        )
        (self.path / "result.json").unlink(missing_ok=True)
        self._manifest = manifest.Manifest(self.path)

    def mend(self) -> None:
        """Ends a change of the recipe that was killed."""
        manifest.mend(self.path)

    def read(self) -> tuple[config_lib.Config, Facts]:
        """Returns the run's config and facts.

        Raises:
            ValueError: if the folder holds no run, or a damaged one.
        """
        return (
            self._parsed(
                "config.json",
                lambda text: config_lib.Config.from_json(text.decode()),
            ),
            self._parsed(
                "run.json", lambda text: Facts(**json.loads(text)["facts"])
            ),
        )

    def read_fingerprint(self) -> dict:
        """Returns what tells the run's data from others."""
        return self._parsed(
            "run.json", lambda text: dict(json.loads(text)["data"])
        )

    def read_about(self) -> dict:
        """Returns `run.json`: data, command line, start and versions."""

        def parse(text: bytes) -> dict:
            about = json.loads(text)
            names = {"started": str(about["started"])}
            return {**about, **names, "versions": dict(about["versions"])}

        return self._parsed("run.json", parse)

    def read_metrics(self) -> list[dict]:
        """Returns the evaluations of the run so far, in order."""
        path = self.path / "metrics.jsonl"
        if not path.is_file():
            return []
        # The last line may still be being written.
        with checked_files.reading(path, "an evaluation in each line"):
            lines = path.read_text(encoding="utf-8").split("\n")[:-1]
            return [_numbers(json.loads(line), "step") for line in lines]

    def read_result(self) -> dict[str, float] | None:
        """Returns the final metrics, or None before the run's end."""
        if not self.is_finished:
            return None
        path = self.path / "result.json"
        with checked_files.reading(path, "the final metrics"):
            return _numbers(json.loads(path.read_text()))

    def check_data(self, fingerprint: dict, data_dir: str) -> None:
        """Raises ValueError unless data are those that the run began with."""
        wrong = fingerprint_lib.differences(
            self.read_fingerprint(), fingerprint
        )
        if wrong:
            before = self.read()[1].data_dir or "generated"
            raise ValueError(
                "`data_dir` must hold the data that the run in `workdir` began "
                f"with, {before}; other data "
                "need a workdir of their own, or `python -m tfxml.grow`. "
                f"Received: workdir={self.path}, data_dir="
                f"{data_dir or 'generated'}, with {'; '.join(wrong)}"
            )

    def write_label_counts(self, counts: np.ndarray) -> None:
        """Writes in how many training instances each label occurs, [L]."""
        self._write_array("label_counts.npy", counts)

    def read_label_counts(self) -> np.ndarray:
        return self._read_array("label_counts.npy")

    def write_label_names(self, names: list[str]) -> None:
        """Writes one JSON string a line: names may hold any character."""
        lines = "".join(json.dumps(name) + "\n" for name in names)
        self._write("label_names.jsonl", lines)

    def read_label_names(self) -> list[str] | None:
        """Returns the label names, or None where labels have none."""
        if "label_names.jsonl" not in self._manifest:
            return None
        return self._parsed(
            "label_names.jsonl",
            lambda text: [json.loads(line) for line in text.split(b"\n")[:-1]],
        )

    def write_dropped_labels(self, label_ids: np.ndarray) -> None:
        """Writes the ids of labels that are never answered."""
        self._write_array("dropped_labels.npy", label_ids)

    def read_dropped_labels(self) -> np.ndarray:
        if "dropped_labels.npy" not in self._manifest:
            return np.zeros(0, np.int64)
        return self._read_array("dropped_labels.npy")

    def copy_to(self, new: Workdir) -> None:
        """Copies what prediction needs, but for the weights, to a beginning."""
        for name in self._manifest.names():
            path = new.path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(self._manifest.read(name))

    def write_head(self, record: dict | None) -> None:
        """Writes what a head recorded of itself, if anything."""
        if record is not None:
            self._write("head.json", json.dumps(record, indent=1))

    def write_serving(self, forms: dict | None) -> None:
        """Writes what predicts without TensorFlow; see `serving_file.of`."""
        if forms is not None:
            self._write("serving.json", json.dumps(forms))

    def check_head(self, record: dict | None) -> None:
        """Raises ValueError unless the head is the one that was recorded."""
        written = None
        if "head.json" in self._manifest:
            written = self._parsed("head.json", json.loads)
        if written != record:
            raise ValueError(
                f"{self.path / 'head.json'} must describe the head that the "
                "recipe gives: the bucket hashes differ, so the weights would "
                "be read wrongly. The folder was changed, or written by "
                "another version of tfxml"
            )

    def write_backbone(self, path: pathlib.Path) -> None:
        """Keeps a Keras model, so that the run needs no other file."""
        shutil.copyfile(path, self.path / _BACKBONE)

    @property
    def backbone(self) -> str:
        """The file of the Keras model; empty: the run has none."""
        if not self.is_started or _BACKBONE not in self._manifest:
            return ""
        self._manifest.check(_BACKBONE)
        return str(self.path / _BACKBONE)

    def write_text_features(
        self, features: text_features_lib.TextFeatures
    ) -> None:
        features.save(self.path / "text_features")

    def read_text_features(self) -> text_features_lib.TextFeatures:
        self._manifest.check("text_features/")
        return text_features_lib.load(self.path / "text_features")

    def fitted_text_features(
        self,
    ) -> text_features_lib.TextFeatures | None:
        """Returns the text features that the run goes on with, or None."""
        if not self.is_started or not self.read()[1].is_text:
            return None
        return self.read_text_features()

    def append_metrics(self, values: dict, name: str = "metrics.jsonl") -> None:
        """Adds one JSON line to a file of metrics, behind its whole lines."""
        with open(self.path / name, "ab+") as lines:
            lines.seek(0)
            lines.truncate(lines.read().rfind(b"\n") + 1)
            lines.write(json.dumps(values).encode() + b"\n")

    def write_metrics(self, entries: list[dict]) -> None:
        """Replaces what was appended, all at once."""
        lines = "".join(json.dumps(entry) + "\n" for entry in entries)
        atomic_files.write_bytes(self.path / "metrics.jsonl", lines.encode())

    def write_result(self, metrics: dict[str, float]) -> None:
        atomic_files.write_json(self.path / "result.json", metrics)

    @property
    def is_finished(self) -> bool:
        return (self.path / "result.json").is_file()

    def _read_array(self, name: str) -> np.ndarray:
        self._manifest.check(name)
        array = numpy_arrays.MappedArray(str(self.path / name), "iuf")
        return np.array(array.cells)

    def _parsed(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """Returns what a file says; its checksum says that it is whole."""
        with checked_files.reading(self.path / name):
            return parse(self._manifest.read(name))

    def _write(self, name: str, text: str) -> None:
        (self.path / name).write_bytes(text.encode())

    def _write_array(self, name: str, array: np.ndarray) -> None:
        np.save(self.path / name, array, allow_pickle=False)


def _numbers(values: dict, *names: str) -> dict:
    """Returns metrics.

    Raises:
        TypeError, ValueError or LookupError: unless they are numbers, and some
            are there.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.80}")
    for name in {*names, *values}:
        if not isinstance(values[name], int | float):
            raise ValueError(f"{name}={values[name]!r:.80}")
    return dict(values)
