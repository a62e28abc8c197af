"""Labels' names as rows.

A label's name is often in the texts that have the label, and the only thing
that is known of a label without a training instance. So each name can be one
more training instance: its words, with that label. And its row can be added to
the label's weights in the re-ranker.

# L labels, D features
"""

from __future__ import annotations

import numpy as np

from tfxml import config as config_lib
from tfxml.data import instances as instances_lib
from tfxml.data import split_reader
from tfxml.data.feeding import in_memory
from tfxml.data.text import text_features as text_features_lib
from tfxml.run import text_inputs


def of(
    config: config_lib.Config,
    names: list[str] | None,
    features: text_features_lib.TextFeatures | None,
) -> in_memory.InMemorySource:
    """Returns an instance for each label whose name has a known word.

    Args:
        config: says how much they count, and whether tokens are read.
        names: of the labels, [L].
        features: fitted on the training texts.

    Raises:
        ValueError: for data without texts or without names.
    """
    if names is None or features is None:
        what = "names of its labels" if features else "raw text"
        option = "label_name_weight"
        if not config.label_name_weight:
            option = "reranker_name"
        raise ValueError(
            f"`{option}` must be 0 for data without {what}. "
            f"Received: {option}={getattr(config, option):g}"
        )
    max_tokens = text_inputs.max_tokens(config)
    ids = np.arange(len(names), dtype=np.int32)
    named = instances_lib.TextInstances(names, np.arange(len(names) + 1), ids)
    rows = instances_lib.concatenate(
        split_reader.rows_of_texts(
            [named], features, max_tokens is not None, max_tokens
        )
    )
    known = np.flatnonzero(np.diff(rows.feature_splits))
    return in_memory.InMemorySource(
        instances_lib.select(rows, known), features.num_features, len(names)
    )
