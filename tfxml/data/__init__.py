"""Readers, text features, the generated data set and how all of it is fed.

Public are the functions in `PUBLIC`, which make batches for heads, `Trainer`
and Keras from data in memory; they are imported when they are first used.
"""

from __future__ import annotations

import importlib

PUBLIC = (
    "from_csr",
    "from_text",
    "from_generator",
    "from_dataset",
    "fit_text_features",
    "label_priors",
)


def __getattr__(name: str):
    if name not in PUBLIC:
        raise AttributeError(f"module 'tfxml.data' has no attribute {name!r}")
    return getattr(importlib.import_module("tfxml.data.own_pipelines"), name)


def __dir__() -> list[str]:
    return list(PUBLIC)
