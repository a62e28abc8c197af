"""The split that a trained run is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tfxml import config as config_lib
from tfxml.data import arrays
from tfxml.data.feeding import pipeline
from tfxml.data.formats import folder
from tfxml.data.text import text_features
from tfxml.run import generated, limits, splits
from tfxml.run import workdir as workdir_lib


def read(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    split: str,
    features: text_features.TextFeatures | None,
    label_names: list[str] | None = None,
) -> tuple[pipeline.Source, np.ndarray | None]:
    """Returns a split of a trained run's data, and its pairs not scored.

    An empty `split` is the one that training evaluated. Labels that have
    another order than the run's `label_names` are mapped by their names.
    """
    if not split and config.validation_fraction:
        split = "validation"
    if not facts.data_dir:
        return generated.read(config, split or "test"), None
    if facts.data_dir == arrays.IN_MEMORY:
        raise ValueError(
            "`data_dir` must be given for a run that was trained on arrays in "
            "memory. Received: none"
        )
    source_folder = folder.detect(facts.data_dir, config)
    source_folder = _with_labels(source_folder, label_names)
    _check_sizes(facts, source_folder)
    if split != "validation":
        split = split or choose(config, source_folder.splits)
        source, pairs = splits.scored_split(
            config, source_folder, split, features
        )
        limits.check_evaluation(source, split, facts.data_dir)
        return source, pairs
    if not config.validation_fraction:
        raise ValueError(
            "`split` must be one of the folder's splits: "
            f"{source_folder.splits}. Received: {split=}, of a run that "
            "held nothing out"
        )
    train, _ = splits.read_split(config, source_folder, "train", features)
    return splits.hold_out(config, train)[1], None


def _with_labels(
    source_folder: folder.Folder, label_names: list[str] | None
) -> folder.Folder:
    """Returns a folder whose label ids are those of the run.

    Raises:
        ValueError: for a prepared folder with other labels, whose ids stand in
            its records, and where names do not tell labels apart.
    """
    if not label_names:
        return source_folder
    here = source_folder.label_names()
    if here is None or here == label_names:
        return source_folder
    is_told_apart = len(set(label_names)) == len(label_names)
    if source_folder.format == "records" or not is_told_apart:
        pairs = zip(label_names, here, strict=False)
        label = next(
            (i for i, (one, other) in enumerate(pairs) if one != other),
            min(len(label_names), len(here)),
        )
        raise ValueError(
            "`data_dir` must hold the labels of the run in their order, for "
            "it is prepared or the names repeat. Received: data_dir="
            f"{source_folder.path}, whose labels differ from label {label} on"
        )
    print("labels    of other ids than the run's are mapped by their names")
    return source_folder.with_labels(label_names)


def _check_sizes(
    facts: workdir_lib.Facts, source_folder: folder.Folder
) -> None:
    num_features = source_folder.num_features or facts.num_features
    if (source_folder.num_labels, num_features) != (
        facts.num_labels,
        facts.num_features,
    ):
        raise ValueError(
            f"`data_dir` must hold {facts.num_labels} labels and "
            f"{facts.num_features} features, as the run's data did. "
            f"Received: {facts.data_dir}, with {source_folder.num_labels} "
            f"labels and {num_features} features"
        )


def choose(config: config_lib.Config, available: Sequence[str]) -> str:
    """Returns the split to evaluate on, of those available."""
    if config.eval_split != "auto":
        wanted = config.eval_split
    elif tuple(available) == ("train",):
        wanted = "train"
    else:
        wanted = "test" if "test" in available else "dev"
    if wanted not in available:
        raise ValueError(
            f"`eval_split` must be one of {tuple(available)}. "
            f"Received: eval_split={config.eval_split!r}"
        )
    return wanted
