"""Reads the Extreme Classification Repository's text: features and labels.

A header `num_instances num_features num_labels`, then one instance a line,
`label,label feature:value feature:value`, both counted from 0
(http://manikvarma.org/downloads/XC/XMLRepository.html).
"""

from __future__ import annotations

from collections.abc import Iterator

from tfxml.data import instances, rows, sparse_text


def read_header(path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    return sparse_text.read_header(
        path, ("num_instances", "num_features", "num_labels")
    )


def read(
    path: str, chunk_bytes: int = sparse_text.CHUNK_BYTES
) -> Iterator[instances.Instances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Labels that an instance repeats count once, features that it repeats are
    summed. Raises DataError with the line of what is wrong.
    """
    num_instances, num_features, num_labels = read_header(path)
    for source, run in sparse_text.read(path, num_instances, chunk_bytes):
        labels = rows.label_rows(
            run.label_splits, run.label_ids, num_labels, source
        )
        features = rows.feature_rows(
            run.feature_splits,
            run.feature_ids,
            run.feature_values,
            num_features,
            source,
        )
        yield instances.Instances(*features, *labels)
