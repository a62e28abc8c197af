"""Reads a run's training and evaluation data as its config says."""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from strategies import addresses
from tfxml import config as config_lib
from tfxml.cpu import host_memory
from tfxml.data import arrays, data_set, inputs
from tfxml.data.catalogue import known_sets
from tfxml.data.feeding import (
    batching,
    in_memory,
    joined,
    pipeline,
    service_batches,
    subset,
)
from tfxml.data.formats import folder
from tfxml.data.text import text_features
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.models import heads, sparse_rows
from tfxml.run import (
    data_remarks,
    early_checks,
    evaluation_split,
    fingerprint,
    generated,
    label_rows,
    limits,
    paths,
    remote,
    splits,
    tensorflow_start,
)
from tfxml.run import workdir as workdir_lib

_FIRST_ROWS = 2000  # evaluated where there is no other split
_SERVICE_SECONDS = 20.0  # until a tf.data service answers
_SAMPLE = 1024  # instances that say how many features a row has


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The splits of a run, and the facts that it stores about its data."""

    train: pipeline.Source
    evaluation: pipeline.Source
    facts: workdir_lib.Facts
    label_counts: np.ndarray  # [L] over `train`
    label_names: list[str] | None
    text_features: text_features.TextFeatures | None
    exclusions: exclusions_lib.Exclusions  # of `evaluation`
    service: str = ""  # the tf.data service that makes training's batches
    label_rows: in_memory.InMemorySource | None = None  # names of labels
    label_name_weight: float = 0.0  # of one of `label_rows`
    is_prepared: bool = False  # whether the rows were made before the run
    has_titles: bool = False  # whether titles are read beside other text

    @property
    def training_rows(self) -> pipeline.Source:
        """What is learnt from: the training split, and names of labels."""
        if self.label_rows is None or not self.label_name_weight:
            return self.train
        return joined.JoinedSource(
            self.train, self.label_rows, self.label_name_weight
        )

    @property
    def fingerprint(self) -> dict:
        """Identifies these data."""
        return fingerprint.of(
            self.train, self.evaluation, self.label_counts, self.label_names
        )


def training_data(
    config: config_lib.Config,
    data_dir: str | arrays.ArrayData,
    strategy: tf.distribute.Strategy | None = None,
    features: text_features.TextFeatures | None = None,
    data_service: str = "",
) -> TrainingData:
    """Reads or generates the splits that a run needs.

    Under a TPU strategy rows are padded to static shapes. Text becomes rows
    by `features`; None: by what is fitted on the training split.
    `data_service` is the tf.data service that makes training's batches.
    """
    tensorflow_start.give_back()  # of what was imported
    is_remote = isinstance(strategy, tf.distribute.ParameterServerStrategy)
    source = _data_set(config, data_dir)
    if data_service:
        service_batches.check_address(data_service)
        _check_served(config, source, is_remote)
        address = data_service.removeprefix(service_batches.PROTOCOL)
        addresses.wait({"the tf.data service": address}, _SERVICE_SECONDS)
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    if is_tpu and config.form == "auto":
        config = config.replace(form="padded")
    # Workers of parameter servers and of a service run operations only.
    is_mapped = is_remote or bool(data_service)
    if source is None:
        data = _synthetic_data(config)
    else:
        data = _folder_data(config, source, is_mapped, features)
    host_memory.give_back()  # of what read them
    limits.check_loss(config, data.train)
    if not (is_remote or is_tpu or tf.config.list_physical_devices("GPU")):
        limits.check_weights(config, data.facts.num_features)
    return _with_label_rows(
        config, dataclasses.replace(data, service=data_service)
    )


def _data_set(
    config: config_lib.Config, data_dir: str | arrays.ArrayData
) -> data_set.DataSet | None:
    """Returns what a run trains on; None: the generated set."""
    if isinstance(data_dir, arrays.ArrayData):
        return data_dir
    data_dir = paths.absolute(data_dir, "data_dir")
    if config.dataset in known_sets.names():
        return splits.named_set(config.dataset, data_dir)
    if early_checks.is_folder(config, data_dir):
        return folder.detect(data_dir, config)
    return None


def _check_served(
    config: config_lib.Config,
    source: data_set.DataSet | None,
    has_servers: bool,
) -> None:
    """Raises unless a tf.data service can make the batches."""
    needed = None
    if has_servers:
        needed = "used without parameter servers, whose workers make their own"
    elif config.dataset in known_sets.names() or not (
        source is None or source.format == "records"
    ):
        needed = (
            "used with prepared data (see `python -m tfxml.prepare`) or the "
            "generated set, for rows in memory stay with their process"
        )
    if needed:
        path = None if source is None else str(source.path)
        raise ValueError(
            f"`data_service` must be {needed}. "
            f"Received: a tf.data service with data_dir={path!r:.200}"
        )


def takes_padded(
    facts: workdir_lib.Facts, strategy: tf.distribute.Strategy
) -> bool:
    """Tells whether batches have static shapes, as a TPU needs them.

    A model takes them in whatever form it was trained.
    """
    is_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
    return is_tpu or facts.form == "padded"


def of_config(config: config_lib.Config, data: TrainingData) -> TrainingData:
    """Returns the data for another model: the rows that it learns from."""
    form = _form(config, data.train)
    return _with_label_rows(
        config,
        dataclasses.replace(
            data,
            facts=dataclasses.replace(data.facts, form=form),
            exclusions=splits.exclusions_of(
                config, data.evaluation, data.exclusions
            ),
        ),
    )


def _with_label_rows(
    config: config_lib.Config, data: TrainingData
) -> TrainingData:
    if config.label_name_weight and data.service:
        raise ValueError(
            "`label_name_weight` must be 0 with a tf.data service, which makes "
            "the batches of the training split alone. Received: "
            f"label_name_weight={config.label_name_weight:g}"
        )
    rows = None
    if config.label_name_weight or config.reranker_name:
        rows = data.label_rows or label_rows.of(
            config, data.label_names, data.text_features
        )
    return dataclasses.replace(
        data, label_rows=rows, label_name_weight=config.label_name_weight
    )


def batches(
    config: config_lib.Config, train: pipeline.Source
) -> batching.Batches:
    """Returns how an epoch of the training split is cut into steps."""
    batch_size = config.batch_size * config.accumulate_steps
    if config.length_window > 1:
        return batching.ByLength(
            train.row_lengths(), batch_size, config.length_window
        )
    if not config.batch_nonzeros:
        return batching.ByInstances(train.num_instances, batch_size)
    return batching.ByNonzeros(
        train.row_lengths(),
        batch_size,
        config.batch_nonzeros * config.accumulate_steps,
    )


def _folder_data(
    config: config_lib.Config,
    source_folder: data_set.DataSet,
    is_mapped: bool,
    fitted: text_features.TextFeatures | None,
) -> TrainingData:
    for note in source_folder.notes:
        print(f"data      {note}")
    limits.check_splits(source_folder.splits, str(source_folder.path))
    limits.check_labels(source_folder.num_labels, str(source_folder.path))
    features = splits.text_features(config, source_folder, fitted)
    train, _ = splits.read_split(
        config, source_folder, "train", features, is_mapped
    )
    names = source_folder.label_names()
    all_train, exclusions = train, exclusions_lib.NOTHING
    held_out: pipeline.Source
    if config.validation_fraction:
        split = "validation"
        train, held_out = splits.hold_out(config, train)
    else:
        split = evaluation_split.choose(config, source_folder.splits)
        if split == "train":
            print("data      no test split: evaluated on training rows")
            held_out = _first_rows(train)
        else:
            held_out, exclusions = splits.scored_split(
                config, source_folder, split, features, is_mapped
            )
    path = remote.name_of(source_folder.path)
    label_counts = train.label_counts()
    limits.check_rows(train, held_out, split, label_counts, path)
    data_remarks.say(all_train, held_out, split, path, names)
    return TrainingData(
        train,
        held_out,
        _facts(config, train, features, path),
        label_counts,
        names,
        features,
        splits.exclusions_of(config, held_out, exclusions),
        is_prepared=source_folder.format == "records",
        has_titles=source_folder.has_titles,
    )


def _first_rows(train: pipeline.Source) -> subset.SubsetSource:
    """Returns the first training rows, for data without any others."""
    num_rows = min(train.num_instances, _FIRST_ROWS)
    return subset.SubsetSource(train, np.arange(num_rows))


def _facts(
    config: config_lib.Config,
    train: pipeline.Source,
    features: text_features.TextFeatures | None,
    data_dir: str,
) -> workdir_lib.Facts:
    """Returns the facts that the run stores about its data."""
    return workdir_lib.Facts(
        train.num_features,
        train.num_labels,
        train.num_instances,
        _form(config, train),
        features is not None,
        data_dir,
        features.num_tokens if features is not None else 0,
    )


def _form(config: config_lib.Config, source: pipeline.Source) -> str:
    """Returns how to multiply rows, judged by the first ones."""
    if heads.HEADS[config.head].reads_rows:
        return "ragged"  # the head looks features up one by one
    if config.form != "auto":
        return config.form
    num_rows = min(source.num_instances, _SAMPLE)
    model_inputs, _ = source.rows(tf.range(num_rows, dtype=tf.int64))
    return sparse_rows.choose_form(
        config.feature_buckets or source.num_features,
        len(model_inputs[inputs.FEATURE_IDS].flat_values) / num_rows,
    )


def _synthetic_data(config: config_lib.Config) -> TrainingData:
    train = generated.read(config, "train")
    split = "validation" if config.validation_fraction else "test"
    held_out = generated.read(config, split)
    return TrainingData(
        train,
        held_out,
        _facts(config, train, None, ""),
        train.label_counts(),
        generated.label_names(train),
        None,
        splits.exclusions_of(config, held_out),
    )
