"""The scikit-learn estimator: `XMLClassifier().fit(X, Y).predict(X)`.

# N instances, L labels, K top labels
"""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import shutil
import tempfile
import zipfile
from collections.abc import Sequence

import numpy as np
import scipy.sparse
import sklearn.base
import sklearn.exceptions
import sklearn.utils
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import train as train_lib
from tfxml.cpu import predictor
from tfxml.data import (
    array_features,
    array_labels,
    arrays,
    inputs,
    instances,
)
from tfxml.data.text import text_rows
from tfxml.models import sparse_rows
from tfxml.run import quiet, restore, text_inputs

_FILE = "estimator.json"
# From here on a sigmoid a label costs more memory than most machines have.
_MANY_LABELS = 300_000


class XMLClassifier(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    """Trains and predicts with data in memory, or a folder, or a file.

    Args:
        head: `sigmoid`, `mach`, `centroid`, or `auto`: sigmoid, and MACH from
            300,000 labels on.
        hidden_units: widths of the hidden layers; (): a linear model.
        num_epochs: passes over the data.
        batch_size: instances a step.
        learning_rate: the peak.
        dropout: share of hidden units dropped in training.
        reranker_passes: passes of the re-ranker's solver; 0: no re-ranker.
        k: how many labels `predict` returns where it is not told.
        options: any other fields of `tfxml.Config`, by name.
        workdir: the run directory; None: a temporary one. The commands read
            and write the same.
        random_state: the seed; None: 0.
        verbose: 0: silent; 1: progress as the commands show it.

    Attributes:
        classes_: the labels, in the order of their ids.
        n_features_in_: D; only for X of numbers.
        metrics_: what training evaluated, in percent.
    """

    def __init__(
        self,
        head: str = "auto",
        hidden_units: Sequence[int] = (256,),
        num_epochs: int = 10,
        batch_size: int = 128,
        learning_rate: float = 0.003,
        dropout: float = 0.5,
        reranker_passes: int = 0,
        k: int = 5,
        options: dict | None = None,
        workdir: str | None = None,
        random_state: int | None = None,
        verbose: int = 0,
    ):
        self.head = head
        self.hidden_units = hidden_units
        self.num_epochs = num_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.reranker_passes = reranker_passes
        self.k = k
        self.options = options
        self.workdir = workdir
        self.random_state = random_state
        self.verbose = verbose

    # --- scikit-learn ---------------------------------------------------------

    def fit(self, X, Y=None, sample_weight=None) -> XMLClassifier:
        """Trains on X and Y; returns itself.

        Args:
            X: a sparse matrix, an array, texts, a table; see `data.arrays.of`.
                Or the path of a data set, alone.
            Y: label sets, an indicator, or single labels.
            sample_weight: [N], or None.
        """
        if isinstance(X, (str, pathlib.Path)) and Y is None:
            data, labels = str(X), None
        else:
            data = self._checked(X, Y, sample_weight)
            labels = data.labels
        self._fit(data, labels)
        return self

    def predict(self, X, k: int | None = None) -> np.ndarray:
        """Returns the best labels, [N, k], best first; [N] of single labels.

        Args:
            X: as in `fit`.
            k: how many; None: the estimator's, or 1 where it was trained on
                one label a row.
        """
        is_single = k is None and self._fitted().is_single
        _, label_ids = self._top_k(X, 1 if is_single else k or self.k)
        names = self.classes_[label_ids]
        return names[:, 0] if is_single else names

    def predict_proba(self, X, k: int = 100) -> scipy.sparse.csr_matrix:
        """Returns the scores of the best `k` labels, a sparse matrix [N, L].

        The score of a label is its own, so a row does not add up to 1.
        """
        scores, label_ids = self._top_k(X, k)
        splits = np.arange(len(scores) + 1) * scores.shape[1]
        matrix = scipy.sparse.csr_matrix(
            (scores.ravel(), label_ids.ravel(), splits),
            shape=(len(scores), len(self.classes_)),
        )
        matrix.sort_indices()
        return matrix

    def score(self, X, Y, sample_weight=None) -> float:
        """Returns P@1, the share of rows whose best label is right."""
        self._fitted()
        splits, ids, *_ = array_labels.labels_of(Y, self._label_names())
        top = self._top_k(X, 1)[1][:, 0]
        hits = np.array(
            [
                label in ids[start:end]
                for label, start, end in zip(
                    top, splits[:-1], splits[1:], strict=True
                )
            ]
        )
        return float(np.average(hits, weights=sample_weight))

    def save(self, folder: str) -> None:
        """Writes the run directory to a new folder; `tfxml.load` reads it."""
        target = pathlib.Path(folder)
        if target.exists():
            raise ValueError(
                f"`folder` must not be there yet. Received: folder={folder}"
            )
        shutil.copytree(self._fitted().path, target)

    def __sklearn_tags__(self):
        """Tells scikit-learn what X and Y may be."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.string = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        tags.classifier_tags.multi_label = True
        tags.non_deterministic = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_state")

    def __getstate__(self) -> dict:
        """Returns the parameters, and the run directory as one archive."""
        state = {**super().__getstate__()}
        fitted = state.pop("_state", None)
        if fitted is not None:
            state["_archive"] = _archived(fitted.path)
        return state

    def __setstate__(self, state: dict) -> None:
        archive = state.pop("_archive", None)
        super().__setstate__(state)
        if archive is not None:
            folder = tempfile.TemporaryDirectory(prefix="tfxml-")
            with zipfile.ZipFile(io.BytesIO(archive)) as content:
                content.extractall(folder.name)
            self._state = _restored(folder.name, folder)

    # --- inside ---------------------------------------------------------

    def _checked(self, X, Y, sample_weight) -> arrays.ArrayData:
        if Y is None:
            raise ValueError(
                "`Y` must be given: this estimator requires y to be passed, "
                "but the target y is None"
            )
        data = arrays.of(X, Y, weights=sample_weight)
        if not data.train.num_instances or data.num_features == 0:
            raise ValueError(
                "`X` must hold a row and a feature. Received: "
                f"{data.train.num_instances} sample(s) and "
                f"{data.num_features} feature(s) while a minimum of 1 is "
                "required."
            )
        return data

    def _config(self, num_labels: int | None) -> config_lib.Config:
        head = self.head
        if head == "auto":
            is_many = num_labels is not None and num_labels >= _MANY_LABELS
            head = "mach" if is_many else "sigmoid"
        seed = self.random_state
        if seed is not None and not isinstance(seed, (int, np.integer)):
            seed = sklearn.utils.check_random_state(seed).randint(2**31)
        fields = {
            "head": head,
            "hidden_units": tuple(self.hidden_units),
            "num_epochs": self.num_epochs,
            "eval_epochs": self.num_epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "dropout": self.dropout,
            "reranker_passes": self.reranker_passes,
            "seed": int(seed or 0),
            "min_df": 1,
            **(self.options or {}),
        }
        return config_lib.Config(**fields)

    def _fit(self, data, labels: list | None) -> None:
        num_labels = None if isinstance(data, str) else data.num_labels
        config = self._config(num_labels)
        folder = None
        path = self.workdir
        if path is None:
            folder = tempfile.TemporaryDirectory(prefix="tfxml-")
            path = str(pathlib.Path(folder.name) / "run")
        with quiet.unless(self.verbose):
            self.metrics_ = train_lib.train(config, path, data)
        note = {"labels": None, "is_single": False}
        if labels is not None:
            note = {
                "labels": [_plain(label) for label in labels],
                "is_single": data.is_single,
            }
        (pathlib.Path(path) / _FILE).write_text(json.dumps(note))
        self._take(_restored(path, folder))

    def _take(self, state: _State) -> None:
        self._state = state
        self.classes_ = state.classes
        if not state.run.facts.is_text:
            self.n_features_in_ = state.run.facts.num_features

    def _fitted(self) -> _State:
        if not hasattr(self, "_state"):
            raise sklearn.exceptions.NotFittedError(
                "this XMLClassifier is not fitted yet: call `fit` first"
            )
        return self._state

    def _label_names(self) -> list:
        return self.classes_.tolist()

    def _top_k(self, X, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scores and ids of the best labels, [N, K]."""
        state = self._fitted()
        return state.top_k(
            array_features.features_of(X), min(k, len(self.classes_))
        )


@dataclasses.dataclass
class _State:
    """A trained run and what predicts with it."""

    run: restore.TrainedRun
    path: str
    classes: np.ndarray
    is_single: bool
    folder: tempfile.TemporaryDirectory | None  # kept as long as the run is
    cpu: predictor.CpuPredictor | None = None  # made when first asked

    def top_k(self, features: array_features.Features, k: int):
        """Returns the scores and ids of the best labels of rows or texts."""
        if k < 1:
            raise ValueError(f"`k` must be at least 1. Received: {k=}")
        rows = self._rows(features)
        if text_inputs.max_tokens(self.run.config) is not None:
            return self._top_k_of_texts(features.texts, k)
        if self.cpu is None and predictor.suits(
            self.run.model, tf.distribute.get_strategy()
        ):
            self.cpu = predictor.CpuPredictor(self.run.model)
        if self.cpu is not None:
            return self.cpu.top_k(rows, k)
        ids = tf.RaggedTensor.from_row_splits(rows.feature_ids, rows.splits)
        named = inputs.features(ids, ids.with_values(rows.values))
        if self.run.facts.form == "padded":
            named = inputs.padded(named)
        scores, label_ids = self.run.model.top_k(named, k)
        return scores.numpy(), label_ids.numpy()

    def _top_k_of_texts(self, texts: list[str], k: int):
        """Returns what `top_k` does, of a model that reads words in order."""
        reader = text_inputs.TextInputs(self.run.config, self.run.text_features)
        named = reader(tf.constant(texts))
        if self.run.facts.form == "padded":
            named = inputs.padded(named)
        scores, label_ids = self.run.model.top_k(named, k)
        return scores.numpy(), label_ids.numpy()

    def _rows(
        self, features: array_features.Features
    ) -> sparse_rows.RaggedRows:
        facts = self.run.facts
        if facts.is_text != (features.texts is not None):
            wanted = "texts" if facts.is_text else "numbers"
            raise ValueError(
                f"`X` must hold {wanted}, as in training. Received: the other"
            )
        if facts.is_text:
            parts = text_rows.stream(
                self.run.text_features, [features.texts], False, None
            )
            splits, ids, values = next(iter(parts))[:3]
            return sparse_rows.RaggedRows(ids, values, splits)
        if features.num_features != facts.num_features:
            raise ValueError(
                f"X has {features.num_features} features, but XMLClassifier is "
                f"expecting {facts.num_features} features as input"
            )
        values = features.values
        if self.run.config.normalize_rows:
            values = instances.normalized(values, features.splits)
        return sparse_rows.RaggedRows(features.ids, values, features.splits)


def load(folder: str) -> XMLClassifier:
    """Returns the estimator of a run directory, whoever trained it.

    Args:
        folder: what `XMLClassifier.save` or `python -m tfxml.train` wrote.

    Raises:
        ValueError: if it holds no complete run.
    """
    state = _restored(str(folder), None)
    config = state.run.config
    estimator = XMLClassifier(
        head=config.head,
        hidden_units=config.hidden_units,
        num_epochs=config.num_epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        dropout=config.dropout,
        reranker_passes=config.reranker_passes,
        random_state=config.seed,
    )
    estimator._take(state)
    return estimator


def _restored(path: str, folder) -> _State:
    run = restore.restore(path, tf.distribute.get_strategy())
    note = {"labels": None, "is_single": False}
    file = pathlib.Path(path) / _FILE
    if file.is_file():
        note = json.loads(file.read_text())
    labels = note["labels"] or run.label_names
    if labels is None:
        labels = list(range(run.facts.num_labels))
    return _State(run, path, np.array(labels), note["is_single"], folder)


def _archived(path: str) -> bytes:
    """Returns the files of a run directory as one zip archive."""
    content = io.BytesIO()
    root = pathlib.Path(path)
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(root))
    return content.getvalue()


def _plain(label):
    return label.item() if hasattr(label, "item") else label
