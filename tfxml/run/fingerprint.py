"""The fingerprint of a run's data: sizes, and hashes of their contents.

It depends on the rows, not on files: data that were moved or prepared have the
same fingerprint. Feature values are left out, because for text their last bits
depend on the machine.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import tensorflow as tf

from tfxml.data.feeding import pipeline

_SAMPLE = 1024  # rows of a split that are hashed, evenly spaced


def of(
    train: pipeline.Source,
    evaluation: pipeline.Source,
    label_counts: np.ndarray,
    label_names: list[str] | None,
) -> dict[str, int | str]:
    """Returns the fingerprint: a number or a hash by readable name."""
    return {
        "training instances": train.num_instances,
        "evaluation instances": evaluation.num_instances,
        "features": train.num_features,
        "labels": train.num_labels,
        "label names": _digest(json.dumps(label_names).encode()),
        "label frequencies": _digest(np.asarray(label_counts, "<i8").tobytes()),
        "training rows": _digest_of_rows(train),
        "evaluation rows": _digest_of_rows(evaluation),
    }


def differences(run: dict, data: dict) -> list[str]:
    """Returns how data differ from those of a run; empty: not at all."""
    differing = []
    for name, value in run.items():
        if value == data[name]:
            continue
        if isinstance(value, int):
            differing.append(
                f"{data[name]:,} {name} where the run has {value:,}"
            )
        else:
            differing.append(f"other {name}")
    return differing


def _digest_of_rows(source: pipeline.Source) -> str:
    num_rows = min(source.num_instances, _SAMPLE)
    indices = np.linspace(0, source.num_instances - 1, num_rows).astype(
        np.int64
    )
    inputs, label_ids = source.rows(tf.constant(indices))
    contents = []
    for name, rows in sorted({**inputs, "label_ids": label_ids}.items()):
        if rows.dtype.is_floating:
            continue
        values = np.asarray(rows.flat_values, "<i8")
        splits = np.asarray(rows.row_splits, "<i8")
        contents += [name.encode(), splits.tobytes(), values.tobytes()]
    return _digest(b"".join(contents))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
