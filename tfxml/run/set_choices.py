"""Which labels an instance is answered with: the k best, or a set.

# N instances, K candidates an instance, S sets an instance
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from absl import flags as absl_flags

from tfxml.evaluation import best_sets, label_sets, thresholds
from tfxml.models import answering

TOP_K = "top_k"
SET = "set"
THRESHOLD = "threshold"
WAYS = (TOP_K, SET, THRESHOLD)
F1 = "f1"
SUBSET = "subset"
AIMS = (F1, SUBSET)
NUM_CANDIDATES = 50
NUM_SETS = 32
DEFAULT_LIMITS = thresholds.Thresholds(answering.EVEN_ODDS)


@dataclasses.dataclass(frozen=True)
class SetChoice:
    """How a set is chosen among an instance's candidates.

    Attributes:
        way: one of `WAYS`. `set` takes what is best in expectation,
            `threshold` the labels whose scores reach theirs.
        k: the most labels of `top_k`.
        aim: of `set`: the F1 of an instance, or the whole set right.
        limits: the thresholds.
        num_candidates: the most labels that a set can have.
        abstain_below: an instance whose best score is below it has no answer.
    """

    way: str = TOP_K
    k: int = 5
    aim: str = F1
    limits: thresholds.Thresholds = DEFAULT_LIMITS
    num_candidates: int = NUM_CANDIDATES
    abstain_below: float = 0.0

    def __post_init__(self):
        for name, value, choices in (
            ("way", self.way, WAYS),
            ("aim", self.aim, AIMS),
        ):
            if value not in choices:
                raise ValueError(
                    f"`{name}` must be one of {choices}. "
                    f"Received: {name}={value!r}"
                )
        for name, number in (
            ("k", self.k),
            ("num_candidates", self.num_candidates),
        ):
            if number < 1:
                raise ValueError(
                    f"`{name}` must be at least 1. Received: {name}={number}"
                )

    @property
    def num_ranked(self) -> int:
        """How many labels have to be ranked for a choice."""
        return self.k if self.way == TOP_K else self.num_candidates

    def choose(
        self,
        candidates: label_sets.Candidates,
        is_member: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> np.ndarray:
        """Tells which candidates are answered, [N, K].

        Args:
            candidates: best first.
            is_member: [N, S, K], of a head that models sets: which candidates
                its most probable sets have, the best set first.
            weights: [N, S], how probable they are.
        """
        if self.way == TOP_K:
            places = np.arange(candidates.scores.shape[1])
            found = np.broadcast_to(places < self.k, candidates.scores.shape)
        elif self.way == THRESHOLD:
            found = self.limits.choose(candidates)
        elif is_member is None or weights is None:
            p = np.clip(candidates.scores, 0, 1)
            found = (
                best_sets.best_f1(p)
                if self.aim == F1
                else best_sets.most_probable(p)
            )
        elif self.aim == F1:
            p = np.clip(candidates.scores, 0, 1)
            found = best_sets.best_f1_of_sets(is_member, weights, p)
        else:
            found = is_member[:, 0]
        return found & ~self.abstains(candidates)[:, None]

    def abstains(self, candidates: label_sets.Candidates) -> np.ndarray:
        """Tells which instances have no answer, [N]."""
        return candidates.scores[:, 0] < self.abstain_below


def define_flags() -> None:
    absl_flags.DEFINE_enum(
        "predict",
        TOP_K,
        WAYS,
        "What an instance is answered with: its k best labels, the set that is "
        "best in expectation, or the labels whose scores reach a threshold.",
    )
    absl_flags.DEFINE_enum(
        "aim",
        F1,
        AIMS,
        "Of --predict=set: the F1 of an instance, or the whole set right.",
    )
    define_limit_flags()
    absl_flags.DEFINE_integer(
        "set_candidates",
        NUM_CANDIDATES,
        "The best labels, among which a set or what reaches a threshold is "
        "chosen.",
        lower_bound=1,
    )


def define_limit_flags() -> None:
    absl_flags.DEFINE_float(
        "threshold",
        None,
        "The score from which on a label is answered, where labels are chosen "
        "by thresholds. Left out: what `python -m tfxml.calibrate` has found, "
        f"else {answering.EVEN_ODDS:g}.",
    )
    absl_flags.DEFINE_float(
        "abstain_below",
        0.0,
        "Answer nothing where the best label's score is below.",
    )


def from_flags(fitted: thresholds.Thresholds | None, k: int) -> SetChoice:
    """Returns the choice of the command line.

    Args:
        fitted: the thresholds of the run, if it has any.
        k: labels of `top_k`.
    """
    values: Mapping = absl_flags.FLAGS.flag_values_dict()
    return SetChoice(
        values["predict"],
        k,
        values["aim"],
        limits_from_flags(fitted),
        values["set_candidates"],
        values["abstain_below"],
    )


def limits_from_flags(
    fitted: thresholds.Thresholds | None,
) -> thresholds.Thresholds:
    """Returns the thresholds of the command line, else of the run, else 0.5."""
    threshold = absl_flags.FLAGS.threshold
    if threshold is not None:
        return thresholds.Thresholds(threshold)
    return fitted or DEFAULT_LIMITS
