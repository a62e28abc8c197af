"""MODEL_CARD.md, in the form that model hubs read."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

import tfxml
from tfxml.models import answering
from tfxml.run import fitted_scores, flags, restore

_LIMITS = """## Limits

- The model has learnt which labels people assigned or clicked, not what a text
  means. It reproduces their habits, gaps and errors, as of the time the data
  were collected.
- It knows only the {num_labels:,} labels above, and most of them poorly: {rare}
  It finds rare labels far less often than frequent ones.
- {scores}
- {input_limit}
- A wrong label does harm: it can hide a document from those who search for it,
  show it to the wrong readers or, in texts about people, state something false
  about them. Where a label affects somebody, let a person decide, show the
  scores, and give people a way to report and correct errors.
- It was evaluated on instances like those it was trained on. The metrics do not
  carry over to other data; measure before use.
"""

_RERANKED_SCORES = (
    " The re-ranker adds the margins of linear classifiers to the best "
    "labels' scores, for ranking."
)
_TEXT_LIMIT = (
    "It reads a bag of words{ngrams}: further word order, tables and images "
    "are lost, and words that are not in the training split are ignored."
)
_HASHED_LIMIT = (
    "It reads a bag of hashed words{ngrams}: further word order, tables and "
    "images are lost, and different words can share a feature."
)
_TITLES = (
    " In training a title counted {times} times: write it so often before the "
    "rest of a text, with spaces between."
)
_OWN_LABELS = (
    " A text is never answered with the label that it is named after, of the "
    "labels whose names it begins with the longest. Features do not say which "
    "that is: where the model is given them, ask for one label more, and drop "
    "the page's own."
)
_FEATURES_LIMIT = (
    "It reads the {num_features:,} features of its data set, which must be "
    "computed in the same way; it knows no other features."
)


def write(
    run: restore.TrainedRun,
    metrics: dict[str, float],
    output: str | pathlib.Path,
    name: str,
    use: str,
) -> pathlib.Path:
    """Writes the card; returns its path.

    Args:
        run: what `checked_run.read` returns.
        metrics: what `checked_run.metrics` returns.
        output: the folder of the export.
        name: of the model.
        use: how to run this export, in Markdown.
    """
    path = pathlib.Path(output) / "MODEL_CARD.md"
    sections = [
        _header(run, metrics, name),
        f"# {name}\n\n{_summary(run)}\n",
        f"## Use\n\n{use}\n",
        f"## Data\n\n{_data(run)}\n",
        f"## Metrics\n\n{_metrics(run, metrics)}\n",
        _limits(run),
        "## Training\n\n```sh\npython -m tfxml.train --flagfile=flags.cfg\n"
        f"```\n\n`flags.cfg`:\n\n```\n{flags.to_flagfile(run.config)}```\n",
    ]
    path.write_text("\n".join(sections), encoding="utf-8")
    return path


def _header(run, metrics: dict, name: str) -> str:
    """Returns the YAML front matter that hubs index, its values as JSON."""
    reported = [
        {"type": key, "name": key, "value": round(metrics[key], 2)}
        for key in run.config.metric_keys()
        if key in metrics
    ]
    lines: dict[str, Any] = {
        "library_name": "keras",
        "tags": ["tfxml", "extreme-multi-label-classification"],
    }
    if run.facts.is_text:
        lines["pipeline_tag"] = "text-classification"
    if reported:
        task = {"type": "multi-label-classification"}
        lines["model-index"] = [
            {
                "name": name,
                "results": [
                    {
                        "task": task,
                        "dataset": {
                            "name": _data_name(run),
                            "type": _data_name(run),
                            "split": _split(run),
                        },
                        "metrics": reported,
                    }
                ],
            }
        ]
    body = "".join(
        f"{key}: {json.dumps(value)}\n" for key, value in lines.items()
    )
    return f"---\n{body}---\n"


def _summary(run) -> str:
    config, facts = run.config, run.facts
    reads = "raw text" if facts.is_text else "sparse features"
    weights = sum(
        int(np.prod(weight.shape))
        for weight in run.model.named_variables().values()
    )
    head = run.model.head.describe()
    if config.reranker_passes:
        head += (
            f", and a re-ranker of linear classifiers for the best "
            f"{config.num_candidates} labels"
        )
    hidden = "none (linear)"
    if run.model.encoders:
        hidden = run.model.encoders[0].describe()
    num_answered = facts.num_labels - len(run.model.head.dropped)
    return (
        f"Ranks {num_answered:,} labels for {reads}: {head}; "
        f"encoder: {hidden}; {weights:,} parameters. Trained with tfxml "
        f"{tfxml.__version__}."
    )


def _data(run) -> str:
    facts, counts = run.facts, run.label_counts
    return (
        f"{_data_name(run)}: {facts.num_train:,} training instances, "
        f"{facts.num_features:,} features, {facts.num_labels:,} labels, "
        f"{counts.sum() / facts.num_train:.2f} labels per instance. "
        f"{_rare(counts)}"
    )


def _metrics(run, metrics: dict) -> str:
    keys = [key for key in run.config.metric_keys() if key in metrics]
    if not keys:
        return "The run has not been evaluated."
    cells = " | ".join(f"{metrics[key]:.2f}" for key in keys)
    return (
        f"In percent, on the {_split(run)} split, with float32 weights:\n\n"
        f"| {' | '.join(keys)} |\n"
        f"|{' --- |' * len(keys)}\n| {cells} |"
    )


def _limits(run) -> str:
    config, facts = run.config, run.facts
    scores = run.model.head.score_note
    if config.reranker_passes:
        scores += _RERANKED_SCORES
    if run.fitted is not None:
        scores = _fitted(run.fitted)
    scores += _answered(run.model.answering)
    if not facts.is_text:
        limit = _FEATURES_LIMIT.format(num_features=facts.num_features)
    else:
        grams = f" and of n-grams of up to {config.ngrams} words"
        limit = (_HASHED_LIMIT if config.hash_buckets else _TEXT_LIMIT).format(
            ngrams=grams if config.ngrams > 1 else ""
        )
        if config.title_weight > 1:
            limit += _TITLES.format(times=config.title_weight)
        if config.drop_own_labels:
            limit += _OWN_LABELS
    return _LIMITS.format(
        num_labels=facts.num_labels,
        rare=_rare(run.label_counts),
        scores=scores,
        input_limit=limit,
    )


def _fitted(fitted: fitted_scores.FittedScores) -> str:
    """Returns what the card says of scores that were fitted."""
    report = fitted.report
    scores = "Scores are not calibrated."
    if fitted.calibration is not None:
        scores = (
            f"Scores are calibrated ({fitted.calibration.method}) on "
            f"{report['num_rows']:,} held-out rows: the expected calibration "
            f"error of the labels answered went from "
            f"{report['before']['ECE@5']:.2f} to "
            f"{report['after']['ECE@5']:.2f} %."
        )
    return f"{scores} Thresholds are fitted there for {report['objective']}."


def _answered(rule: answering.Answering) -> str:
    """Returns what the card says of the labels that are answered."""
    text = (
        " Of the labels ranked, those are answered (`is_answered`) whose score "
        f"is at least {rule.threshold:.4f}"
    )
    if rule.label_ids:
        text += (
            f", or at least a threshold of its own, which "
            f"{len(rule.label_ids):,} labels have"
        )
    if rule.abstain_below > 0:
        text += (
            "; where the best score is below "
            f"{rule.abstain_below:.4f}, none of them is"
        )
    return f"{text}."


def _rare(counts: np.ndarray) -> str:
    num_unseen = int((counts == 0).sum())
    num_rare = int((counts < 10).sum())
    return (
        f"{num_rare:,} of them have fewer than 10 training instances, "
        f"{num_unseen:,} have none."
    )


def _data_name(run) -> str:
    return pathlib.Path(run.facts.data_dir).name or "generated"


def _split(run) -> str:
    if run.config.validation_fraction:
        return "validation"
    split = run.config.eval_split
    return "evaluation" if split == "auto" else split
