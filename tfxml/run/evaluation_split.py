"""The split that a trained run is evaluated on."""

from __future__ import annotations

from collections.abc import Sequence

from tfxml import config as config_lib
from tfxml.data import arrays
from tfxml.data.feeding import pipeline
from tfxml.data.formats import data_folder, folder
from tfxml.data.text import text_features
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.run import generated, limits, paths, splits
from tfxml.run import workdir as workdir_lib


def read(
    config: config_lib.Config,
    facts: workdir_lib.Facts,
    split: str,
    features: text_features.TextFeatures | None,
    label_names: list[str] | None = None,
) -> tuple[pipeline.Source, exclusions_lib.Exclusions]:
    """Returns a split of a trained run's data, and what answers leave out.

    An empty `split` is the one that training evaluated. Labels that have
    another order than the run's `label_names` are mapped by their names.
    """
    if not split and config.validation_fraction:
        split = "validation"
    if not facts.data_dir:
        rows = generated.read(config, split or "test")
        return rows, exclusions_lib.NOTHING
    if facts.data_dir == arrays.IN_MEMORY:
        raise ValueError(
            "`data_dir` must be given for a run that was trained on arrays in "
            "memory. Received: none"
        )
    where = paths.local(facts.data_dir, "data_dir")
    source_folder = folder.detect(where, config)
    source_folder = _with_labels(source_folder, label_names)
    _check_sizes(facts, source_folder)
    if split != "validation":
        split = split or choose(config, source_folder.splits)
        source, exclusions = splits.scored_split(
            config, source_folder, split, features
        )
        limits.check_evaluation(source, split, facts.data_dir)
        return source, exclusions
    if not config.validation_fraction:
        raise ValueError(
            "`split` must be one of the folder's splits: "
            f"{source_folder.splits}. Received: {split=}, of a run that "
            "held nothing out"
        )
    train, _ = splits.read_split(config, source_folder, "train", features)
    held_out = splits.hold_out(config, train)[1]
    return held_out, splits.exclusions_of(config, held_out)


def _with_labels(
    source_folder: data_folder.Folder, label_names: list[str] | None
) -> data_folder.Folder:
    """Returns a folder whose label ids are those of the run.

    Raises:
        ValueError: if the labels differ and the folder is prepared, so that
            its records have the ids, or if two labels have the same name.
    """
    if not label_names:
        return source_folder
    folder_names = source_folder.label_names()
    if folder_names is None or folder_names == label_names:
        return source_folder
    are_names_distinct = len(set(label_names)) == len(label_names)
    if source_folder.format == "records" or not are_names_distinct:
        pairs = zip(label_names, folder_names, strict=False)
        label = next(
            (
                i
                for i, (run_name, folder_name) in enumerate(pairs)
                if run_name != folder_name
            ),
            min(len(label_names), len(folder_names)),
        )
        raise ValueError(
            "`data_dir` must hold the labels of the run in their order, for "
            "it is prepared or the names repeat. Received: data_dir="
            f"{source_folder.path}, whose labels differ from label {label} on"
        )
    print("labels    have other ids than in the run: mapped by their names")
    return source_folder.with_labels(label_names)


def _check_sizes(
    facts: workdir_lib.Facts, source_folder: data_folder.Folder
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
        split = config.eval_split
    elif tuple(available) == ("train",):
        split = "train"
    else:
        split = "test" if "test" in available else "dev"
    if split not in available:
        raise ValueError(
            "`eval_split` must be auto, or a split of the data: "
            f"{', '.join(available)}. "
            f"Received: eval_split={config.eval_split}"
        )
    return split
