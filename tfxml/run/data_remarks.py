"""Says what a person should know of the data before they are trained on."""

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

    Prepared splits have theirs on the data card.

    Args:
        train: the training split.
        evaluation: what is evaluated.
        split: the name of what is evaluated.
        path: of the data set.
        label_names: of its labels, or None.

    Raises:
        DataError: if no training instance has a label.
    """
    if not isinstance(train, in_memory.InMemorySource):
        return
    of_train = _census(train)
    lines = remarks.of_training(of_train, path, label_names)
    if isinstance(evaluation, in_memory.InMemorySource):
        lines += remarks.of_evaluation(
            split, _census(evaluation), of_train, label_names
        )
    for line in lines:
        print(f"data      {line}")


def _census(source: in_memory.InMemorySource) -> remarks.Census:
    return remarks.census(
        source.instances, source.num_features, source.num_labels
    )
