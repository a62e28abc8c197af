"""Between the parameters of an estimator and the config of its run.

# L labels
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import sklearn.utils

from tfxml import config as config_lib

# From here on a sigmoid a label costs more memory than most machines have.
_MANY_LABELS = 300_000


def config_of(
    params: dict[str, Any], num_labels: int | None
) -> config_lib.Config:
    """Returns what is trained.

    Args:
        params: what the estimator's `get_params` returns.
        num_labels: L, which says what head=auto is; None: it is not known.
    """
    head = params["head"]
    if head == "auto":
        is_many = num_labels is not None and num_labels >= _MANY_LABELS
        head = "mach" if is_many else "sigmoid"
    seed = params["random_state"]
    if seed is not None and not isinstance(seed, (int, np.integer)):
        seed = sklearn.utils.check_random_state(seed).randint(2**31)
    fields = {
        "head": head,
        "hidden_units": tuple(params["hidden_units"]),
        "num_epochs": params["num_epochs"],
        "eval_epochs": params["num_epochs"],
        "batch_size": params["batch_size"],
        "learning_rate": params["learning_rate"],
        "dropout": params["dropout"],
        "reranker_passes": params["reranker_passes"],
        "seed": int(seed or 0) % 2**31,
        "min_df": 1,
        **(params["options"] or {}),
    }
    return config_lib.Config(**fields)


def params_of(
    params: dict[str, Any], config: config_lib.Config
) -> dict[str, Any]:
    """Returns the parameters of the estimator that trains a config.

    Args:
        params: the usual ones, which stay where the config does not say.
        config: of a run, whoever made it.
    """
    params = {name: getattr(config, name, of) for name, of in params.items()}
    params |= {"random_state": config.seed, "options": None}
    usual = config_of(params, None)
    params["options"] = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if getattr(config, field.name) != getattr(usual, field.name)
    } or None
    return params
