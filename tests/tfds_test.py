"""The builder on dummy data, and training from what it wrote."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tfxml import config
from tfxml.data import instances
from tfxml.data.formats import folder, tfds_folder, xc_text
from tfxml.run import datasets

tfds = pytest.importorskip("tensorflow_datasets")

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILDER = ROOT / "tfxml" / "data" / "builders" / "extreme_classification"
DUMMY = BUILDER / "dummy_data" / "eurlex-4k"


def builder_class():
    from tfxml.data.builders.extreme_classification import (
        extreme_classification_dataset_builder as module,
    )

    return module.Builder


class BuilderTest(tfds.testing.DatasetBuilderTestCase):
    """tfds.testing's own checks: features, splits, checksums, reading."""

    SPLITS = {"train": 3, "test": 1}
    BUILDER_CONFIG_NAMES_TO_TEST = ["eurlex-4k"]
    EXAMPLE_DIR = str(BUILDER / "dummy_data")
    SKIP_CHECKSUMS = True

    @classmethod
    def setUpClass(cls):
        cls.DATASET_CLASS = builder_class()
        super().setUpClass()


# What `tfds build` runs, without the other commands of its command line, which
# need Apache Beam and mlcroissant.
BUILD = """
import sys
from tensorflow_datasets.scripts.cli import build, cli_utils
parse = cli_utils.make_flags_parser(build.Args, description="build")
parse(sys.argv).execute()
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Returns the folder that `tfds build` writes, run from a clone."""
    out = tmp_path_factory.mktemp("built")
    command = [
        *(sys.executable, "-c", BUILD, "--config=eurlex-4k"),
        f"--data_dir={out}",
        f"--manual_dir={BUILDER / 'dummy_data'}",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=BUILDER, check=True, env=environment)
    return str(out / "extreme_classification" / "eurlex-4k" / "1.0.0")


def test_what_tfds_build_wrote_is_the_data(built):
    found = folder.detect(built)
    assert (found.format, found.num_features, found.num_labels) == (
        "tfds",
        5000,
        3993,
    )
    assert found.split_sizes == {"train": 3, "test": 1}
    runs = instances.concatenate(found.read("train"))
    (expected,) = xc_text.read(str(DUMMY / "train.txt"))
    rows = sorted(_rows(runs))
    assert rows == sorted(_rows(expected))
    ranged = [
        instances.concatenate(found.read("train", wanted=range(i, i + 1)))
        for i in range(3)
    ]
    assert [_rows(one)[0] for one in ranged] == _rows(runs)


def test_training_reads_it(built):
    data = datasets.training_data(config.Config(), built)
    assert data.train.num_instances == 3
    assert data.label_counts.sum() == 3


def test_a_folder_without_sizes_is_refused(built, tmp_path):
    target = tmp_path / "other"
    target.mkdir()
    for path in pathlib.Path(built).iterdir():
        if path.name != "metadata.json":
            (target / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match="num_features and num_labels"):
        tfds_folder.read_shape(str(target))


def _rows(run):
    features = np.split(run.feature_ids, run.feature_splits[1:-1])
    values = np.split(run.feature_values, run.feature_splits[1:-1])
    labels = np.split(run.label_ids, run.label_splits[1:-1])
    return [
        tuple(tuple(column.tolist()) for column in row)
        for row in zip(features, values, labels, strict=True)
    ]
