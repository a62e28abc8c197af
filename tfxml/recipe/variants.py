"""Proposals with other weights of words or features, names, pairs of words.

Each is tried beside the proposal as it is, and taken where it is better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tfxml import config as config_lib
from tfxml.recipe import recipe_request, rules, trial
from tfxml.run import datasets, quiet

# By this factor heavier titles must be better: exports want them so written.
_WORTH_OF_TITLES = 1.002
_WORTH_OF_POWERS = 1.005
# What may be larger than its default, how, and the factor by which it must be
# better.
LARGER: dict[str, tuple[tuple, str, float]] = {
    "title_weight": (
        rules.TITLE_WEIGHTS,
        "titles read {} times",
        _WORTH_OF_TITLES,
    ),
    "idf_power": (
        rules.IDF_POWERS,
        "inverse document frequency to the power of {:g}",
        _WORTH_OF_POWERS,
    ),
}
# Names that cost this much at one weight do not pay at another.
_HOPELESS = 0.95


def with_idf(
    outcome: trial.Outcome, config: config_lib.Config, parts: list[trial.Part]
) -> trial.Outcome:
    """Returns what is better: an outcome, or the same with weighted features.

    Args:
        outcome: without weights by inverse document frequency.
        config: of its trial.
        parts: of the training split.
    """
    options = {"feature_idf": True}
    weighted = trial.judge(outcome.proposal, config.replace(**options), parts)
    is_better = weighted.mixture.quality > outcome.mixture.quality
    _say_tried(
        "features weighted by inverse document frequency",
        weighted,
        "weighted" if is_better else "left as they are",
    )
    seconds = outcome.seconds + weighted.seconds
    if not is_better:
        return dataclasses.replace(outcome, seconds=seconds)
    return dataclasses.replace(
        weighted, options={**options, **weighted.options}, seconds=seconds
    )


def with_names(
    outcome: trial.Outcome,
    config: config_lib.Config,
    parts: list[trial.Part],
    request: recipe_request.Request,
) -> trial.Outcome:
    """Returns what is best: an outcome, or the same with labels' names.

    Args:
        outcome: without them.
        config: of its trial.
        parts: of the training split.
        request: what the recipe must keep to.
    """
    if not outcome.proposal.tries_names or "label_name_weight" in request.given:
        return outcome
    proposal = _settled(outcome)
    best, seconds, last_worth = outcome, outcome.seconds, 0.0
    for weight in rules.NAME_WEIGHTS:
        options = {**outcome.options, "label_name_weight": weight}
        tried = config.replace(**options)
        # Here, so that the names become rows once.
        parts = [
            dataclasses.replace(part, data=datasets.of_config(tried, part.data))
            for part in parts
        ]
        named = trial.judge(proposal, tried, parts)
        seconds += named.seconds
        worth = named.mixture.quality_of_names
        needed = best.mixture.quality_of_names
        is_best = worth > needed * (rules.WORTH if best is outcome else 1)
        _say_tried(
            f"names of labels as instances, weight {weight:g}",
            named,
            "learnt from too" if is_best else "left out",
        )
        if is_best:
            best = dataclasses.replace(
                named,
                proposal=outcome.proposal,
                options={**options, **named.options},
            )
        if worth <= max(last_worth, _HOPELESS * needed):
            break  # a smaller weight is no better
        last_worth = worth
    return dataclasses.replace(best, seconds=seconds)


def with_ngrams(
    outcome: trial.Outcome,
    config: config_lib.Config,
    read: Callable[[config_lib.Config], datasets.TrainingData],
    cut: Callable[[datasets.TrainingData], list[trial.Part]],
) -> trial.Outcome:
    """Returns what is better: an outcome, or the same with pairs of words.

    Args:
        outcome: of single words.
        config: of its trial.
        read: reads the data as a config says.
        cut: returns the parts of data.
    """
    return _read_anew(
        {"ngrams": 2, "ngram_weight": rules.NGRAM_WEIGHT},
        f"pairs of words beside single ones, weight {rules.NGRAM_WEIGHT:g}",
        ("read too", "left out"),
        outcome,
        config,
        read,
        cut,
    )


def with_larger(
    name: str,
    outcome: trial.Outcome,
    config: config_lib.Config,
    read: Callable[[config_lib.Config], datasets.TrainingData],
    cut: Callable[[datasets.TrainingData], list[trial.Part]],
) -> trial.Outcome:
    """Returns what is best: an outcome, or the same with a larger option.

    Args:
        name: of the option: one of `LARGER`.
        outcome: with the option's default.
        config, read, cut: see `with_ngrams`.
    """
    values, words, worth = LARGER[name]
    for value in values:
        before = outcome.data
        outcome = _read_anew(
            {name: value},
            words.format(value),
            ("taken", "left"),
            outcome,
            config,
            read,
            cut,
            worth,
        )
        if outcome.data is before:  # and a larger one is no better
            break
    return outcome


def _read_anew(
    of_text: dict[str, Any],
    what: str,
    verdicts: tuple[str, str],
    outcome: trial.Outcome,
    config: config_lib.Config,
    read: Callable[[config_lib.Config], datasets.TrainingData],
    cut: Callable[[datasets.TrainingData], list[trial.Part]],
    worth: float = 1.0,
) -> trial.Outcome:
    """Returns what is better: an outcome, or that of texts read otherwise.

    Args:
        of_text: the options that read them.
        what: a trial's name.
        verdicts: words for taking it and for leaving it.
        outcome, config, read, cut: see `with_ngrams`.
        worth: by what factor the other must be better.
    """
    options = {**outcome.options, **of_text}
    tried = config.replace(**options)
    with quiet.unless(False):  # remarks on the data have been made
        data = read(tried)
    again = trial.judge(_settled(outcome), tried, cut(data))
    is_better = again.mixture.quality > worth * outcome.mixture.quality
    _say_tried(what, again, verdicts[0] if is_better else verdicts[1])
    seconds = outcome.seconds + again.seconds
    if not is_better:
        return dataclasses.replace(outcome, seconds=seconds)
    return dataclasses.replace(
        again,
        proposal=outcome.proposal,
        options={**options, **again.options},
        seconds=seconds,
        data=data,
    )


def _settled(outcome: trial.Outcome) -> rules.Proposal:
    """Returns an outcome's proposal without what it has decided."""
    proposal = dataclasses.replace(outcome.proposal, powers=())
    if "reranker_cost" in outcome.options:
        proposal = dataclasses.replace(
            proposal, costs=(outcome.options["reranker_cost"],)
        )
    return proposal


def _say_tried(what: str, outcome: trial.Outcome, verdict: str) -> None:
    reached = f"{outcome.mixture.describe()} in {outcome.seconds:.0f} s"
    say(f"{what}: {reached}; {verdict}")


def say(line: str) -> None:
    """Prints a line about the recipe."""
    print(f"recipe    {line}")
