"""The folder of a run: what is written there, and how it is read again."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import platform
import shutil
import sys
import time

import keras
import numpy as np
import tensorflow as tf

import tfxml
from tfxml import config as config_lib
from tfxml.data.text import text_features as text_features_lib
from tfxml.mach import hashing
from tfxml.run import flags

# What another run's folder does not take over.
_OF_TRAINING = ("checkpoints", "metrics.jsonl", "result.json")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the model's shape follows from, beside the config."""

    num_features: int
    num_labels: int
    num_train: int
    form: str  # how sparse rows are multiplied
    is_text: bool
    data_dir: str  # absolute; empty for the generated set


class Workdir:
    """All that a run writes.

    - `config.json`, `flags.cfg`: the recipe, the second as a flagfile that
      reproduces the run.
    - `run.json`: facts about the data, command lines, versions.
    - `label_counts.npy`, `label_names.jsonl`, `hashes.json`,
      `text_features/`: what evaluation and prediction need of the data.
    - `dropped_labels.npy`: labels that are never answered, if there are any.
    - `checkpoints/`, `metrics.jsonl`; `evaluator.jsonl` by an evaluator task.
    - `result.json`: the final metrics, once the run has come to its end.
    """

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)
        self.checkpoints = self.path / "checkpoints"

    @property
    def is_started(self) -> bool:
        return (self.path / "run.json").is_file()

    def start(self, config: config_lib.Config, facts: Facts) -> None:
        """Writes what stays the same during the run."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "config.json").write_text(config.to_json())
        (self.path / "flags.cfg").write_text(flags.to_flagfile(config))
        self.write_metrics([])
        self._write(
            "run.json",
            {
                "facts": dataclasses.asdict(facts),
                "command": sys.argv,
                "started": time.strftime("%Y-%m-%d %H:%M:%S"),
                "versions": {
                    "tfxml": tfxml.__version__,
                    "tensorflow": tf.__version__,
                    "keras": keras.__version__,
                    "python": platform.python_version(),
                },
            },
        )

    def read(self) -> tuple[config_lib.Config, Facts]:
        """Returns the run's config and facts.

        Raises:
            ValueError: if the folder holds no run, or a damaged one.
        """
        try:
            config = config_lib.Config.from_json(
                (self.path / "config.json").read_text()
            )
            run = json.loads((self.path / "run.json").read_text())
            return self._with_hashes(config), Facts(**run["facts"])
        except FileNotFoundError as error:
            raise ValueError(
                f"`workdir` must be a folder that training wrote. "
                f"Received: workdir={self.path}, without {error.filename}"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{self.path} holds a run that cannot be read: {error}"
            ) from error

    def _with_hashes(self, config: config_lib.Config) -> config_lib.Config:
        """Returns the config that gives the hashes that were recorded.

        Those of version 1 have room for as many labels as there can be.
        """
        path = self.path / "hashes.json"
        if not path.is_file():
            return config
        version = json.loads(path.read_text())["version"]
        if version > hashing.VERSION:
            raise ValueError(
                f"hashes.json is of version {version}, and this tfxml knows "
                f"those up to {hashing.VERSION}"
            )
        if version == hashing.VERSION or config.label_capacity:
            return config
        return dataclasses.replace(config, label_capacity=hashing.LARGEST_PRIME)

    def write_label_counts(self, counts: np.ndarray) -> None:
        """Writes in how many training instances each label occurs, [L]."""
        np.save(self.path / "label_counts.npy", counts, allow_pickle=False)

    def read_label_counts(self) -> np.ndarray:
        return np.load(self.path / "label_counts.npy", allow_pickle=False)

    def write_label_names(self, names: list[str]) -> None:
        """Writes one JSON string a line: names may hold any character."""
        with open(self.path / "label_names.jsonl", "w") as lines:
            for name in names:
                lines.write(json.dumps(name) + "\n")

    def read_label_names(self) -> list[str] | None:
        """Returns the label names, or None where labels have none."""
        path = self.path / "label_names.jsonl"
        if not path.is_file():
            return None
        with open(path) as lines:
            return [json.loads(line) for line in lines]

    def write_dropped_labels(self, label_ids: np.ndarray) -> None:
        """Writes the ids of labels that are never answered."""
        path = self.path / "dropped_labels.npy"
        np.save(path, label_ids, allow_pickle=False)

    def read_dropped_labels(self) -> np.ndarray:
        path = self.path / "dropped_labels.npy"
        if not path.is_file():
            return np.zeros(0, np.int64)
        return np.load(path, allow_pickle=False)

    def copy_to(self, target: pathlib.Path) -> None:
        """Copies what prediction needs, but for the weights, to a folder."""
        target.mkdir(parents=True, exist_ok=True)
        for path in self.path.iterdir():
            if path.name in _OF_TRAINING:
                continue
            if path.is_dir():
                shutil.copytree(path, target / path.name, dirs_exist_ok=True)
            else:
                shutil.copy2(path, target / path.name)

    def write_hashes(self, hashes) -> None:
        """Writes MACH's hashes: with them the model needs no seed."""
        self._write(
            "hashes.json",
            {
                "version": hashing.VERSION,
                "hashes": [dataclasses.asdict(one) for one in hashes],
            },
        )

    def write_text_features(
        self, features: text_features_lib.TextFeatures
    ) -> None:
        features.save(self.path / "text_features")

    def read_text_features(self) -> text_features_lib.TextFeatures:
        return text_features_lib.load(self.path / "text_features")

    def fitted_text_features(
        self,
    ) -> text_features_lib.TextFeatures | None:
        """Returns the text features that the run goes on with, or None."""
        if not (self.path / "text_features").is_dir():
            return None
        return self.read_text_features()

    def append_metrics(self, values: dict, name="metrics.jsonl") -> None:
        """Adds one JSON line to a file of metrics."""
        with open(self.path / name, "a") as lines:
            lines.write(json.dumps(values) + "\n")

    def write_result(self, metrics: dict[str, float]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._write("result.json", metrics)

    @property
    def is_finished(self) -> bool:
        return (self.path / "result.json").is_file()

    def read_metrics(self, step: int) -> list[dict]:
        """Returns what was appended up to `step`."""
        lines = (self.path / "metrics.jsonl").read_text().splitlines()
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if entry["step"] <= step]

    def write_metrics(self, entries: list[dict]) -> None:
        """Replaces what was appended, all at once."""
        path = self.path / "metrics.jsonl"
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(e) + "\n" for e in entries))
        partial.replace(path)

    def _write(self, name: str, values) -> None:
        (self.path / name).write_text(json.dumps(values, indent=1))
