"""Which features speak for a label, and how strongly.

# E features of an instance, K labels

A feature's contribution to a label is its value times the slope of the label's
logit along it (gradient x input; Ancona et al., ICLR 2018). Where a model is
linear in its features, as the re-ranker and linear models are, contributions
and a constant add up to the logit; elsewhere they are its first-order share.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.models import calibration
from tfxml.run import restore, text_inputs


class Instance(NamedTuple):
    """What a model reads of one instance."""

    feature_ids: np.ndarray  # [E] int32, distinct
    feature_values: np.ndarray  # [E] float32, as the model takes them


class Explainer:
    """Finds the features that speak for labels, or against them.

    Args:
        run: what `restore.restore` returns.

    Raises:
        ValueError: if the model reads words in their order, which are no
            features with a value.
    """

    def __init__(self, run: restore.TrainedRun):
        if run.facts.is_text and text_inputs.max_tokens(run.config) is not None:
            raise ValueError(
                "`explain` must be 0 for a model that reads words in their "
                f"order. Received: a run with encoder={run.config.encoder}"
            )
        self._model = run.model
        self._is_ragged = run.model.form == "ragged"
        features = run.text_features
        self._terms = None if features is None else features.terms
        self._contributions_of = tf.function(
            self._contributions,
            input_signature=[
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
        )

    def contributions(
        self, instance: Instance, label_ids: np.ndarray
    ) -> np.ndarray:
        """Returns each feature's share of the labels' logits, [K, E].

        Args:
            instance: with at least one feature.
            label_ids: [K], distinct.
        """
        order = np.argsort(label_ids)
        found = np.empty((len(order), len(instance.feature_ids)), np.float32)
        found[order] = self._contributions_of(
            *instance, np.asarray(label_ids, np.int32)[order]
        )
        return found

    def explain(
        self, instance: Instance, label_ids: np.ndarray, number: int
    ) -> list[dict]:
        """Returns, for each label, its `features` and their `contributions`.

        Args:
            instance: of which labels were found.
            label_ids: [K], distinct.
            number: how many features a label, the strongest first.
        """
        if not len(instance.feature_ids):
            return [{"features": [], "contributions": []} for _ in label_ids]
        explanations = []
        for row in self.contributions(instance, label_ids):
            best = np.argsort(-np.abs(row), kind="stable")[:number]
            best = best[row[best] != 0]
            explanations.append(
                {
                    "features": [
                        self._name(instance.feature_ids[i]) for i in best
                    ],
                    "contributions": [round(float(row[i]), 6) for i in best],
                }
            )
        return explanations

    def _name(self, feature_id: int) -> str | int:
        """Returns the term of a feature; its id where there are no terms."""
        if self._terms is None:
            return int(feature_id)
        return str(self._terms[feature_id])

    def _contributions(self, ids, values, label_ids) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(values)
            logits = self._logits(ids, values, label_ids)[0]
        # One label after the other: not every operation can be vectorized.
        slopes = tape.jacobian(logits, values, experimental_use_pfor=False)
        return slopes * values

    def _logits(self, ids, values, label_ids) -> tf.Tensor:
        """Returns the logits of labels [K] for the one instance, [1, K]."""
        if self._is_ragged:
            splits = tf.stack([0, tf.size(ids)])
            rows = tf.RaggedTensor.from_row_splits(ids, splits)
            named = inputs.features(rows, rows.with_flat_values(values))
        else:
            # Padded rows, as sparse products have no gradient of values.
            named = inputs.features(ids[None], values[None])
        estimates = self._model.label_estimates(named, label_ids)
        if self._model.link == calibration.SIGMOID:
            return estimates  # not clipped, which has no slope
        return calibration.logits(estimates, self._model.link)
