"""Prints what users should know about the data before training."""

from __future__ import annotations

from tfxml.data import remarks
from tfxml.data.feeding import in_memory, pipeline


def say(
    train: pipeline.Source,
    evaluation: pipeline.Source,
    split: str,
    path: str,
    label_names: list[str] | None,
) -> None:
    """Prints remarks on splits that are in memory.

    Those on prepared splits are in the data card.

    Args:
        train: the training split.
        evaluation: the split that is evaluated.
        split: its name.
        path: of the data set.
        label_names: of its labels, or None.

    Raises:
        DataError: if no training instance has a label.
    """
    if not isinstance(train, in_memory.InMemorySource):
        return
    train_census = _census(train)
    lines = remarks.of_training(train_census, path, label_names)
    if isinstance(evaluation, in_memory.InMemorySource):
        lines += remarks.of_evaluation(
            split, _census(evaluation), train_census, label_names
        )
    for line in lines:
        print(f"data      {line}")


def _census(source: in_memory.InMemorySource) -> remarks.Census:
    return remarks.census(
        source.instances, source.num_features, source.num_labels
    )
