"""Metrics of whole label sets: subset accuracy, F1 and Hamming loss.

# N instances, L labels, M labels stored, B bootstrap resamples

Predictions and labels are sparse: nothing here is [N, L].
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np

from tfxml.evaluation import label_sets, ranked_lists

KEYS = ("SubsetAccuracy", "InstanceF1", "MicroF1", "MacroF1", "HammingLoss")
_COLUMNS = (
    *("label_id", "label_name", "support", "predicted"),
    *("precision", "recall", "f1"),
)


class SetMetrics:
    """Figures of predicted label sets against the true ones, in percent.

    - SubsetAccuracy: the share of instances whose set is right as a whole.
    - InstanceF1: 2 |y and z| / (|y| + |z|) of an instance, 1 if both sets are
      empty; a mean over instances.
    - MicroF1: the same of all instances' labels taken together; 0 / 0 is 0.
    - MacroF1: F1 of each label over the instances; a mean over the labels that
      occur among the true or the predicted ones.
    - HammingLoss: wrong decisions over N x L.

    Args:
        predicted: sets of N instances, at least one.
        truth: their true sets.
        num_labels: L.
    """

    def __init__(
        self,
        predicted: label_sets.LabelSets,
        truth: label_sets.LabelSets,
        num_labels: int,
    ):
        if len(predicted) != len(truth) or not len(truth):
            raise ranked_lists.argument_error(
                "predicted",
                f"have a set for each of at least 1 instance ({len(truth)})",
                len(predicted),
            )
        for name, ids in (("predicted", predicted.ids), ("truth", truth.ids)):
            ranked_lists.check_range(name, np.asarray(ids), 0, num_labels)
        self.num_labels = num_labels
        is_hit = np.isin(predicted.keys(), truth.keys())
        rows = predicted.rows()
        # Of each (instance, label) of either side what bootstrapping needs.
        self._hits = rows[is_hit], np.asarray(predicted.ids)[is_hit]
        self._predicted = rows, np.asarray(predicted.ids)
        self._true = truth.rows(), np.asarray(truth.ids)
        number = len(truth)
        hits = np.bincount(self._hits[0], minlength=number)
        sizes = predicted.lengths() + truth.lengths()
        f1 = np.where(sizes == 0, 1, 2 * hits / np.maximum(sizes, 1))
        self._by_instance = np.stack(
            [2 * hits == sizes, f1, hits, sizes], axis=1
        ).astype(np.float64)  # [N, 4]

    @property
    def num_instances(self) -> int:
        """How many instances were compared, N."""
        return len(self._by_instance)

    def result(self) -> dict[str, float]:
        """Returns the figures under `KEYS`, in percent."""
        return self._figures(np.ones(self.num_instances))

    def intervals(
        self, num_resamples: int = 200, level: float = 0.95, seed: int = 0
    ) -> dict[str, tuple[float, float]]:
        """Returns a percentile bootstrap interval for each figure.

        Instances are drawn with replacement, as many as there are. Resamples
        lack some rare labels, which are mostly missed, so MacroF1 is higher
        there: the interval is shifted by how much it is on average.

        Args:
            num_resamples: B.
            level: the share of resamples inside.
            seed: of the draws.
        """
        rng, number = np.random.default_rng(seed), self.num_instances
        even = np.full(number, 1 / number)
        drawn = [
            self._figures(rng.multinomial(number, even).astype(np.float64))
            for _ in range(num_resamples)
        ]
        tails = (1 - level) / 2
        found = {}
        for key, value in self.result().items():
            values = np.array([one[key] for one in drawn])
            values -= values.mean() - value
            low, high = np.quantile(values, [tails, 1 - tails])
            found[key] = float(low), float(high)
        return found

    def by_label(self) -> dict[str, np.ndarray]:
        """Returns hits, predicted and support of every label, [L] int64 each.

        And precision, recall and f1, [L] in percent; 0 / 0 is 0.
        """
        hits, predicted, support = (
            np.bincount(ids, minlength=self.num_labels)
            for _, ids in (self._hits, self._predicted, self._true)
        )
        return {
            "hits": hits,
            "predicted": predicted,
            "support": support,
            "precision": 100 * _ratio(hits, predicted),
            "recall": 100 * _ratio(hits, support),
            "f1": 100 * _ratio(2 * hits, predicted + support),
        }

    def _figures(self, counts: np.ndarray) -> dict[str, float]:
        """Returns the figures of instances that count so often, [N]."""
        total = counts.sum()
        exact, f1, hits, sizes = counts @ self._by_instance
        of_labels = [
            np.bincount(ids, counts[rows], self.num_labels)
            for rows, ids in (self._hits, self._predicted, self._true)
        ]
        label_sizes = of_labels[1] + of_labels[2]
        of_label = _ratio(2 * of_labels[0], label_sizes)[label_sizes > 0]
        values = (
            exact / total,
            f1 / total,
            2 * hits / max(sizes, 1),
            of_label.mean() if len(of_label) else 0.0,
            (sizes - 2 * hits) / (total * self.num_labels),
        )
        return {
            key: float(100 * value)
            for key, value in zip(KEYS, values, strict=True)
        }


def write_label_figures(
    metrics: SetMetrics,
    file: TextIO,
    label_name: Callable[[int], str] = str,
    label_ids: Sequence[int] | None = None,
) -> None:
    """Writes a CSV row of precision, recall, F1 and support for each label.

    Args:
        metrics: what is written of.
        file: opened with newline="".
        label_name: from an id to a name.
        label_ids: which labels; None: all.
    """
    figures = metrics.by_label()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for label_id in (
        range(metrics.num_labels) if label_ids is None else label_ids
    ):
        writer.writerow(
            [
                label_id,
                label_name(label_id),
                figures["support"][label_id],
                figures["predicted"][label_id],
                *(
                    f"{figures[name][label_id]:.2f}"
                    for name in ("precision", "recall", "f1")
                ),
            ]
        )


def _ratio(dividend: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """Divides, with 0 / 0 = 0."""
    return dividend / np.where(divisor == 0, 1, divisor)
