"""Labels' names as training instances.

A label's name is often in the texts that have the label, and the only thing
that is known of a label without a training instance. So each name can be one
more training instance: its words, with that label.

# L labels, D features
"""

from __future__ import annotations

import numpy as np

from tfxml import config as config_lib
from tfxml.data import instances as instances_lib
from tfxml.data.feeding import in_memory
from tfxml.data.text import text_features as text_features_lib
from tfxml.data.text import text_rows
from tfxml.run import text_inputs

_BATCH = 1024  # names at a time


def of(
    config: config_lib.Config,
    names: list[str] | None,
    features: text_features_lib.TextFeatures | None,
) -> in_memory.InMemorySource | None:
    """Returns an instance for each label whose name has a known word.

    Args:
        config: says how much they count, and whether tokens are read.
        names: of the labels, [L].
        features: fitted on the training texts.

    Returns:
        The rows; None if the config asks for none.

    Raises:
        ValueError: for data without texts or without names.
    """
    if not config.label_name_weight:
        return None
    if names is None or features is None:
        what = "names of its labels" if features else "raw text"
        raise ValueError(
            f"`label_name_weight` must be 0 for data without {what}. "
            f"Received: label_name_weight={config.label_name_weight:g}"
        )
    max_tokens = text_inputs.max_tokens(config)
    runs = text_rows.stream(
        features,
        (names[i : i + _BATCH] for i in range(0, len(names), _BATCH)),
        max_tokens is not None,
        max_tokens,
    )
    label_ids = np.arange(len(names), dtype=np.int32)
    parts, first = [], 0
    for splits, ids, values, *tokens in runs:
        number = len(splits) - 1
        parts.append(
            instances_lib.Instances(
                splits,
                ids,
                values,
                np.arange(number + 1, dtype=np.int64),
                label_ids[first : first + number],
                None,
                *tokens,
            )
        )
        first += number
    rows = instances_lib.concatenate(parts)
    known = np.flatnonzero(np.diff(rows.feature_splits))
    return in_memory.InMemorySource(
        instances_lib.select(rows, known), features.num_features, len(names)
    )
