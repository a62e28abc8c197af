"""What tells a run's data from other data: sizes, and sums of what they hold.

It follows from the rows, not from files: data that were moved or prepared are
the same. Values of features are left out, whose last bits depend on the
machine where they come from text.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import tensorflow as tf

from tfxml.data.feeding import pipeline

_SAMPLE = 1024  # rows of a split that are looked at, evenly spaced


def of(
    train: pipeline.Source,
    evaluation: pipeline.Source,
    label_counts: np.ndarray,
    label_names: list[str] | None,
) -> dict[str, int | str]:
    """Returns the fingerprint: words for a person, and a number or a sum."""
    return {
        "training instances": train.num_instances,
        "evaluation instances": evaluation.num_instances,
        "features": train.num_features,
        "labels": train.num_labels,
        "label names": _sum(json.dumps(label_names).encode()),
        "label frequencies": _sum(np.asarray(label_counts, "<i8").tobytes()),
        "training rows": _sum_of_rows(train),
        "evaluation rows": _sum_of_rows(evaluation),
    }


def differences(run: dict, data: dict) -> list[str]:
    """Returns in which way data are not those of a run; none: they are."""
    found = []
    for name, value in run.items():
        if value == data[name]:
            continue
        if isinstance(value, int):
            found.append(f"{data[name]:,} {name} where the run has {value:,}")
        else:
            found.append(f"other {name}")
    return found


def _sum_of_rows(source: pipeline.Source) -> str:
    number = min(source.num_instances, _SAMPLE)
    indices = np.linspace(0, source.num_instances - 1, number).astype(np.int64)
    inputs, label_ids = source.rows(tf.constant(indices))
    pieces = []
    for name, rows in sorted({**inputs, "label_ids": label_ids}.items()):
        if rows.dtype.is_floating:
            continue
        values = np.asarray(rows.flat_values, "<i8")
        splits = np.asarray(rows.row_splits, "<i8")
        pieces += [name.encode(), splits.tobytes(), values.tobytes()]
    return _sum(b"".join(pieces))


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
