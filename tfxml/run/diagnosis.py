"""Findings about a trained run: what holds it back, and what to try.

# N instances, K candidates an instance, L labels
"""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import tensorflow as tf

from tfxml.evaluation import (
    calibrating,
    dependence,
    label_sets,
    metrics,
)
from tfxml.models import calibration
from tfxml.run import limits, restore, scored_rows

# From these on a finding is called a cause. They are wide: a diagnosis that
# names what is not there sends people the wrong way.
LEVEL = 0.01  # of the permutation test
EXCESS = 10.0  # percent of the co-occurrences
CALIBRATION_ERROR = 5.0  # percent
RARE_RATIO = 0.5  # recall of the rarer half of labels, to that of the others
RARE_SHARE = 10.0  # percent of the labels' occurrences
GAP = 15.0  # percentage points of P@1
DOUBLING = 1.0  # likewise, by twice the data
MEMORY_SHARE = 25.0  # percent
_K = 5
_BYTES = 4 * 3  # of a weight and two moments
_TIMED_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Finding:
    """One condition: a number, a sentence, and what to try.

    Attributes:
        name: of the condition.
        number: what was measured.
        unit: of the number.
        sentence: what it means.
        is_cause: whether it holds the run back.
        advice: what to try if so, with the flags of a command.
        details: what the picture shows.
    """

    name: str
    number: float
    unit: str
    sentence: str
    is_cause: bool
    advice: str
    details: dict


def of_dependence(
    rows: scored_rows.ScoredRows, label_names: list[str] | None
) -> Finding:
    """Returns whether labels depend on one another, given the features."""
    found = dependence.test(_calibrated(rows), rows.truth)
    is_cause = found.p_value <= LEVEL and found.excess >= EXCESS
    pairs = [
        {
            "labels": [_name(one, label_names) for one in (p.first, p.second)],
            "observed": p.observed,
            "expected": round(p.expected, 1),
        }
        for p in found.pairs
    ]
    sentence = (
        f"{found.excess:.1f} % of the co-occurrences of labels differ from "
        f"what the scores of single labels explain (p = {found.p_value:.2f})."
    )
    if is_cause and found.pairs:
        pair = found.pairs[0]
        sentence += (
            f" Most of all '{_name(pair.first, label_names)}' and "
            f"'{_name(pair.second, label_names)}': {pair.observed} together, "
            f"{pair.expected:.1f} expected."
        )
    advice = (
        "Whole sets will gain, P@k will not: --head=chain, then `python -m "
        "tfxml.predict --predict=set`"
    )
    return Finding(
        "dependence",
        found.excess,
        "% of co-occurrences",
        sentence,
        is_cause,
        advice,
        {
            "p_value": found.p_value,
            "pairs": pairs,
            "observed": found.observed,
            "permuted": found.permuted.tolist(),
        },
    )


def of_calibration(
    rows: scored_rows.ScoredRows, label_counts: np.ndarray
) -> Finding:
    """Returns whether scores are probabilities."""
    is_true = rows.candidates.is_true(rows.truth)
    scores = rows.candidates.scores[:, :_K].ravel()
    error = calibrating.expected_error(scores, is_true[:, :_K].ravel())
    points = calibrating.reliability(scores, is_true[:, :_K].ravel())
    gap = sum((one["score"] - one["share"]) * one["number"] for one in points)
    way = "too high" if gap > 0 else "too low"
    return Finding(
        "calibration",
        error,
        "% expected calibration error",
        f"The scores of the {_K} best labels are off by {error:.1f} % on "
        f"average, mostly {way}.",
        error >= CALIBRATION_ERROR,
        "`python -m tfxml.calibrate`, which fits them on held-out rows",
        {
            "reliability": points,
            "deciles": calibrating.expected_errors_by_decile(
                rows.candidates, is_true, label_counts
            ),
        },
    )


