"""Predicts for requests with NumPy and compiled loops, without TensorFlow.

What a run directory holds is enough: its serving forms, the weights of a
checkpoint, and text features. TensorFlow, whose import takes longer than a
thousand answers, is imported only for texts beyond `plain_rows`.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any

from tfxml import config as config_lib
from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import checked_files
from tfxml.data.text import plain_rows
from tfxml.evaluation import thresholds
from tfxml.models import forms, row_forms, stored_forms
from tfxml.run import (
    fitted_scores,
    manifest,
    paths,
    request_answers,
    set_choices,
    tensorflow_start,
)
from tfxml.training import bundle_files, checkpoint_folders

_FORMS = "serving.json"


class NumpyPredictor(request_answers.RequestAnswers):
    """Predicts label names with the forms of a model.

    Args:
        model: the forms, whose weights are arrays.
        choice: which labels an instance is answered with.
        num_labels: L.
        label_names: by id; None: ids are the names.
        normalizes_rows: whether rows of features get unit length.
        text_folder: of fitted text features; None: the model reads features.
        drops_own: whether no text is answered with the label that it is named
            after.
    """

    def __init__(
        self,
        model: forms.ServingModel,
        choice: set_choices.SetChoice,
        num_labels: int,
        label_names: list[str] | None,
        normalizes_rows: bool,
        text_folder: pathlib.Path | None,
        drops_own: bool = False,
    ):
        super().__init__(
            label_names,
            choice,
            num_labels,
            normalizes_rows,
            model.num_features,
            text_folder is not None,
            drops_own,
        )
        self._model = cpu_predictor.CpuPredictor(model)
        self._text_folder = text_folder
        self._texts: plain_rows.PlainRows | None = None
        if text_folder is not None:
            self._texts = plain_rows.PlainRows(text_folder)
        self._on_tensorflow: Any = None  # text features, once they are needed

    def _top_k(self, rows: row_forms.RaggedRows):
        return self._model.top_k(rows, self._num_found)

    def _predict_texts(self, texts: list[str]):
        if not texts:
            return (), [], None
        if self._texts is None or self._text_folder is None:
            raise ValueError("`texts` must not be given to a model of features")
        if self._texts.can_read(texts):
            return self._find_in(*self._texts.rows(texts))
        tensorflow_start.quietly()  # here: few texts need it
        import tensorflow as tf

        from tfxml.data.text import text_features

        if self._on_tensorflow is None:
            self._on_tensorflow = text_features.load(self._text_folder)
        ids, values = self._on_tensorflow(tf.constant(texts))
        return self._find_in(
            ids.flat_values.numpy(),
            values.flat_values.numpy(),
            ids.row_splits.numpy(),
        )


def open_run(
    workdir: str,
    which: str,
    choose: Callable[[thresholds.Thresholds | None], set_choices.SetChoice],
    is_cheapest: bool,
) -> NumpyPredictor | None:
    """Returns a predictor of a run, or None where TensorFlow has to do it.

    Args:
        workdir: the run directory.
        which: checkpoint: `best`, `latest`, or `auto`.
        choose: returns which labels an instance is answered with, from the
            thresholds of the run, if it has any.
        is_cheapest: whether to leave a model to TensorFlow that decodes by
            threshold, which scores few of very many labels.

    Raises:
        ValueError: if the folder holds no run, or a damaged one.
    """
    path = pathlib.Path(paths.local(workdir, "workdir"))
    kept = manifest.Manifest(path)
    step = checkpoint_folders.chosen_step(path / "checkpoints", which)
    if _FORMS not in kept or step is None:
        return None
    with checked_files.reading(path / _FORMS):
        serving = json.loads(kept.read(_FORMS))
        if is_cheapest and serving["head"].get("is_exhaustive") is False:
            return None
    with checked_files.reading(path):
        config = config_lib.Config.from_json(kept.read("config.json").decode())
        facts = json.loads(kept.read("run.json"))["facts"]
        num_labels, is_text = int(facts["num_labels"]), facts["is_text"]
        names = None
        if "label_names.jsonl" in kept:
            lines = kept.read("label_names.jsonl").decode().split("\n")
            names = [json.loads(line) for line in lines[:-1]]
    text_folder = None
    if is_text:
        kept.check("text_features/")
        text_folder = path / "text_features"
    fitted, stale = fitted_scores.of_step(path, step)
    choice = choose(fitted.thresholds if fitted else None)
    bundle = _weights(path / "checkpoints", step)
    with checked_files.reading(path / _FORMS):
        model = stored_forms.from_json(serving, bundle.read)
        if fitted is not None:
            model = dataclasses.replace(model, calibration=fitted.calibration)
        _check_same_labels(model, num_labels, names)
        predictor = NumpyPredictor(
            model,
            choice,
            num_labels,
            names,
            config.normalize_rows,
            text_folder,
            config.drop_own_labels,
        )
    predictor.stale, predictor.title_weight = stale, config.title_weight
    return predictor


def _check_same_labels(
    model: forms.ServingModel, num_labels: int, names: list[str] | None
) -> None:
    """Raises ValueError unless forms, facts and names speak of as many."""
    counts = {num_labels, model.head.num_labels}
    if names is not None:
        counts.add(len(names))
    if len(counts) > 1:
        raise ValueError(
            "`num_labels` must be the same in forms, facts and names. "
            f"Received: {sorted(counts)}"
        )


def _weights(checkpoints: pathlib.Path, step: int) -> bundle_files.Bundle:
    """Returns the weights of a step, their files compared with checksums."""
    folder = checkpoint_folders.path(checkpoints, step)
    meta = checkpoint_folders.read_meta(checkpoints, step)
    for name, expected in meta["files"].items():
        checked_files.check(folder / name, expected)
    with checked_files.reading(folder):
        return bundle_files.Bundle(folder / "model")
