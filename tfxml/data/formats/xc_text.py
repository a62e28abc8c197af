"""Reads the Extreme Classification Repository's text: features and labels.

A header `num_instances num_features num_labels`, then one instance a line,
`label,label feature:value feature:value`, both counted from 0
(http://manikvarma.org/downloads/XC/XMLRepository.html).
"""

from __future__ import annotations

from collections.abc import Iterator

from tfxml.data import bad_rows, instances
from tfxml.data.formats import (
    read_options,
    row_checks,
    row_grammar,
    sparse_text,
    surveys,
)

ENDING = r"\.txt(?:\.gz)?"
FILES = (r"(?!filter_labels_)(?:.*[_-])?SPLIT" + ENDING,)
EXAMPLE = "train.txt, test.txt (or eurlex_train.txt and the like)"
OPTIONS = ("one_based",)


def survey(
    pieces: surveys.Pieces,
    data_dir: str,
    options: read_options.ReadOptions,
    read_names: surveys.ReadNames,
) -> surveys.Survey:
    """Returns the sizes, as the headers say them."""
    first_ids = row_checks.under_header(options.one_based)
    return surveys.of_headers(
        read_header, pieces, data_dir, first_ids=first_ids
    )


def read_header(path: str) -> tuple[int, int, int]:
    """Returns the numbers of instances, features and labels."""
    num_instances, num_features, num_labels = sparse_text.read_header(
        path, ("num_instances", "num_features", "num_labels")
    )
    return num_instances, num_features, num_labels


def read(
    path: str,
    chunk_bytes: int = sparse_text.CHUNK_BYTES,
    bad: bad_rows.BadRows | None = None,
    wanted: range | None = None,
    first_ids: row_checks.FirstIds = row_checks.FROM_ZERO,
) -> Iterator[instances.Instances]:
    """Yields the instances of a file, gzip if its name ends in .gz.

    Labels that an instance repeats count once, features that it repeats are
    summed.

    Args:
        path: the file.
        chunk_bytes: about how much of the file makes one run.
        bad: what to do about bad rows; None: raise.
        wanted: a run of rows; all of them if None.
        first_ids: the lowest ids of the file.

    Raises:
        DataError: with the line of what is wrong.
    """
    num_instances, num_features, num_labels = read_header(path)
    bad = bad or bad_rows.BadRows()
    for source, run, is_bad in sparse_text.read(
        path, num_instances, chunk_bytes, bad, wanted
    ):

        def check(first, last, source=source, run=run):
            return to_instances(
                row_grammar.cut(run, first, last),
                num_features,
                num_labels,
                source.after(first),
                first_ids,
            )

        yield bad_rows.keep_good(check, is_bad, bad, instances.concatenate)


def to_instances(
    run: row_grammar.Rows,
    num_features: int,
    num_labels: int,
    source: row_checks.Source,
    first_ids: row_checks.FirstIds,
) -> instances.Instances:
    """Returns rows as instances, checked; raises RowError."""
    labels = row_checks.label_rows(
        run.label_splits, run.label_ids, num_labels, source, first_ids.labels
    )
    features = row_checks.feature_rows(
        run.feature_splits,
        run.feature_ids,
        run.feature_values,
        num_features,
        source,
        first_ids.features,
    )
    return instances.Instances(*features, *labels)
