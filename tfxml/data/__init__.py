"""Readers, text features, the generated data set, and input pipelines.

The public functions are those in `PUBLIC`. They make batches for heads,
`Trainer` and Keras from data in memory, and are imported on first use.
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
    tensorflow_start = importlib.import_module("tfxml.run.tensorflow_start")
    tensorflow_start.quietly()
    return getattr(importlib.import_module("tfxml.data.own_pipelines"), name)


def __dir__() -> list[str]:
    return list(PUBLIC)