def of_frequency(
    run: restore.TrainedRun, rows: scored_rows.ScoredRows
) -> Finding:
    """Returns whether rare labels are found as frequent ones are."""
    ranking = metrics.RankingMetrics(
        (_K,), run.label_counts, np.ones(len(run.label_counts))
    )
    truth = rows.truth
    order = np.lexsort((truth.ids, truth.rows()))
    ranking.update(
        _padded(rows.candidates.label_ids), truth.splits, truth.ids[order]
    )
    deciles = ranking.result_by_decile()
    shares = np.array([one["share"] for one in deciles])
    recalls = np.array([one[f"MicroRecall@{_K}"] for one in deciles])
    half = len(deciles) // 2
    rare, frequent = (
        float((shares[part] @ recalls[part]) / max(shares[part].sum(), 1e-9))
        for part in (slice(half), slice(half, None))
    )
    share = float(shares[:half].sum())
    return Finding(
        "rare labels",
        rare,
        f"% recall@{_K} of the rarer half of labels",
        f"The rarer half of the labels makes {share:.0f} % of the occurrences; "
        f"{rare:.0f} % of them are among the {_K} best, and {frequent:.0f} % "
        "of the others.",
        share >= RARE_SHARE and rare < RARE_RATIO * frequent,
        "--reranker_passes=20 --reranker_centroid=1",
        {"shares": shares.tolist(), "recalls": recalls.tolist()},
    )


def of_data(
    trained: scored_rows.ScoredRows,
    rows: scored_rows.ScoredRows,
    curve: list[dict[str, float]],
) -> Finding:
    """Returns whether more data is what is missing.

    Args:
        trained: training rows.
        rows: held-out rows.
        curve: P@1 by the share of training rows, if it was measured.
    """
    known, new = (_precision(one) for one in (trained, rows))
    gap = known - new
    sentence = (
        f"P@1 is {known:.1f} % on training rows and {new:.1f} % on held-out "
        "rows."
    )
    details = {"training": known, "held_out": new, "curve": curve}
    advice = "more data, or more --dropout, fewer --num_epochs"
    if not curve:
        return Finding(
            *("data", gap, "points of P@1 between the two", sentence),
            *(gap >= GAP, advice, details),
        )
    gain = curve[-1]["P@1"] - curve[-2]["P@1"]
    sentence += f" The last doubling of the data gained {gain:.1f} points."
    return Finding(
        *("data", gain, "points of P@1 by the last doubling", sentence),
        *(gain >= DOUBLING, advice, details),
    )


def of_cost(run: restore.TrainedRun, rows: dict) -> Finding:
    """Returns what the head costs; `rows` are named inputs of a batch."""
    model = run.model
    of_head = _size(model.head.weights)
    of_all = max(_size(model.weights), 1)
    share = 100 * _BYTES * of_head / limits.memory_bytes()
    encode = tf.function(model.encode, autograph=False)
    rank = tf.function(
        lambda encoded: model.head.top_k(encoded, _K), autograph=False
    )
    encoded = encode(rows)
    encode_ms, head_ms = (
        _milliseconds(call)
        for call in (lambda: encode(rows), lambda: rank(encoded))
    )
    return Finding(
        "head",
        100 * of_head / of_all,
        "% of the weights",
        f"The head has {of_head:,} of {of_all:,} weights, trains in "
        f"{_BYTES * of_head / 2**20:,.0f} MiB ({share:.1f} % of the memory), "
        f"and ranks {_TIMED_ROWS} rows in {head_ms:.1f} ms, after "
        f"{encode_ms:.1f} ms of the encoder.",
        share >= MEMORY_SHARE,
        "--head=mach; `python -m tfxml.plan` says with which sizes",
        {
            "head": of_head,
            "others": of_all - of_head,
            "head_ms": head_ms,
            "encode_ms": encode_ms,
        },
    )


def _calibrated(rows: scored_rows.ScoredRows) -> label_sets.Candidates:
    """Returns candidates whose scores are right on average, on these rows."""
    scores, label_ids = rows.candidates.scores, rows.candidates.label_ids
    is_true = rows.candidates.is_true(rows.truth)
    fitted = calibrating.fit(
        calibration.ISOTONIC, scores.ravel(), is_true.ravel()
    )
    return label_sets.Candidates(
        calibration.array_scores(scores, calibration.IDENTITY, fitted),
        label_ids,
    )


def _padded(label_ids: np.ndarray) -> np.ndarray:
    missing = max(0, _K - label_ids.shape[1])
    return np.pad(label_ids, [(0, 0), (0, missing)], constant_values=-1)


def _precision(rows: scored_rows.ScoredRows) -> float:
    return 100 * float(rows.candidates.is_true(rows.truth)[:, 0].mean())


def _size(weights) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def _milliseconds(call) -> float:
    """Returns the shortest of some calls."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def _name(label_id: int, names: list[str] | None) -> str:
    return names[label_id] if names else str(label_id)
