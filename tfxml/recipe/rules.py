"""The rules: which recipes are tried on some data, and why.

# N instances, D features, L labels, H units

All costs are estimates from sizes alone, so that the same data give the same
recipe on the same machine, however busy it is.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from tfxml.recipe import facts as facts_lib

# Multiplications and additions a second of one core in a training step, what a
# step takes besides, and features of pairs a second in the re-ranker's descent.
_FLOPS_OF_CORE = 4.0e10
_SECONDS_OF_STEP = 0.003
_FLOPS_OF_ACCELERATOR = 5.0e12
_MOVES_OF_CORE = 1.0e8
_FULL_PASSES = 3  # that the passes of the descent amount to
_FEW_INSTANCES = 30_000  # below, small batches and more epochs
_FEW_OF_LABEL = 10  # instances: too few for a shared representation
# Instances of a label that tell more than its name does. A trial, which has
# fewer of them than the training split, would not notice.
_ENOUGH_OF_LABEL = 30
_TOLD_OF_NAMES = 0.2  # of all instances: a trial of so many notices
# Of a name as an instance: the fewer instances a label has, the more it tells.
NAME_WEIGHTS = (1.0, 0.5, 0.25)
TITLE_WEIGHTS = (2, 3)  # each where the one before was better
IDF_POWERS = (1.5,)  # likewise
NGRAM_WEIGHT = 0.6  # of pairs of words, so that single words say more
_SHORT_TEXT = 30  # distinct words; pairs bring little to longer texts
_TRIED = 12_000  # instances that a trial has at least
_MOST_TRIED = 60_000
_HELD_OUT = 2000  # at most
# A mixture fits the noise of fewer: then other parts are held out too.
_ENOUGH_HELD_OUT, _MOST_PARTS = 1000, 4
WORTH = 1.005  # by this factor what is dearer must be better
_FEWEST_TRIED = 200  # instances that are worth a trial
_DENSE = 0.01  # share of all features that an instance has
_FEW_PASSES, _MANY_PASSES = 6, 100
# Bounds on the hard negatives of an instance. Few features tell labels apart
# badly, so candidates miss many: the fewer an instance has, the more negatives
# it gets, and all labels where twice the first bound allows it.
_FEATURES_OF_NEGATIVES = 4000  # of all negatives of an instance together
_NEGATIVES = 20_000_000  # of all instances
_FEWEST_NEGATIVES, _MOST_NEGATIVES = 200, 800
_FEWEST_OF_SMALL = 400  # for few instances, which cost little
_WEIGHTS = 20_000_000  # of the re-ranker, and of centroids
_BYTES_OF_WEIGHT = 12  # beside its share of the table's gaps
_BYTES_OF_TRAINED = 16  # a weight, its gradient and two moments


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a recipe may cost."""

    seconds: float
    bytes: int


@dataclasses.dataclass(frozen=True)
class Proposal:
    """A recipe that may be tried.

    Attributes:
        name: of its first stage.
        options: that differ from the defaults.
        powers: of the centroids' lengths, of which the trial takes the one
            whose candidates hold most labels; empty: none.
        costs: C of the re-ranker, of which the trial takes the best.
        tries_idf: whether weights by inverse document frequency are tried;
            this and what follows in trials of their own.
        tries_titles: whether titles are tried with more weight, which decides
            for later proposals too.
        tries_idf_powers: whether texts are tried with more weight on rare
            words, likewise.
        tries_names: whether names of labels are tried as instances.
        tries_ngrams: whether pairs of words are tried beside single ones.
        weighs_names: whether the re-ranker may weigh names of labels.
        seconds: that training all instances will take, about.
        bytes: that its weights take.
        reason: why it is as it is.
    """

    name: str
    options: dict[str, Any]
    powers: tuple[float, ...]
    costs: tuple[float, ...]
    tries_idf: bool
    tries_titles: bool
    tries_idf_powers: bool
    tries_names: bool
    tries_ngrams: bool
    weighs_names: bool
    seconds: float
    bytes: int
    reason: str

    @property
    def num_trials(self) -> int:
        """How often it is trained on a part, at most."""
        return (
            1
            + self.tries_idf
            + len(TITLE_WEIGHTS) * self.tries_titles
            + len(IDF_POWERS) * self.tries_idf_powers
            + len(NAME_WEIGHTS) * self.tries_names
            + self.tries_ngrams
        )


