"""MODEL_CARD.md, in the form that model hubs read."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

import tfxml
from tfxml.run import flags, restore

_LIMITS = """## Limits

- It learns which labels people assigned or clicked, not what a text means. It
  repeats their habits, gaps and errors, and those of the years in the data.
- It only knows the {num_labels:,} labels above, and few of them well: {rare}
  Rare labels are found far less often than frequent ones.
- {scores}
- {input_limit}
- A wrong label can mislead a reader: hide a document from those who search for
  it, show it to those whom it does not concern, or, on texts about people, say
  of them what is not true. Where a label decides about somebody, let a person
  decide, show the scores, and let what is wrong be reported and put right.
- It was evaluated on instances like those it was trained on. On others its
  figures do not hold; measure before use.
"""

_RERANKED_SCORES = (
    " The best labels' scores are mixed with the margins of linear "
    "classifiers, to rank by."
)
_TEXT_LIMIT = (
    "It reads a bag of words{ngrams}: word order beyond that, tables and "
    "images are lost, and words that were not in the training split say "
    "nothing."
)
_HASHED_LIMIT = (
    "It reads a bag of hashed words{ngrams}: word order beyond that, tables "
    "and images are lost, and different words can fall into one feature."
)
_FEATURES_LIMIT = (
    "It reads the {num_features:,} features of its data set, made as they were "
    "made there; other features say nothing."
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
        run: what `source.read` returns.
        metrics: what `source.metrics` returns.
        output: the folder of the export.
        name: what the model is called.
        use: how this export is run, in Markdown.
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
    path.write_text("\n".join(sections))
    return path


def _header(run, metrics: dict, name: str) -> str:
    """Returns the YAML that hubs index, each value written as JSON."""
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
    body = "".join(f"{key}: {json.dumps(one)}\n" for key, one in lines.items())
    return f"---\n{body}---\n"


def _summary(run) -> str:
    config, facts = run.config, run.facts
    reads = "raw text" if facts.is_text else "sparse features"
    weights = sum(
        int(np.prod(one.shape)) for one in run.model.named_variables().values()
    )
    head = run.model.head.describe()
    if config.reranker_passes:
        head += (
            f", and a re-ranker for the best {config.num_candidates} labels, a "
            "linear classifier each"
        )
    hidden = "none (linear)"
    if run.model.encoders:
        hidden = run.model.encoders[0].describe()
    num_left = facts.num_labels - len(run.model.head.dropped)
    return (
        f"Ranks {num_left:,} labels for {reads}: {head}; "
        f"encoder: {hidden}; {weights:,} parameters. Made with tfxml "
        f"{tfxml.__version__}."
    )


def _data(run) -> str:
    facts, counts = run.facts, run.label_counts
    return (
        f"{_data_name(run)}: {facts.num_train:,} training instances, "
        f"{facts.num_features:,} features, {facts.num_labels:,} labels, "
        f"{counts.sum() / facts.num_train:.2f} labels an instance. "
        f"{_rare(counts)}"
    )


def _metrics(run, metrics: dict) -> str:
    keys = [key for key in run.config.metric_keys() if key in metrics]
    if not keys:
        return "The run holds no evaluation."
    cells = " | ".join(f"{metrics[key]:.2f}" for key in keys)
    return (
        f"In percent, on the {_split(run)} split, of the weights before any "
        f"rounding to fewer bits:\n\n| {' | '.join(keys)} |\n"
        f"|{' --- |' * len(keys)}\n| {cells} |"
    )


def _limits(run) -> str:
    config, facts = run.config, run.facts
    scores = run.model.head.score_note
    if config.reranker_passes:
        scores += _RERANKED_SCORES
    if not facts.is_text:
        limit = _FEATURES_LIMIT.format(num_features=facts.num_features)
    else:
        grams = f" and of runs of up to {config.ngrams} words"
        limit = (_HASHED_LIMIT if config.hash_buckets else _TEXT_LIMIT).format(
            ngrams=grams if config.ngrams > 1 else ""
        )
    return _LIMITS.format(
        num_labels=facts.num_labels,
        rare=_rare(run.label_counts),
        scores=scores,
        input_limit=limit,
    )


def _rare(counts: np.ndarray) -> str:
    never, few = int((counts == 0).sum()), int((counts < 10).sum())
    return (
        f"{few:,} of them have fewer than 10 training instances, {never:,} "
        "have none."
    )


def _data_name(run) -> str:
    return pathlib.Path(run.facts.data_dir).name or "generated"


def _split(run) -> str:
    if run.config.validation_fraction:
        return "validation"
    wanted = run.config.eval_split
    return "evaluation" if wanted == "auto" else wanted
