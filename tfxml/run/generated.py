"""Splits of the generated set, and the names of its labels."""

from __future__ import annotations

from tfxml import config as config_lib
from tfxml.data.synthetic import synthetic_source

_MOST_NAMES = 1_000_000


def label_names(
    source: synthetic_source.SyntheticSource,
) -> list[str] | None:
    """Returns the label names, or None where they are too many to hold."""
    if source.num_labels > _MOST_NAMES:
        return None
    return [source.label_name(i) for i in range(source.num_labels)]


def read(
    config: config_lib.Config, split: str
) -> synthetic_source.SyntheticSource:
    """Returns a range of the generated instances: train, validation, test."""
    num_train, num_test = config.synthetic_train, config.synthetic_test
    num_held_out = 0
    if config.validation_fraction:
        num_held_out = max(1, int(num_train * config.validation_fraction))
    if num_train - num_held_out < 3:
        raise ValueError(
            "`synthetic_train` must leave at least 3 instances to train on. "
            f"Received: synthetic_train={num_train}, of which "
            f"validation_fraction={config.validation_fraction} holds out "
            f"{num_held_out}"
        )
    ranges = {
        "train": (0, num_train - num_held_out),
        "validation": (num_train - num_held_out, num_held_out),
        "test": (num_train, num_test),
    }
    if split not in ranges:
        raise ValueError(
            f"`split` must be one of {tuple(ranges)}. Received: {split=}"
        )
    first_instance, num_instances = ranges[split]
    return synthetic_source.SyntheticSource(
        num_instances,
        config.synthetic_labels,
        seed=config.synthetic_seed,
        first_instance=first_instance,
        dependence=config.synthetic_dependence,
        exponent=config.synthetic_exponent,
    )
