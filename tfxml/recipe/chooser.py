"""Chooses a recipe: facts, rules, a trial, and a line for each decision."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from tfxml import config as config_lib
from tfxml.recipe import facts as facts_lib
from tfxml.recipe import mixing, recipe_request, rules, trial, variants
from tfxml.run import datasets

_Read = Callable[[config_lib.Config], datasets.TrainingData]
# Pairs of words are tried unless one of these is given.
_OF_NGRAMS = frozenset({"ngrams", "ngram_weight", "max_features"})


@dataclasses.dataclass(frozen=True)
class Chooser:
    """Chooses the options of a run that a request leaves open."""

    request: recipe_request.Request

    def choose(
        self,
        config: config_lib.Config,
        data: datasets.TrainingData,
        read: _Read,
    ) -> tuple[config_lib.Config, datasets.TrainingData]:
        """Returns the config that suits the data; see `choose`."""
        return choose(config, data, self.request, read)

    def kept(
        self, written: config_lib.Config, config: config_lib.Config
    ) -> config_lib.Config:
        """Returns the config of a run that is resumed: what was chosen stays.

        Args:
            written: by the run when it began.
            config: what is given now, and defaults.
        """
        return written.replace(
            **{name: getattr(config, name) for name in self.request.given}
        )


def choose(
    config: config_lib.Config,
    data: datasets.TrainingData,
    request: recipe_request.Request,
    read: _Read,
) -> tuple[config_lib.Config, datasets.TrainingData]:
    """Returns the config that suits the data, and prints why.

    With it come the data, as that config reads them.

    Args:
        config: what is given, and the defaults of the rest.
        data: what will be trained on.
        request: what the recipe must keep to.
        read: reads the data as a config says.
    """
    request.check(config)
    facts = facts_lib.of(data)
    variants.say(facts.describe())
    always = _open(_of_texts(facts), request)
    config = config.replace(**always)
    budget = rules.Budget(request.seconds, request.bytes or facts.memory // 2)
    within, beyond = rules.affordable(facts, budget)
    within, beyond = (
        [one for one in group if _keeps_head(one, config, request)]
        for group in (within, beyond)
    )
    if not within:
        head = config.head
        variants.say(f"head {head} is given, and the rest stays as it is")
        return config, data
    if not rules.num_held_out(facts):
        proposal = within[-1]
        variants.say(f"{proposal.name}: too few instances for a trial")
        return config.replace(**_open(proposal.options, request)), data
    outcomes = _try_all(within, config, data, facts, request, read)
    best = _best(outcomes, rules.worth(facts))
    for proposal in beyond:
        variants.say(_left_out(proposal, facts, budget))
    options = {
        **always,
        **best.proposal.options,
        **best.options,
        **_of_mixture(best.mixture),
    }
    chosen = _open(options, request)
    variants.say(f"chosen: {_words(chosen)}")
    return config.replace(**chosen), best.data or data


def _of_texts(facts: facts_lib.Facts) -> dict[str, Any]:
    """Returns what is decided by facts of the texts alone, and says why."""
    if not facts.has_foreign_labels:
        return {}
    variants.say(
        f"{facts.num_named:,} texts begin with the name of a label, which "
        f"{100 * facts.share_right:.2g} % of them have: it is left out"
    )
    return {"drop_own_labels": True}


def _best(outcomes: list[trial.Outcome], worth: float) -> trial.Outcome:
    """Returns the best outcome of the cheapest first, and says why.

    `worth` is the factor by which a dearer one must be better; below 1 it may
    be worse.
    """
    best, why = outcomes[0], ""
    for outcome in outcomes[1:]:
        if outcome.mixture.quality > worth * best.mixture.quality:
            why = ""
            if outcome.mixture.quality < best.mixture.quality:
                why = (
                    f"; {outcome.proposal.name} gains more from the instances "
                    "that the trial did not have"
                )
            best = outcome
        elif outcome.mixture.quality > best.mixture.quality:
            why = (
                f"; {outcome.proposal.name} is dearer and must be better by "
                f"{100 * (worth - 1):.2g} %"
            )
    if len(outcomes) > 1:
        means = ", ".join(
            f"{outcome.proposal.name} {outcome.mixture.quality:.2f}"
            for outcome in outcomes
        )
        variants.say(
            f"{best.proposal.name} is taken. Means of P@1, P@3 and P@5: "
            f"{means}{why}"
        )
    return best


def _try_all(
    proposals: list[rules.Proposal],
    config: config_lib.Config,
    data: datasets.TrainingData,
    facts: facts_lib.Facts,
    request: recipe_request.Request,
    read: _Read,
) -> list[trial.Outcome]:
    """Returns what the proposals reach on held-out rows, and says it."""
    number, num_held_out = rules.num_tried(facts), rules.num_held_out(facts)
    num_parts = rules.num_parts(facts)
    times = f"{num_parts} times " if num_parts > 1 else ""
    variants.say(
        f"a trial trains {times}on {number:,} training instances, judged by "
        f"{num_held_out:,} others"
    )
    cut = functools.partial(
        trial.parts_of,
        num_tried=number,
        num_held_out=num_held_out,
        num_parts=num_parts,
        seed=config.seed,
    )
    parts = cut(data)
    outcomes = []
    found: dict[str, Any] = {}  # by one proposal, for the next ones
    for proposal in proposals:
        if "centroid_power" in request.given:
            proposal = dataclasses.replace(proposal, powers=())
        if "reranker_cost" in request.given:
            costs = (config.reranker_cost,)
            proposal = dataclasses.replace(proposal, costs=costs)
        proposal = dataclasses.replace(
            proposal, options={**proposal.options, **found}
        )
        tried = config.replace(**_open(proposal.options, request))
        outcome = trial.judge(proposal, tried, parts)
        variants.say(_describe(outcome))
        if proposal.tries_idf and "feature_idf" not in request.given:
            outcome = variants.with_idf(outcome, tried, parts)
            if outcome.options.get("feature_idf"):
                found["feature_idf"] = True
        for option in _larger(proposal, config, data, request):
            before = outcome.data
            outcome = variants.with_larger(option, outcome, tried, read, cut)
            if outcome.data is not None and outcome.data is not before:
                data = outcome.data
                parts = cut(data)
                found[option] = outcome.options[option]
                tried = tried.replace(**found)
        outcome = variants.with_names(outcome, tried, parts, request)
        if proposal.tries_ngrams and _may_read_anew(config, data, request):
            outcome = variants.with_ngrams(outcome, tried, read, cut)
        data_of = outcome.data or data
        outcomes.append(dataclasses.replace(outcome, data=data_of))
    return outcomes


def _larger(
    proposal: rules.Proposal,
    config: config_lib.Config,
    data: datasets.TrainingData,
    request: recipe_request.Request,
) -> list[str]:
    """Returns which options of `variants.LARGER` are tried."""
    names = []
    if proposal.tries_titles:
        names.append("title_weight")
    if proposal.tries_idf_powers and config.use_idf and not data.is_prepared:
        names.append("idf_power")
    return [name for name in names if name not in request.given]


def _may_read_anew(
    config: config_lib.Config,
    data: datasets.TrainingData,
    request: recipe_request.Request,
) -> bool:
    """Tells whether the data may be read with pairs of words as features."""
    is_open = not request.given & _OF_NGRAMS and not config.hash_buckets
    return is_open and not data.is_prepared


def _open(
    options: dict[str, Any], request: recipe_request.Request
) -> dict[str, Any]:
    """Returns the options that are not given."""
    return {
        name: value
        for name, value in options.items()
        if name not in request.given
    }


def _keeps_head(
    proposal: rules.Proposal,
    config: config_lib.Config,
    request: recipe_request.Request,
) -> bool:
    return "head" not in request.given or proposal.name == config.head


def _of_mixture(mixture: mixing.Mixture) -> dict[str, Any]:
    """Returns a mixture as options."""
    if mixture.head_share == 1:
        return {"reranker_passes": 0}
    return {
        "reranker_weight": round(1 - mixture.head_share, 6),
        "reranker_centroid": mixture.centroid,
        **({"reranker_name": mixture.name} if mixture.name else {}),
        "num_candidates": mixture.num_candidates,
    }


def _describe(outcome: trial.Outcome) -> str:
    """Returns what a trial has found out."""
    mixture, proposal = outcome.mixture, outcome.proposal
    words = [f"{proposal.name} ({proposal.reason}):", mixture.describe()]
    words.append(f"in {outcome.seconds:.0f} s; best with")
    options = {**outcome.options, **_of_mixture(mixture)}
    words += [f"{name}={value:g}" for name, value in options.items()]
    if mixture.head_share == 1:
        words.append("(the head alone)")
    return " ".join(words)


def _left_out(
    proposal: rules.Proposal, facts: facts_lib.Facts, budget: rules.Budget
) -> str:
    """Returns why a proposal was not tried, and what would let it."""
    what = f"not tried: {proposal.name}"
    for units in proposal.options.get("hidden_units", ()):
        what += f" with {units} hidden units"
    what += ", "
    if proposal.bytes > budget.bytes:
        return what + (
            f"whose weights take {proposal.bytes / 2**30:.1f} GiB; "
            f"--memory_budget={proposal.bytes / 2**30:.0f}GiB would try it"
        )
    whole = proposal.seconds + rules.trial_seconds(facts, proposal)
    minutes = int(whole / 60) + 2
    return what + (
        f"which takes about {whole / 60:.0f} minutes here; "
        f"--time_budget={minutes}m would try it"
    )


def _words(options: dict[str, Any]) -> str:
    return " ".join(f"--{key}={_flag(value)}" for key, value in options.items())


def _flag(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