def num_held_out(facts: facts_lib.Facts) -> int:
    """Returns how many instances a trial is judged by; 0: no trial."""
    if facts.num_instances < _FEWEST_TRIED:
        return 0
    return min(facts.num_instances // 8, _HELD_OUT)


def num_tried(facts: facts_lib.Facts) -> int:
    """Returns how many instances a trial trains on."""
    wanted = min(max(_TRIED, facts.num_instances // 4), _MOST_TRIED)
    return min(wanted, facts.num_instances - num_held_out(facts))


def worth(facts: facts_lib.Facts) -> float:
    """Returns by what factor a dearer recipe must be better in a trial.

    A shared representation gains more from further instances than centroids
    do: where a trial has few of them, it may be worse by as much.
    """
    has_most = 2 * num_tried(facts) >= facts.num_instances
    return WORTH if has_most else 2 - WORTH


def num_parts(facts: facts_lib.Facts) -> int:
    """Returns on how many parts of the training split a trial is made."""
    held_out = max(num_held_out(facts), 1)
    return min(-(-_ENOUGH_HELD_OUT // held_out), _MOST_PARTS)


def proposals(facts: facts_lib.Facts) -> list[Proposal]:
    """Returns the recipes that suit the data, the cheapest first."""
    found = [_centroid(facts)]
    if facts.instances_per_label >= _FEW_OF_LABEL:
        found += [_sigmoid(facts, units) for units in (256, 512)]
    return sorted(found, key=lambda proposal: proposal.seconds)


def affordable(
    facts: facts_lib.Facts, budget: Budget
) -> tuple[list[Proposal], list[Proposal]]:
    """Returns the proposals within a budget, and those beyond it.

    Of the sigmoid heads the widest that can be afforded is tried. A trial's
    own time counts too. The cheapest proposal is always there.
    """
    within: list[Proposal] = []
    beyond: list[Proposal] = []
    for proposal in proposals(facts):
        spent = sum(trial_seconds(facts, other) for other in within)
        whole = spent + proposal.seconds + trial_seconds(facts, proposal)
        fits = whole <= budget.seconds and proposal.bytes <= budget.bytes
        if not fits and within:
            beyond.append(proposal)
            continue
        within = [other for other in within if other.name != proposal.name]
        within.append(proposal)
    return within, beyond


def trial_seconds(facts: facts_lib.Facts, proposal: Proposal) -> float:
    """Returns what trying a proposal takes, about."""
    share = num_parts(facts) * num_tried(facts) / facts.num_instances
    return proposal.num_trials * proposal.seconds * share


def _centroid(facts: facts_lib.Facts) -> Proposal:
    num_negatives = _num_negatives(facts)
    options = {
        "head": "centroid",
        "centroid_features": _features(facts, 700),
        "centroid_labels": 8000,
        **_reranker(
            facts, num_negatives, _num_candidates(facts, num_negatives)
        ),
    }
    return Proposal(
        "centroid",
        options,
        powers=(1.0, 0.85, 0.7, 0.55, 0.4),
        costs=(1.0, 0.5),
        tries_idf=facts.is_unweighted and not facts.is_text,
        tries_titles=facts.has_titles,
        tries_idf_powers=facts.is_text,
        tries_names=_may_learn_names(facts),
        tries_ngrams=facts.is_text
        and facts.features_per_instance <= _SHORT_TEXT,
        weighs_names=_may_weigh_names(facts),
        seconds=_seconds_of_reranker(facts, num_negatives),
        bytes=_bytes_of_reranker(facts) * 2,
        reason="candidates by one pass over the data",
    )


def _sigmoid(facts: facts_lib.Facts, units: int) -> Proposal:
    is_small = _is_small(facts)
    num_epochs = 8
    if is_small:
        num_epochs = min(max(250_000 // facts.num_instances, 10), 20)
    num_negatives = min(100, facts.num_labels)
    options = {
        "head": "sigmoid",
        "hidden_units": (units,),
        "dropout": 0.5,
        "batch_size": _batch_size(facts),
        "learning_rate": 0.003 if is_small else 0.01,
        "num_epochs": num_epochs,
        "eval_epochs": num_epochs,
        **_reranker(facts, num_negatives, 50),
    }
    weights = units * (facts.num_features + facts.num_labels)
    reason = "a shared representation"
    if is_small:
        reason += f", {num_epochs} epochs of small batches for few instances"
    return Proposal(
        "sigmoid",
        options,
        powers=(),
        costs=(1.0,),
        # What is best for centroids is best here.
        tries_idf=False,
        tries_titles=False,
        tries_idf_powers=False,
        tries_names=False,  # nothing gained, and an instance costs more here
        tries_ngrams=False,  # the first layer would be several times larger
        weighs_names=_may_weigh_names(facts),
        seconds=_seconds_of_head(facts, units) * num_epochs
        + _seconds_of_reranker(facts, num_negatives),
        bytes=_BYTES_OF_TRAINED * weights + _bytes_of_reranker(facts),
        reason=reason,
    )


def _may_learn_names(facts: facts_lib.Facts) -> bool:
    return facts.has_label_names and (
        facts.instances_per_label < _ENOUGH_OF_LABEL
    )


def _may_weigh_names(facts: facts_lib.Facts) -> bool:
    is_told = num_tried(facts) >= _TOLD_OF_NAMES * facts.num_instances
    return _may_learn_names(facts) or (facts.has_label_names and is_told)


def _is_small(facts: facts_lib.Facts) -> bool:
    return facts.num_instances < _FEW_INSTANCES


def _batch_size(facts: facts_lib.Facts) -> int:
    return 128 if _is_small(facts) else 512


def _num_negatives(facts: facts_lib.Facts) -> int:
    """Returns how many hard negatives of an instance centroids find."""
    of_instance = _FEATURES_OF_NEGATIVES / max(facts.features_per_instance, 1)
    of_all = min(_MOST_NEGATIVES, _NEGATIVES / facts.num_instances)
    if facts.num_labels <= min(2 * of_instance, of_all):
        return facts.num_labels
    most = int(min(of_instance, of_all))
    fewest = _FEWEST_OF_SMALL if _is_small(facts) else _FEWEST_NEGATIVES
    return min(max(most, fewest), facts.num_labels)


def _num_candidates(facts: facts_lib.Facts, num_negatives: int) -> int:
    """Returns how many candidates classifiers with these negatives rank.

    They know nothing of candidates behind their negatives.
    """
    if num_negatives == facts.num_labels:
        return num_negatives
    return max(100, num_negatives // 2)


def _reranker(
    facts: facts_lib.Facts, num_negatives: int, num_candidates: int
) -> dict[str, Any]:
    return {
        "reranker_passes": _passes(facts),
        "num_hard_negatives": num_negatives,
        "reranker_features": _features(facts, 1000),
        "num_candidates": min(num_candidates, facts.num_labels),
    }


def _passes(facts: facts_lib.Facts) -> int:
    """Returns how many passes the re-ranker's descent takes, at most.

    Rows that share many features need tens until labels have converged. Text
    ranks as well after a few, and many would cost minutes.
    """
    density = facts.features_per_instance / max(facts.num_features, 1)
    is_dense = density > _DENSE and not facts.is_text
    return _MANY_PASSES if is_dense else _FEW_PASSES


def _features(facts: facts_lib.Facts, most: int) -> int:
    """Returns how many weights a label keeps on average."""
    room = max(_WEIGHTS // facts.num_labels, 100)
    return max(min(most, room, facts.num_features), 1)


def _seconds_of_head(facts: facts_lib.Facts, units: int) -> float:
    """Returns the seconds of an epoch."""
    width = facts.num_labels + facts.features_per_instance
    flops = 6 * facts.num_instances * units * width
    if facts.has_accelerator:
        return flops / _FLOPS_OF_ACCELERATOR
    num_steps = -(-facts.num_instances // _batch_size(facts))
    return (
        flops / (_FLOPS_OF_CORE * facts.num_cores)
        + _SECONDS_OF_STEP * num_steps
    )


def _seconds_of_reranker(facts: facts_lib.Facts, num_negatives: int) -> float:
    pairs = facts.num_instances * (num_negatives + facts.labels_per_instance)
    moves = _FULL_PASSES * pairs * max(facts.features_per_instance, 10)
    return moves / (_MOVES_OF_CORE * facts.num_cores)


def _bytes_of_reranker(facts: facts_lib.Facts) -> int:
    return _BYTES_OF_WEIGHT * facts.num_labels * _features(facts, 1000)
