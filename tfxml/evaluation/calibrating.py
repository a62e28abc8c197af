"""Fits and measures calibration, on rows that the model has not learnt.

# N instances, K candidates an instance, P pairs of instance and candidate
"""

from __future__ import annotations

import numpy as np
from scipy import optimize
from sklearn import isotonic

from tfxml.evaluation import label_sets, ranked_lists
from tfxml.evaluation import metrics as metrics_lib
from tfxml.models import calibration

NUM_BINS = 15
_MOST_KNOTS = 64
_FEWEST_PAIRS = 20  # of each kind
_MOST_LOG_SLOPE = 4.0


def fit(
    method: str, scores: np.ndarray, is_true: np.ndarray
) -> calibration.Calibration:
    """Returns the calibration that makes held-out labels most probable.

    Args:
        method: one of `calibration.METHODS`. Temperature (Guo et al., ICML
            2017) has one number, Platt's two, isotonic regression (Zadrozny
            and Elkan, KDD 2002) as many as the pairs warrant.
        scores: [P], uncalibrated.
        is_true: [P], whether the labels are the instances'.

    Raises:
        ValueError: if the pairs are too few.
    """
    is_true = np.asarray(is_true, bool)
    fewest = min(int(is_true.sum()), int((~is_true).sum()))
    if fewest < _FEWEST_PAIRS:
        raise ranked_lists.argument_error(
            "is_true",
            f"hold {_FEWEST_PAIRS} right and {_FEWEST_PAIRS} wrong answers",
            f"{fewest} of a kind",
        )
    logits = calibration.array_logits(
        np.asarray(scores, np.float64), calibration.IDENTITY
    )
    if method == calibration.TEMPERATURE:
        found = optimize.minimize_scalar(
            lambda log_slope: _log_loss(np.exp(log_slope) * logits, is_true),
            bounds=(-_MOST_LOG_SLOPE, _MOST_LOG_SLOPE),
            method="bounded",
        )
        return calibration.Calibration(method, float(np.exp(found.x)))
    if method == calibration.PLATT:
        found = optimize.minimize(
            lambda at: _log_loss(np.exp(at[0]) * logits + at[1], is_true),
            np.zeros(2),
            method="L-BFGS-B",
            bounds=[(-_MOST_LOG_SLOPE, _MOST_LOG_SLOPE), (None, None)],
        )
        slope, offset = float(np.exp(found.x[0])), float(found.x[1])
        return calibration.Calibration(method, slope, offset)
    knots, values = _isotonic(calibration.sigmoid(logits), is_true)
    return calibration.Calibration(method, knots=knots, values=values)


def expected_error(
    scores: np.ndarray, is_true: np.ndarray, num_bins: int = NUM_BINS
) -> float:
    """Returns the expected calibration error, in percent.

    That is the mean, over bins of as many pairs each, of the distance between
    the mean score and the share of right answers.
    """
    rows = reliability(scores, is_true, num_bins)
    gaps = [abs(row["score"] - row["share"]) * row["number"] for row in rows]
    return 100 * sum(gaps) / max(sum(row["number"] for row in rows), 1)


def reliability(
    scores: np.ndarray, is_true: np.ndarray, num_bins: int = NUM_BINS
) -> list[dict[str, float]]:
    """Returns the points of a reliability diagram, by ascending score.

    Each has the `number` of pairs, their mean `score` and the `share` that is
    right.
    """
    order = np.argsort(scores, kind="stable")
    return [
        {
            "number": len(part),
            "score": float(np.mean(scores[part])),
            "share": float(np.mean(is_true[part])),
        }
        for part in np.array_split(order, num_bins)
        if len(part)
    ]


def expected_errors_by_decile(
    candidates: label_sets.Candidates,
    is_true: np.ndarray,
    label_counts: np.ndarray,
) -> list[float]:
    """Returns the calibration error of each tenth of labels, rarest first.

    0 where no label of the tenth is a candidate.
    """
    deciles = metrics_lib.label_deciles(label_counts)[candidates.label_ids]
    return [
        expected_error(candidates.scores[here], is_true[here])
        for here in (
            deciles == number for number in range(metrics_lib.NUM_DECILES)
        )
    ]


def abstention(
    candidates: label_sets.Candidates, is_true: np.ndarray
) -> list[dict[str, float]]:
    """Returns what abstaining costs and brings, from no row to nearly all.

    Each point has the `score` below which a row gets no answer, the share of
    rows `answered` and the `P@1` of these, in percent.
    """
    order = np.argsort(-candidates.scores[:, 0], kind="stable")
    hits = np.cumsum(is_true[order, 0])
    points = []
    for share in range(100, 0, -10):
        number = max(1, len(order) * share // 100)
        points.append(
            {
                "score": float(candidates.scores[order[number - 1], 0]),
                "answered": 100 * number / len(order),
                "P@1": float(100 * hits[number - 1] / number),
            }
        )
    return points


def _log_loss(logits: np.ndarray, is_true: np.ndarray) -> float:
    return float(np.logaddexp(0, np.where(is_true, -logits, logits)).mean())


def _isotonic(
    scores: np.ndarray, is_true: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns knots and values of the best line that never falls."""
    fitted = isotonic.IsotonicRegression(y_min=0, y_max=1)
    fitted.fit(scores, is_true)
    knots, values = fitted.X_thresholds_, fitted.y_thresholds_
    # Float32 shall tell knots apart, and few of them shall do.
    kept = np.diff(knots, prepend=-1) > 1e-5
    knots, values = knots[kept], values[kept]
    if len(knots) > _MOST_KNOTS:
        quantiles = np.linspace(0, 1, _MOST_KNOTS)
        chosen = np.unique(
            np.searchsorted(knots, np.quantile(scores, quantiles))
        ).clip(0, len(knots) - 1)
        chosen = np.unique([0, *chosen, len(knots) - 1])
        knots, values = knots[chosen], values[chosen]
    if len(knots) < 2:
        raise ranked_lists.argument_error(
            "scores", "differ, for isotonic regression", "one value"
        )
    return tuple(map(float, knots)), tuple(map(float, values))
