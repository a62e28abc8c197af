"""What a run prints: progress, data, model, metrics and costs."""

from __future__ import annotations

import resource
import statistics
import sys
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data.synthetic import synthetic_source
from tfxml.models import contract, extreme_classifier
from tfxml.run import datasets
from tfxml.run import workdir as workdir_lib

_FEW = 20_000  # instances used to compute the optimum


def is_watched() -> bool:
    """Tells whether a person looks on: in a terminal, or in a notebook."""
    return sys.stdout.isatty() or "ipykernel" in sys.modules


def is_shown(verbose: int | str) -> bool:
    """Tells whether a caller from Python wants output; auto: if watched."""
    return is_watched() if verbose == "auto" else bool(verbose)


def describe_data(data: datasets.TrainingData) -> str:
    """Returns a line about the data."""
    facts = data.facts
    seen = int(np.count_nonzero(data.label_counts))
    origin = facts.data_dir or "generated"
    return (
        f"data      {origin}: {facts.num_train:,} training and "
        f"{data.evaluation.num_instances:,} evaluation instances, "
        f"{facts.num_features:,} features, {facts.num_labels:,} labels "
        f"({seen:,} seen, "
        f"{data.label_counts.sum() / facts.num_train:.1f} per instance)"
    )


def describe_label_rows(data: datasets.TrainingData) -> str:
    """Returns a line about the names that are learnt from."""
    number = data.training_rows.num_instances - data.train.num_instances
    return (
        f"data      also learning from the names of {number:,} labels, each an "
        f"instance of weight {data.label_name_weight:g}"
    )


def describe_model(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    model: extreme_classifier.ExtremeClassifier,
) -> str:
    """Returns a line about the model."""
    size = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    encoder = "linear"
    if model.encoders:
        encoder = model.encoders[0].describe()
        number = len(model.encoders)
        encoder += f" x {number} encoders" * (number > 1)
    if model.head.learns == contract.ONE_PASS:
        return f"model     {model.head.describe()}"
    return (
        f"model     {encoder} -> {model.head.describe()}, {size:,} "
        f"parameters, {facts.form} rows, {config.optimizer}"
        + f", head {config.head_optimizer}"
        * (config.head_optimizer != "same")
    )


def describe_epoch(entry: dict, examples_per_second: float = 0.0) -> str:
    """Returns a line about an epoch and its evaluation.

    Args:
        entry: the evaluation.
        examples_per_second: of training; 0: not known.
    """
    line = f"epoch {entry['epoch']}: "
    if "loss" in entry:
        line += f"loss {entry['loss']:.4f}  "
    line += _precisions(entry)
    if examples_per_second:
        line += f"  {examples_per_second:,.0f} examples/s"
    if "steps_applied" in entry:
        line += (
            f"\n{entry['steps_scheduled']} steps scheduled, "
            f"{entry['steps_applied']} applied, at most "
            f"{entry['steps_in_flight_max']} in flight; updates "
            f"{entry['staleness_mean']:.2f} steps late, at most "
            f"{entry['staleness_max']}"
        )
    return line


def describe_checkpoint(entry: dict) -> str:
    """Returns a line about the evaluation of a checkpoint."""
    return f"step {entry['step']}: {_precisions(entry)}"


def _precisions(entry: dict) -> str:
    return "  ".join(
        f"{key} {entry[key]:.2f}" for key in entry if key.startswith("P@")
    )


def describe_optimum(
    data: datasets.TrainingData, ks: Sequence[int], metrics: dict[str, float]
) -> str:
    """Returns the metrics relative to the generated set's optimum, or ''."""
    source = data.evaluation
    if not isinstance(source, synthetic_source.SyntheticSource):
        return ""
    number = min(source.num_instances, _FEW)
    best = source.optimal_precision(
        tf.range(number, dtype=tf.int64),
        [k for k in ks if k <= source.num_labels],
    )
    parts = [
        f"{key} {100 * value:.2f} (the run reached {metrics[key] / value:.1f}% "
        "of it)"
        for key, value in best.items()
    ]
    return f"Bayes optimum of the generated set: {', '.join(parts)}\n"


def describe_zeros(variables: Sequence[tf.Variable]) -> str:
    """Returns which share of the weights is 0, beside the biases."""
    weights = [v.numpy() for v in variables if len(v.shape) >= 2]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    share = zeros / sum(weight.size for weight in weights)
    return f"zeros     {100 * share:.1f} % of the weights"


def describe_cost(step_ms: list[float]) -> str:
    """Returns a line about the costs of a run."""
    step = "not measured"  # where the only call made the graph
    if step_ms:
        step = f"{statistics.median(step_ms):.1f} ms"
    return f"median step {step}, peak memory {peak_memory_gib():.2f} GiB"


def peak_memory_gib() -> float:
    """Returns the peak memory of this process."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return kilobytes * unit / 2**30
