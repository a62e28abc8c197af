"""Proposals with weighted features, or with names of labels as instances.

Each is tried beside the proposal as it is, and taken where it is better.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from tfxml import config as config_lib
from tfxml.recipe import mixing, recipe_request, rules, trial
from tfxml.run import datasets

# A dearer recipe must be better by this factor.
WORTH = 1.005
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
    say(
        "features weighted by inverse document frequency: "
        + " ".join(f"P@{k} {value:.2f}" for k, value in by_k(weighted.mixture))
        + f" in {weighted.seconds:.0f} s; "
        + ("weighted" if is_better else "left as they are")
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
    proposal = dataclasses.replace(outcome.proposal, powers=())
    if "reranker_cost" in outcome.options:
        proposal = dataclasses.replace(
            proposal, costs=(outcome.options["reranker_cost"],)
        )
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
        worth = _worth_of_names(named.mixture)
        needed = _worth_of_names(best.mixture)
        is_best = worth > needed * (WORTH if best is outcome else 1)
        say(
            f"names of labels as instances, weight {weight:g}: "
            + " ".join(f"P@{k} {value:.2f}" for k, value in by_k(named.mixture))
            + f" in {named.seconds:.0f} s; "
            + ("learnt from too" if is_best else "left out")
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


def _worth_of_names(mixture: mixing.Mixture) -> float:
    """Returns a mean of the precisions in which P@1 counts twice.

    Names bring labels that few instances have, which raises P@3 and P@5, and
    may put the label that a text is named after before those that it has.
    """
    first, *others = mixture.precisions
    return (2 * first + sum(others)) / (2 + len(others))


def by_k(mixture: mixing.Mixture) -> Iterator[tuple[int, float]]:
    """Returns pairs of k and the precision at it."""
    return zip(mixing.KS, mixture.precisions, strict=True)


def say(line: str) -> None:
    """Prints a line about the recipe."""
    print(f"recipe    {line}")
