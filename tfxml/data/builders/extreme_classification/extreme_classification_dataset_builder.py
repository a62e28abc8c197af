"""A builder with a config for each set of tfxml's catalogue.

cd tfxml/data/builders/extreme_classification
tfds build --config=eurlex-4k --manual_dir=<folder>
"""

from __future__ import annotations

import pathlib

import numpy as np
import tensorflow_datasets as tfds

from tfxml.data.catalogue import known_sets, named_sets


class Builder(tfds.core.GeneratorBasedBuilder):
    """Sparse features and sets of labels of each instance."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put the files of a set, unpacked or as the archive of a mirror, into "
        "<manual_dir>/<name of the config>. A set that is not there is fetched "
        "to that folder from the mirrors in tfxml/data/catalogue.py."
    )
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(
            name=entry.name,
            description=f"{entry.title}. {entry.note}".strip(),
        )
        for entry in known_sets.entries().values()
    ]

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description=(
                "Extreme multi-label classification: ascending feature ids "
                "with their values, and the ascending ids of the labels."
            ),
            homepage=("http://manikvarma.org/downloads/XC/XMLRepository.html"),
            features=tfds.features.FeaturesDict(
                {
                    name: tfds.features.Sequence(tfds.features.Scalar(dtype))
                    for name, dtype in (
                        ("feature_ids", np.int32),
                        ("feature_values", np.float32),
                        ("label_ids", np.int32),
                    )
                }
            ),
            supervised_keys=None,
            metadata=tfds.core.MetadataDict({}),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        name = self.builder_config.name
        data = named_sets.ensure(
            named_sets.entry_of(name), pathlib.Path(dl_manager.manual_dir, name)
        )
        if data.num_features is None:
            raise ValueError(
                "`manual_dir` must hold a set of features, not of raw text. "
                f"Received: {data.path}"
            )
        self.info.metadata["num_features"] = data.num_features
        self.info.metadata["num_labels"] = data.num_labels
        return {
            split: self._generate_examples(data, split) for split in data.splits
        }

    def _generate_examples(self, data, split: str):
        """Yields the instances of a split, by their row."""
        number = 0
        for run in data.read(split):
            for row in range(run.num_instances):
                features = slice(*run.feature_splits[row : row + 2])
                labels = slice(*run.label_splits[row : row + 2])
                yield (
                    number,
                    {
                        "feature_ids": run.feature_ids[features],
                        "feature_values": run.feature_values[features],
                        "label_ids": run.label_ids[labels],
                    },
                )
                number += 1
