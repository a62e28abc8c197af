"""The scikit-learn estimator: `XMLClassifier().fit(X, Y).predict(X)`.

# N instances, L labels, K top labels
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import sklearn.base
import sklearn.exceptions
import tensorflow as tf
from sklearn.utils import validation

from tfxml import calibrate as calibrate_lib
from tfxml import config as config_lib
from tfxml.data import array_features, array_labels, arrays, batched_arrays
from tfxml.evaluation import label_sets
from tfxml.recipe import chooser, recipe_request
from tfxml.run import (
    console,
    estimator_config,
    fitted_run,
    quiet,
    set_choices,
    train_and_evaluate,
)

_FEWEST_ROWS = 3  # of which propensities can be estimated


class XMLClassifier(sklearn.base.ClassifierMixin, sklearn.base.BaseEstimator):
    """Trains and predicts with data in memory, or a folder, or a file.

    Args:
        head: a name of `heads.HEADS`, or `auto`: all options of model and
            training are chosen by the data, as `python -m tfxml.train` does.
            With another of them given, in `options` too, that is the sigmoid
            head; from 300,000 labels on it is MACH.
        hidden_units: widths of the hidden layers; (): a linear model.
        num_epochs: passes over the data.
        batch_size: instances a step.
        learning_rate: the peak.
        dropout: share of hidden units dropped in training.
        reranker_passes: passes of the re-ranker's solver; 0: no re-ranker.
        k: how many labels `predict` returns where it is not told.
        options: any other fields of `tfxml.Config`, by name.
        workdir: the run directory, which the commands read and write too. A
            fit resumes the run that it holds. None: a temporary one, removed
            with the estimator.
        random_state: the seed; None: 0.
        verbose: 0: silent; 1: progress as the commands show it; auto: 1 in a
            terminal and in a notebook, else 0.

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
        verbose: int | str = "auto",
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

    def fit(
        self, X: Any, y: Any = None, sample_weight: npt.ArrayLike | None = None
    ) -> XMLClassifier:
        """Trains on X and y; returns itself.

        Args:
            X: a sparse matrix of any layout, an array [N, D], N texts, a
                pandas column of texts or a frame of texts or of numbers. Or,
                alone, a `tf.data.Dataset` of batches (inputs, labels) or
                (inputs, labels, weights), which is read into memory, or the
                path of a data set.
            y: N sets of names or of ids, an indicator [N, L], sparse or dense,
                or N single labels.
            sample_weight: [N], or None.

        Raises:
            ValueError: if X or y is none of these, or they do not fit.
        """
        if isinstance(X, (str, pathlib.Path, tf.data.Dataset)):
            if y is not None or sample_weight is not None:
                raise ValueError(
                    "`y` and `sample_weight` must be None for a path or a "
                    "data set, which hold them. Received: "
                    f"X={X if isinstance(X, str) else type(X).__name__}"
                )
            if not isinstance(X, tf.data.Dataset):
                return self._fit(str(X))
            X, y, sample_weight = batched_arrays.of(X)
        if y is None:
            raise ValueError(
                "`y` must be given: this estimator requires y to be passed, "
                "but the target y is None"
            )
        data = arrays.of(
            self._validated(X, reset=True), y, weights=sample_weight
        )
        number = data.train.num_instances
        if number < _FEWEST_ROWS:
            raise ValueError(
                f"`X` must hold at least {_FEWEST_ROWS} rows. "
                f"Received: {number} sample{'s' * (number != 1)}"
            )
        return self._fit(data)

    def predict(self, X: Any, k: int | None = None) -> np.ndarray:
        """Returns the best labels, [N, k], best first; [N] of single labels.

        Args:
            X: as in `fit`, but for a path.
            k: how many; None: the estimator's, or 1 where it was trained on
                one label a row.
        """
        is_single = k is None and self._fitted().is_single
        _, label_ids = self._top_k(X, 1 if is_single else k or self.k)
        names = self.classes_[label_ids]
        return names[:, 0] if is_single else names

    def predict_proba(
        self, X: Any, k: int | None = None
    ) -> scipy.sparse.csr_matrix | np.ndarray:
        """Returns the scores of the best labels, [N, L].

        Trained on sets of labels: a sparse matrix of the best `k` (100). Each
        label's score is its own, so a row does not add up to 1. Trained on
        single labels, and `k` is not given: an array whose rows do.
        """
        is_single = k is None and self._fitted().is_single
        num_labels = len(self._fitted().classes)
        scores, label_ids = self._top_k(
            X, num_labels if is_single else k or 100
        )
        if is_single:
            probabilities = np.zeros((len(scores), num_labels))
            np.put_along_axis(probabilities, label_ids, scores, axis=1)
            return probabilities / probabilities.sum(axis=1, keepdims=True)
        splits = np.arange(len(scores) + 1) * scores.shape[1]
        matrix = scipy.sparse.csr_matrix(
            (scores.ravel(), label_ids.ravel(), splits),
            shape=(len(scores), num_labels),
        )
        matrix.sort_indices()
        return matrix

    def calibrate(
        self,
        X: Any,
        y: Any,
        method: str = "platt",
        objective: str = "micro_f1",
        floor: float = 0.9,
        is_per_label: bool = False,
    ) -> XMLClassifier:
        """Makes scores probabilities, by rows not fitted on; returns itself.

        Args:
            X: as of `predict`.
            y: as of `fit`; labels that were not fitted are left out.
            method: `temperature`, `platt`, `isotonic` or `none`.
            objective: of the thresholds of `predict_sets`: `micro_f1`,
                `macro_f1` or `precision`.
            floor: the least precision, of `precision`.
            is_per_label: whether labels have thresholds of their own.

        Raises:
            ValueError: if the rows are too few.
        """
        fitted = self._fitted()
        truth = array_labels.labels_of(
            y, self.classes_.tolist(), skips_unknown=True
        )
        fitted.set_scores(None)
        scores, label_ids = self._top_k(X, set_choices.NUM_CANDIDATES)
        fitted.set_scores(
            calibrate_lib.fit(
                label_sets.Candidates(scores, label_ids),
                label_sets.LabelSets(truth.splits, truth.ids),
                fitted.run.label_counts,
                fitted.run.step,
                method,
                objective,
                floor,
                is_per_label,
            )
        )
        return self

    def predict_sets(
        self,
        X: Any,
        way: str = "set",
        aim: str = "f1",
        abstain_below: float = 0.0,
    ) -> list[np.ndarray]:
        """Returns a set of labels for each row, best first, some empty.

        Args:
            X: as of `predict`.
            way: `set`: what is best in expectation; `threshold`: the labels
                whose scores reach the threshold that `calibrate` found, else
                0.5.
            aim: of `set`: `f1`, that of a row, or `subset`, the whole set
                right.
            abstain_below: a row whose best score is below it has none of the
                labels.
        """
        fitted = self._fitted()
        choice = set_choices.SetChoice(
            way, aim=aim, abstain_below=abstain_below
        )
        if fitted.run.fitted is not None:
            choice = dataclasses.replace(
                choice, limits=fitted.run.fitted.thresholds
            )
        label_ids, is_chosen = fitted.predictor.chosen(
            self._features(X), choice
        )
        return [
            self.classes_[row[is_here]]
            for row, is_here in zip(label_ids, is_chosen, strict=True)
        ]

    def score(
        self, X: Any, y: Any, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Returns P@1, the share of rows whose best label is right.

        Labels that training has not seen are no row's best.
        """
        self._fitted()
        labels = array_labels.labels_of(
            y, self.classes_.tolist(), skips_unknown=True
        )
        best = self._top_k(X, 1)[1][:, 0]
        rows = np.repeat(np.arange(len(best)), np.diff(labels.splits))
        is_hit = np.zeros(len(best), bool)
        is_hit[rows[labels.ids == best[rows]]] = True
        if sample_weight is None:
            return float(is_hit.mean())
        return float(np.average(is_hit, weights=np.asarray(sample_weight)))

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
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        tags.classifier_tags.multi_label = True
        tags.non_deterministic = False
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_fit_run")

    def __getstate__(self) -> dict:
        """Returns the parameters, and the run directory as one archive."""
        state = {**super().__getstate__()}
        fitted = state.pop("_fit_run", None)
        if fitted is not None:
            state["_archive"] = fitted_run.archived(fitted.path)
        return state

    def __setstate__(self, state: dict) -> None:
        archive = state.pop("_archive", None)
        super().__setstate__(state)
        if archive is not None:
            self._fit_run = fitted_run.from_archive(archive)

    # --- inside -------------------------------------------------------------

    def _validated(self, X, reset: bool):
        """Returns X as scikit-learn checks it; texts as they are."""
        if array_features.is_text(X):
            for name in ("n_features_in_", "feature_names_in_"):
                if reset and hasattr(self, name):
                    delattr(self, name)
            return X
        return validation.validate_data(
            self, X, reset=reset, accept_sparse=True, dtype="numeric"
        )

    def _request(
        self, config: config_lib.Config
    ) -> recipe_request.Request | None:
        """Asks for a recipe, unless an option of it is given."""
        usual = type(self)().get_params()
        given = set(self.options or ()) | {
            name
            for name, value in self.get_params().items()
            if value != usual[name] and name != "head"
        }
        usual_head = config_lib.Config().head
        is_open = self.head == "auto" and config.head == usual_head
        if not is_open or given & recipe_request.CHOSEN:
            return None
        return recipe_request.Request(frozenset(self.options or ()) | {"seed"})

    def _fit(self, data: str | arrays.ArrayData) -> XMLClassifier:
        config = estimator_config.config_of(
            self.get_params(deep=False),
            None if isinstance(data, str) else data.num_labels,
        )
        request = self._request(config)
        recipe = None if request is None else chooser.Chooser(request)
        path = self.workdir or tempfile.mkdtemp(prefix="tfxml-")
        try:
            is_shown = console.is_shown(self.verbose)
            with quiet.unless(is_shown), quiet.as_in_notebooks():
                self.metrics_ = train_and_evaluate.train(
                    config,
                    path,
                    data,
                    recipe=recipe,
                    is_temporary=not self.workdir,
                )
            if not isinstance(data, str):
                fitted_run.write_labels(path, data)
            fitted = fitted_run.FittedRun(path)
        except BaseException:
            if not self.workdir:
                shutil.rmtree(path, ignore_errors=True)
            raise
        if not self.workdir:
            fitted.remove_with()
        self._take(fitted)
        return self

    def _take(self, fitted: fitted_run.FittedRun) -> None:
        self._fit_run = fitted
        self.classes_ = fitted.classes
        if not fitted.run.facts.is_text:
            self.n_features_in_ = fitted.run.facts.num_features

    def _fitted(self) -> fitted_run.FittedRun:
        if not hasattr(self, "_fit_run"):
            raise sklearn.exceptions.NotFittedError(
                "this XMLClassifier is not fitted yet: call `fit` first"
            )
        return self._fit_run

    def _top_k(self, X, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scores and ids of the best labels, [N, K]."""
        return self._fitted().predictor.top_k(self._features(X), k)

    def _features(self, X) -> array_features.Features:
        """Returns X as the predictor takes it."""
        fitted = self._fitted()
        if isinstance(X, tf.data.Dataset):
            X = batched_arrays.of(X, fitted.run.facts.num_features).X
        is_text = fitted.run.facts.is_text
        if not is_text and not array_features.is_text(X):
            X = self._validated(X, reset=False)
        return array_features.features_of(X)


def load(folder: str) -> XMLClassifier:
    """Returns the estimator of a run directory, whoever trained it.

    Args:
        folder: what `XMLClassifier.save` or `python -m tfxml.train` wrote.

    Raises:
        ValueError: if it holds no complete run.
    """
    fitted = fitted_run.FittedRun(str(folder))
    estimator = XMLClassifier()
    estimator.set_params(
        **estimator_config.params_of(
            estimator.get_params(deep=False), fitted.run.config
        )
    )
    estimator._take(fitted)
    return estimator
