"""Reads the splits of a data set as a config says."""

from __future__ import annotations

import dataclasses

from tfxml import config as config_lib
from tfxml.data import bad_rows, data_errors, data_set, own_labels, split_reader
from tfxml.data.catalogue import named_sets
from tfxml.data.feeding import in_memory, pipeline, subset
from tfxml.data.formats import data_folder, read_options
from tfxml.data.records import preparing, record_files, record_source
from tfxml.data.text import text_features as text_features_lib
from tfxml.evaluation import exclusions as exclusions_lib
from tfxml.run import remote, text_inputs


def settings(config: config_lib.Config, is_text: bool) -> dict:
    """Returns the settings that turn the data into rows."""
    if not is_text:
        return {"normalize_rows": config.normalize_rows}
    of_tokens = {}
    reads_tokens = text_inputs.max_tokens(config) is not None
    if reads_tokens and config.token_units == "subwords":
        of_tokens = {"num_subwords": config.num_subwords}
    of_ngrams = {}
    if config.ngrams > 1:
        of_ngrams = {"ngram_weight": config.ngram_weight}
    of_idf = {}
    if config.idf_power != 1:
        of_idf = {"idf_power": config.idf_power}
    return {
        **of_tokens,
        **of_ngrams,
        **of_idf,
        "unicode_normalization": config.unicode_normalization,
        "ngrams": config.ngrams,
        # Hashing keeps no vocabulary that rare terms could be dropped from.
        "min_df": 1 if config.hash_buckets else config.min_df,
        "max_features": config.max_features or None,
        "sublinear_tf": config.sublinear_tf,
        "use_idf": config.use_idf,
        "hash_buckets": config.hash_buckets or None,
    }


def named_set(name: str, data_dir: str) -> data_folder.Folder:
    """Returns a data set of the catalogue; downloads it if missing."""
    entry = named_sets.entry_of(name)
    named = named_sets.ensure(entry, data_dir or f"data/{name}")
    remote.publish(named.path)
    for difference in named_sets.differences(entry, named):
        print(f"data      differs from the repository's table: {difference}")
    return named


def text_features(
    config: config_lib.Config,
    source: data_set.DataSet,
    fitted: text_features_lib.TextFeatures | None = None,
) -> text_features_lib.TextFeatures | None:
    """Returns the text features of a data set; None for data without text.

    Prepared data have their own. Else they are `fitted`, if given, or are
    fitted on the training split.
    """
    if source.format == "records":
        _check_prepared(config, source)
        return preparing.load_text_features(source.path)
    if source.num_features is not None:
        return None
    if fitted is not None:
        return fitted
    print("fitting   text features on the training split")
    try:
        return split_reader.fit_text_features(
            source,
            bad_rows.BadRows(config.bad_rows),
            **settings(config, is_text=True),
        )
    except data_errors.DataError:
        raise
    except ValueError as error:
        raise data_errors.DataError(
            source.path,
            f"no feature in the training texts that can be read ({error})",
            "words of at least two letters or digits that occur in at least "
            "--min_df texts",
        ) from error


def _check_prepared(
    config: config_lib.Config, source: data_set.DataSet
) -> None:
    manifest = record_files.read_manifest(source.path)
    needed = settings(config, manifest["is_text"])
    prepared = manifest["settings"]
    if prepared != needed:
        raise ValueError(
            "`data_dir` must have been prepared with the settings of the run, "
            f"{needed}. Received: data_dir={source.path}, with {prepared}"
        )
    reading = manifest.get("reading", {})
    title_weight = reading.get("title_weight", 1)
    if title_weight != config.title_weight:  # that requests are read with
        raise ValueError(
            "`title_weight` must be as the data were prepared. Received: "
            f"title_weight={config.title_weight} and data_dir={source.path}, "
            f"prepared with {title_weight}"
        )
    for name, value in read_options.given(config).items():
        if reading.get(name) != value:
            raise ValueError(
                f"`{name}` must be as the data were prepared, or left out. "
                f"Received: {name}={value!r} and data_dir={source.path}, "
                f"prepared with {reading or 'the defaults'}"
            )


