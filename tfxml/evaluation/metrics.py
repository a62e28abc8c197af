"""Ranking metrics: sums over the test set, divided once at the end.

P@k, nDCG@k and PSP@k are those of the Extreme Classification Repository
(http://manikvarma.org/downloads/XC/XMLRepository.html) as pyxclib and
napkinXC compute them.

# N instances, L labels, M true labels stored, K predictions an instance,
# H true labels found among the predictions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tfxml.evaluation import ranked_lists

NUM_DECILES = 10


def inverse_propensities(
    label_counts: np.ndarray,
    num_train_instances: int,
    propensity_a: float = 0.55,
    propensity_b: float = 1.5,
) -> np.ndarray:
    """Returns 1 / p_l = 1 + C (N_l + b)^-a of each label, [L] float64.

    C = (log N - 1) (b + 1)^a with the natural logarithm, from Jain et al.,
    "Extreme Multi-label Loss Functions", KDD 2016. `label_counts` are N_l,
    [L], over the N training instances. The customary a, b are 0.5, 0.4 for
    Wikipedia data, 0.6, 2.6 for Amazon data and the defaults elsewhere.
    """
    label_counts = np.asarray(label_counts)
    if num_train_instances < 3:
        need = "be at least 3, for log N above 1"
        raise ranked_lists.argument_error(
            "num_train_instances", need, num_train_instances
        )
    if propensity_b <= 0:
        raise ranked_lists.argument_error(
            "propensity_b", "be positive", propensity_b
        )
    ranked_lists.check_range(
        "label_counts", label_counts, 0, num_train_instances + 1
    )
    with np.errstate(over="ignore", invalid="ignore"):
        scale = (np.log(num_train_instances) - 1) * np.float64(
            propensity_b + 1
        ) ** propensity_a
        inverse = 1 + scale * (label_counts + float(propensity_b)) ** (
            -propensity_a
        )
    if not np.isfinite(inverse).all():
        need = "give propensities that are not 0"
        raise ranked_lists.argument_error("propensity_a", need, propensity_a)
    return inverse


class RankingMetrics:
    """Accumulates P, nDCG, PSP, PSnDCG and Recall at each k, in percent.

    All N instances count. Those without a label add 0 to every sum, as with
    napkinXC's `zero_division=0` and pyxclib's `remove_invalid=False`.

    - P@k: hits / k, a mean over N; divided by k also where fewer than k
      labels are true or predicted.
    - nDCG@k: DCG / best DCG of min(k, |y|) labels, a mean over N.
    - PSP@k: hits weighted by 1 / p_l, summed over the test set, over the
      most that any ranking can reach, summed likewise.
    - PSnDCG@k: weighted DCG over the best unweighted DCG of min(k, |y|)
      labels, summed over the test set, over the most that any ranking can
      reach, summed likewise. This is pyxclib's and napkinXC's form; the
      repository's page divides by the DCG of k labels instead.
    - Recall@k: hits / |y|, a mean over N.

    Args:
      ks: cut-offs, ascending.
      label_counts: [L], in how many *training* instances each label occurs;
        orders the labels into deciles.
      inverse_propensities: [L], 1 / p_l.
    """

    def __init__(
        self,
        ks: Sequence[int],
        label_counts: np.ndarray,
        inverse_propensities: np.ndarray,
    ):
        self.ks = np.array(ks, np.int64)
        if not len(ks) or np.any(np.diff(self.ks, prepend=0) <= 0):
            raise ranked_lists.argument_error(
                "ks", "be positive and ascending", ks
            )
        self._weights = np.asarray(inverse_propensities, np.float64)
        if self._weights.shape != (len(label_counts),):
            need = f"have shape [{len(label_counts)}], as `label_counts`"
            raise ranked_lists.argument_error(
                "inverse_propensities", need, self._weights.shape
            )
        self._deciles = label_deciles(label_counts)
        at_k = [len(ks)]
        self._sums: dict[str, np.ndarray] = {
            "num_instances": np.zeros([], np.int64),
            "occurrences": np.zeros([NUM_DECILES], np.int64),
            "hits": np.zeros([NUM_DECILES, *at_k], np.int64),
            "ndcg": np.zeros(at_k),
            "recall": np.zeros(at_k),
            "ps_hits": np.zeros(at_k),
            "best_ps_hits": np.zeros(at_k),
            "ps_ndcg": np.zeros(at_k),
            "best_ps_ndcg": np.zeros(at_k),
        }

    def update(
        self,
        top_ids: np.ndarray,
        label_splits: np.ndarray,
        label_ids: np.ndarray,
    ) -> None:
        """Adds n instances, any part of the test set.

        Args:
          top_ids: [n, K] int, labels by descending score, K at least the
            largest k; -1 is a rank without a prediction. A label twice among
            the scored ranks of one instance is an error.
          label_splits: [n + 1], row splits of `label_ids`.
          label_ids: [M] int, true labels, ascending within an instance.
        """
        top_ids, label_splits, label_ids = map(
            np.asarray, (top_ids, label_splits, label_ids)
        )
        self._check_predictions(top_ids)
        self._check_labels(label_splits, label_ids, len(top_ids))
        lengths = np.diff(label_splits)
        rows = np.repeat(np.arange(len(top_ids)), lengths)  # [M]
        lengths = lengths[rows]  # [M] |y| beside each true label
        weights = self._weights[label_ids]  # [M]
        hits, ranks = ranked_lists.find(
            top_ids[:, : self.ks[-1]], rows, label_ids
        )  # [H]
        # The best ranking: each instance's true labels by falling weight.
        best = np.lexsort((-weights, rows))
        best_ranks = np.arange(len(best)) - label_splits[rows]

        self._sums["num_instances"] += len(top_ids)
        self._add_deciles(self._deciles[label_ids], hits, ranks)
        ones = np.ones(len(hits))
        self._sums["ndcg"] += self._ndcg(ranks, ones, lengths[hits])
        self._sums["recall"] += self._below(ranks, 1 / lengths[hits])
        for prefix, order, order_ranks in (
            ("", hits, ranks),
            ("best_", best, best_ranks),
        ):
            gains = weights[order]
            self._sums[prefix + "ps_hits"] += self._below(order_ranks, gains)
            self._sums[prefix + "ps_ndcg"] += self._ndcg(
                order_ranks, gains, lengths[order]
            )

    def state(self) -> dict[str, np.ndarray]:
        """Returns the sums, int64 and float64 arrays, to add over workers.

        Their shapes depend on `len(ks)` alone. A sum of states, array by
        array, is the state of all of their instances; `merge` takes it back.
        """
        return {name: total.copy() for name, total in self._sums.items()}

    def merge(self, state: Mapping[str, np.ndarray]) -> None:
        """Adds the state of metrics made with the same arguments."""
        shapes = {name: total.shape for name, total in self._sums.items()}
        received = {name: np.shape(total) for name, total in state.items()}
        if shapes != received:
            raise ranked_lists.argument_error(
                "state", f"have arrays of shapes {shapes}", received
            )
        for name, total in self._sums.items():
            total += np.asarray(state[name]).astype(total.dtype)

    def result(self) -> dict[str, float]:
        """Returns "P@1", "nDCG@1", ... in percent for each k.

        PSP and PSnDCG are 0 where no instance has a label.
        """
        num_instances = self._count()
        sums = self._sums
        values = {
            "P": sums["hits"].sum(axis=0) / (self.ks * num_instances),
            "nDCG": sums["ndcg"] / num_instances,
            "PSP": _ratio(sums["ps_hits"], sums["best_ps_hits"]),
            "PSnDCG": _ratio(sums["ps_ndcg"], sums["best_ps_ndcg"]),
            "Recall": sums["recall"] / num_instances,
        }
        return {
            f"{name}@{k}": float(100 * value)
            for name, at_k in values.items()
            for k, value in zip(self.ks, at_k, strict=True)
        }

    def result_by_decile(self) -> list[dict[str, float]]:
        """Returns ten rows, decile 1 (the rarest tenth of labels) first.

        Each has "num_labels"; "share", the percentage of the test set's
        label occurrences; "P@k", what the decile's labels contribute to
        P@k, so that the ten add up to it; and "MicroRecall@k", the
        percentage of the decile's occurrences that are hits, 0 for none.
        """
        num_instances = self._count()
        occurrences, hits = self._sums["occurrences"], self._sums["hits"]
        shares = _ratio(occurrences, occurrences.sum())
        precisions = hits / (self.ks * num_instances)
        recalls = _ratio(hits, occurrences[:, None])
        deciles = []
        for index, labels in enumerate(_tenths(self._deciles)):
            row: dict[str, float] = {"num_labels": len(labels)}
            row["share"] = float(100 * shares[index])
            for position, k in enumerate(self.ks):
                row[f"P@{k}"] = float(100 * precisions[index, position])
                row[f"MicroRecall@{k}"] = float(100 * recalls[index, position])
            deciles.append(row)
        return deciles

    def _count(self) -> int:
        if not self._sums["num_instances"]:
            raise ValueError("Metrics need at least one instance, have 0.")
        return int(self._sums["num_instances"])

    def _add_deciles(self, deciles, hits, ranks) -> None:
        self._sums["occurrences"] += np.bincount(deciles, minlength=NUM_DECILES)
        cells = np.zeros([NUM_DECILES, self.ks[-1]], np.int64)
        np.add.at(cells, (deciles[hits], ranks), 1)
        self._sums["hits"] += cells.cumsum(axis=1)[:, self.ks - 1]

    def _below(self, ranks, gains) -> np.ndarray:
        """Sums the gains at ranks (from 0) below each k."""
        by_rank = np.bincount(ranks, gains, minlength=self.ks[-1])
        return by_rank.cumsum()[self.ks - 1]

    def _ndcg(self, ranks, gains, lengths) -> np.ndarray:
        """Sums discounted gains over the best DCG of min(k, |y|) labels."""
        best = np.cumsum(1 / np.log2(np.arange(self.ks[-1]) + 2))
        gains = gains / np.log2(ranks + 2)
        return np.array(
            [
                np.sum(
                    gains / best[np.minimum(lengths, k) - 1], where=ranks < k
                )
                for k in self.ks
            ]
        )

    def _check_predictions(self, top_ids) -> None:
        if top_ids.ndim != 2 or top_ids.shape[1] < self.ks[-1]:
            need = f"have shape [n, K], K at least {self.ks[-1]}"
            raise ranked_lists.argument_error("top_ids", need, top_ids.shape)
        ranked_lists.check_range("top_ids", top_ids, -1, len(self._weights))
        ids = np.sort(top_ids[:, : self.ks[-1]], axis=1)
        is_repeated = (ids[:, 1:] == ids[:, :-1]) & (ids[:, 1:] >= 0)
        if is_repeated.any():
            row = np.argwhere(is_repeated)[0, 0]
            need = f"not repeat a label within a row, does in row {row}"
            raise ranked_lists.argument_error("top_ids", need, top_ids[row])

    def _check_labels(self, label_splits, label_ids, num_rows) -> None:
        if (
            label_splits.shape != (num_rows + 1,)
            or label_splits[0] != 0
            or label_splits[-1] != len(label_ids)
            or np.any(np.diff(label_splits) < 0)
        ):
            need = f"rise from 0 to {len(label_ids)} over {num_rows} rows"
            raise ranked_lists.argument_error(
                "label_splits", need, label_splits
            )
        ranked_lists.check_range("label_ids", label_ids, 0, len(self._weights))
        is_rising = np.diff(label_ids, prepend=-1) > 0
        starts = label_splits[:-1]
        is_rising[starts[starts < len(label_ids)]] = True
        if not is_rising.all():
            position = np.flatnonzero(~is_rising)[0]
            need = f"be distinct and ascending in a row, are not at {position}"
            raise ranked_lists.argument_error("label_ids", need, label_ids)


def label_deciles(label_counts: np.ndarray) -> np.ndarray:
    """Returns the tenth of the labels that each is in, [L] int8 from 0.

    Labels are ordered by count, rarest first, ties by id; the tenths differ
    by one label at most, the first being the larger.
    """
    order = np.argsort(label_counts, kind="stable")
    deciles = np.empty(len(order), np.int8)
    for decile, labels in enumerate(_tenths(order)):
        deciles[labels] = decile
    return deciles


def _tenths(array) -> list[np.ndarray]:
    return np.array_split(array, NUM_DECILES)


def _ratio(dividend, divisor) -> np.ndarray:
    """Divides, with 0 / 0 = 0."""
    return dividend / np.where(divisor == 0, 1, divisor)
