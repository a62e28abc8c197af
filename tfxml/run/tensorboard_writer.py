"""Logs a run for TensorBoard, which must be installed."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.run import run as run_lib
from tfxml.run import scored_rows

_EXAMPLES, _LABELS = 5, 5
_MOST_WEIGHTS = 1 << 24  # of a variable whose histogram is drawn
_SAMPLED = 1 << 16  # of them


class TensorboardWriter:
    """Writes scalars, histograms, the graph, the recipe and examples.

    Weights, graph and examples need the whole model in one process: several
    workers, parameter servers and TPUs get scalars and the recipe.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder: pathlib.Path):
        self._writer = tf.summary.create_file_writer(str(folder))
        self._top_k: Any = None  # a tf.function, where the model is here

    def begin(self, config: config_lib.Config, run: run_lib.Run) -> None:
        """Writes the recipe, for the HParams page, and the model's graph."""
        from tensorboard.plugins.hparams import api as hparams

        recipe = {
            name: value
            if isinstance(value, bool | int | float | str)
            else ",".join(map(str, value))
            for name, value in dataclasses.asdict(config).items()
            if value is not None
        }
        with self._writer.as_default():
            hparams.hparams(recipe)
            if _is_here(run):
                self._top_k = scored_rows.answers_of(
                    run.model, run.data.facts, _LABELS
                )
                named, _ = run.data.evaluation.rows(tf.range(1, dtype=tf.int64))
                graph = self._top_k.get_concrete_function(named).graph
                tf.summary.graph(graph)
        self._writer.flush()

    def after_loop(self, is_traced: bool) -> None:
        """Writes nothing."""

    def write(self, entry: dict[str, float], run: run_lib.Run) -> None:
        """Writes an evaluation, and the weights and answers at its step."""
        with self._writer.as_default(step=int(entry["step"])):
            for name, value in entry.items():
                if name != "step":
                    tf.summary.scalar(name, value)
            if self._top_k is not None:
                for name, weight in run.model.named_variables().items():
                    if weight.dtype.startswith("float"):
                        _histogram(name, weight)
                tf.summary.text("examples", _examples(run, self._top_k))
        self._writer.flush()

    def end(self) -> None:
        """Closes the event file."""
        self._writer.close()


def _is_here(run: run_lib.Run) -> bool:
    """Tells whether this process holds the whole model."""
    return not isinstance(
        run.strategy,
        (
            tf.distribute.MultiWorkerMirroredStrategy,
            tf.distribute.ParameterServerStrategy,
            tf.distribute.TPUStrategy,
        ),
    )


def _histogram(name: str, weight) -> None:
    size = int(np.prod(weight.shape))
    if 0 < size <= _MOST_WEIGHTS:
        values = weight.numpy().ravel()
        tf.summary.histogram(name, values[:: max(1, size // _SAMPLED)])


def _examples(run: run_lib.Run, top_k: Callable) -> str:
    """Returns a Markdown table of instances' labels, true and predicted."""
    source, names = run.data.evaluation, run.data.label_names
    number = min(_EXAMPLES, source.num_instances)
    named, label_ids = source.rows(tf.range(number, dtype=tf.int64))
    scores, found = (tensor.numpy() for tensor in top_k(named))

    def name_of(label: int) -> str:
        name = names[label] if names else str(label)
        return name.replace("|", "\\|").replace("\n", " ")

    lines = ["| true | predicted |", "| --- | --- |"]
    for row in range(number):
        true = ", ".join(map(name_of, label_ids[row].numpy()))
        best = ", ".join(
            f"{name_of(label)} {score:.2f}"
            for label, score in zip(found[row], scores[row], strict=True)
        )
        lines.append(f"| {true} | {best} |")
    return "\n".join(lines)