def _has_tokens(
    config: config_lib.Config, source: data_set.DataSet, manifest: dict
) -> bool:
    """Tells whether the model reads the tokens of prepared data.

    Raises:
        ValueError: if it does, but they were not prepared, or cut differently.
    """
    max_tokens = text_inputs.max_tokens(config)
    if max_tokens is None:
        return False
    prepared = manifest.get("tokens")
    if prepared is None or prepared["max_tokens"] != max_tokens:
        raise ValueError(
            f"`data_dir` must have been prepared with encoder={config.encoder} "
            f"and max_tokens={max_tokens}. Received: "
            f"data_dir={source.path}, with "
            + ("no tokens" if prepared is None else f"{prepared}")
        )
    return True


def read_split(
    config: config_lib.Config,
    source: data_set.DataSet,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_mapped: bool = False,
) -> tuple[pipeline.Source, int]:
    """Returns a split, and how many bad rows were skipped.

    Prepared data stay on disk; others are read into memory.
    """
    if source.format == "records":
        facts = record_files.read_manifest(source.path)
        skipped = sum(facts["splits"][split]["bad_rows"].values())
        with_tokens = _has_tokens(config, source, facts)
        records = record_source.RecordSource(
            source.path, split, is_mapped, with_tokens
        )
        return records, skipped
    bad = bad_rows.BadRows(config.bad_rows)
    max_tokens = text_inputs.max_tokens(config)
    names = source.label_names() if features is not None else None
    instances = split_reader.read(
        source,
        split,
        features,
        config.normalize_rows,
        bad,
        with_tokens=max_tokens is not None,
        max_tokens=max_tokens,
        own_labels=own_labels.OwnLabels(names) if names else None,
    )
    print(bad.report(), end="")
    num_features = source.num_features
    if features is not None:
        num_features = features.num_features
    if num_features is None:
        raise ValueError(
            "`features` must be given for text. Received: None, of "
            f"{source.path}"
        )
    rows = in_memory.InMemorySource(instances, num_features, source.num_labels)
    return rows, bad.total


def scored_split(
    config: config_lib.Config,
    source: data_set.DataSet,
    split: str,
    features: text_features_lib.TextFeatures | None,
    is_mapped: bool = False,
) -> tuple[pipeline.Source, exclusions_lib.Exclusions]:
    """Returns a split, and what is left out of the answers to it."""
    rows, skipped = read_split(config, source, split, features, is_mapped)
    if skipped and source.has_pairs(split):
        raise ValueError(
            "`bad_rows` must be error for a split with pairs that are not "
            "scored, which name rows by number. Received: bad_rows=skip, "
            f"with {skipped} rows skipped in {split}"
        )
    unscored = exclusions_lib.Exclusions(source.filter_pairs(split))
    return rows, exclusions_of(config, rows, unscored)


def exclusions_of(
    config: config_lib.Config,
    rows: pipeline.Source,
    others: exclusions_lib.Exclusions = exclusions_lib.NOTHING,
) -> exclusions_lib.Exclusions:
    """Returns what is left out of the answers to some rows.

    Args:
        config: says whether labels that texts are named after are.
        rows: of a split.
        others: what is left out besides.

    Raises:
        ValueError: if it is not known what rows are named after.
    """
    found = None
    if config.drop_own_labels:
        found = rows.own_labels()
        if found is None:
            raise ValueError(
                "`drop_own_labels` must be False for data other than texts "
                "that the run reads itself, and names of labels. Received: True"
            )
    return dataclasses.replace(others, own_labels=found)


def hold_out(
    config: config_lib.Config, train: pipeline.Source
) -> tuple[subset.SubsetSource, subset.SubsetSource]:
    """Returns the training split without a random part, and that part."""
    train_rows, held_out_rows = split_reader.hold_out(
        train.num_instances, config.validation_fraction, config.seed
    )
    return (
        subset.SubsetSource(train, train_rows),
        subset.SubsetSource(train, held_out_rows),
    )
