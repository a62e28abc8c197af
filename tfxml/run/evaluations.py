"""Decides from a run's evaluations which is best and when to stop."""

from __future__ import annotations

from tfxml import config as config_lib


def is_best(config: config_lib.Config, history: list[dict]) -> bool:
    """Tells whether the last evaluation is the best; only for validation."""
    if not config.validation_fraction:
        return False
    values = [entry[config.best_metric] for entry in history]
    return all(values[-1] > value for value in values[:-1])


def final_entry(config: config_lib.Config, history: list[dict]) -> dict:
    """Returns the evaluation of the best checkpoint, or of the last."""
    if not config.validation_fraction:
        return history[-1]
    return max(history, key=lambda entry: entry[config.best_metric])


def is_over(config: config_lib.Config, history: list[dict]) -> bool:
    """Tells whether the last evaluations have all failed to improve."""
    patience = config.early_stopping
    if not patience or len(history) <= patience:
        return False
    values = [entry[config.best_metric] for entry in history]
    return max(values[-patience:]) <= max(values[:-patience])
