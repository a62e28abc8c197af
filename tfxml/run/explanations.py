"""Which features speak for a label, and how strongly.

# E features of an instance, K labels

A feature's contribution to a label is its value times the slope along it of
what the label is ranked by (gradient x input; Ancona et al., ICLR 2018): the
label's logit, or with MACH's mean, min and median its estimated probability.
Where a model is linear in its features, as linear models and re-rankers are,
contributions and a constant add up to it. Elsewhere they are of first order.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfxml.data import inputs
from tfxml.run import restore, text_inputs


def can_explain(run: restore.TrainedRun) -> bool:
    """Tells whether a model's labels can be explained.

    Words that are read in their order are no features with a value.
    """
    return not run.facts.is_text or text_inputs.max_tokens(run.config) is None


class FeatureNames:
    """What features are called: their terms, or their ids without terms.

    Args:
        run: what `restore.restore` returns.
    """

    def __init__(self, run: restore.TrainedRun):
        features = run.text_features
        self._terms = None if features is None else features.terms

    def of(self, feature_id: int) -> str | int:
        """Returns the name of a feature."""
        if self._terms is None:
            return int(feature_id)
        return str(self._terms[feature_id])


class Explainer:
    """Finds the features that speak for labels, or against them.

    Args:
        run: what `restore.restore` returns.

    Raises:
        ValueError: if the model's labels cannot be explained.
    """

    def __init__(self, run: restore.TrainedRun):
        if not can_explain(run):
            raise ValueError(
                "`explain` must be 0 for a model that reads words in their "
                f"order. Received: a run with encoder={run.config.encoder}"
            )
        self._model = run.model
        self._names = FeatureNames(run)
        # Such heads are linear, and their operations have no gradients.
        is_linear = run.model.form == "ragged"
        self._contributions_of = tf.function(
            self._differences if is_linear else self._slopes,
            input_signature=[
                tf.TensorSpec([None], tf.int32),
                tf.TensorSpec([None], tf.float32),
                tf.TensorSpec([None], tf.int32),
            ],
            autograph=False,
        )

    def contributions(
        self,
        feature_ids: np.ndarray,
        feature_values: np.ndarray,
        label_ids: np.ndarray,
    ) -> np.ndarray:
        """Returns each feature's share of what ranks the labels, [K, E].

        Args:
            feature_ids: [E], of one instance, distinct; at least one.
            feature_values: [E], as the model takes them.
            label_ids: [K], distinct.
        """
        order = np.argsort(label_ids)
        found = np.empty((len(label_ids), len(feature_ids)), np.float32)
        found[order] = self._contributions_of(
            feature_ids,
            feature_values,
            np.asarray(label_ids, np.int32)[order],
        )
        return found

    def explain(
        self,
        feature_ids: np.ndarray,
        feature_values: np.ndarray,
        label_ids: np.ndarray,
        number: int,
    ) -> list[dict]:
        """Returns, for each label, its `features` and their `contributions`.

        Args:
            feature_ids, feature_values: [E], of one instance.
            label_ids: [K], distinct.
            number: how many features a label, the strongest first.
        """
        if not len(feature_ids):
            return [{"features": [], "contributions": []} for _ in label_ids]
        rows = self.contributions(feature_ids, feature_values, label_ids)
        explanations = []
        for row in rows:
            best = np.argsort(-np.abs(row), kind="stable")[:number]
            best = best[row[best] != 0]
            explanations.append(
                {
                    "features": [self._names.of(feature_ids[i]) for i in best],
                    "contributions": [round(float(row[i]), 6) for i in best],
                }
            )
        return explanations

    def _slopes(self, ids, values, label_ids) -> tf.Tensor:
        """Returns contributions [K, E] by gradients."""
        with tf.GradientTape() as tape:
            tape.watch(values)
            # Padded rows, as sparse products have no gradient of values.
            named = inputs.features(ids[None], values[None])
            estimates = self._model.label_estimates(named, label_ids)[0]
        # One label after the other: not every operation can be vectorized.
        slopes = tape.jacobian(estimates, values, experimental_use_pfor=False)
        return slopes * values

    def _differences(self, ids, values, label_ids) -> tf.Tensor:
        """Returns contributions [K, E]: of each feature against none."""

        def estimates(ids, values):
            rows = tf.RaggedTensor.from_row_splits(ids, [0, tf.size(ids)])
            named = inputs.features(rows, rows.with_flat_values(values))
            return self._model.label_estimates(named, label_ids)[0]

        of_nothing = estimates(ids[:0], values[:0])
        of_each = tf.map_fn(
            lambda i: estimates(ids[i : i + 1], values[i : i + 1]),
            tf.range(tf.size(ids)),
            fn_output_signature=tf.float32,
        )
        return tf.transpose(of_each - of_nothing)
