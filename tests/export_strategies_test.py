"""Whatever trained a model, its export answers the same."""

import subprocess
import sys

import exporting
import numpy as np
import pytest
import tensorflow as tf

from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run
from tfxml.run import flags, placement, train_and_evaluate

CONFIG = exporting.features_config("mach").replace(dropout=0.0, batch_size=63)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The answers of the export of a model trained on one device."""
    return _answers(tmp_path_factory.mktemp("plain"), None)


def _answers(folder, strategy, where=placement.EVERYWHERE):
    train_and_evaluate.train(
        CONFIG, str(folder / "run"), strategy=strategy, placement=where
    )
    return _exported(folder)


def _exported(folder):
    run = checked_run.read(str(folder / "run"))
    path = serving_model.write(run, folder / "out")
    ids, values = exporting.rows(run)
    model = tf.saved_model.load(str(path))
    found = model.signatures["features"](
        feature_ids=tf.constant(ids),
        feature_values=tf.constant(values),
        k=tf.constant(5),
    )
    return {name: value.numpy() for name, value in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one_device", "mirrored", "central_storage"])
def test_exports_are_the_same(name, trained, tmp_path, mirrored):
    if name == "one_device":
        strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    elif name == "mirrored":
        strategy = mirrored
    else:
        strategy = tf.distribute.experimental.CentralStorageStrategy(
            ["CPU:0", "CPU:1"], "CPU:0"
        )
    _same(_answers(tmp_path, strategy), trained)


@pytest.mark.slow
@pytest.mark.parametrize("partition", placement.PARTITIONS)
def test_models_spread_over_devices(partition, trained, tmp_path, mirrored):
    devices, strategy = ("CPU:0", "CPU:1"), None
    if partition == placement.REPLICAS:
        devices, strategy = (), mirrored
    where = placement.Placement(devices=devices, partition=partition)
    _same(_answers(tmp_path, strategy, where), trained)


@pytest.mark.slow
def test_two_worker_processes(trained, tmp_path):
    recipe = tmp_path / "recipe.cfg"
    recipe.write_text(flags.to_flagfile(CONFIG))
    python = [sys.executable, "-m"]
    done = subprocess.run(
        [
            *[*python, "strategies.launch", "--workers=2", "--"],
            *[*python, "tfxml.train", "--strategy=multi_worker"],
            *[f"--flagfile={recipe}", f"--workdir={tmp_path / 'run'}"],
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "replicas=2" in done.stdout
    _same(_exported(tmp_path), trained)


def _same(found, trained):
    np.testing.assert_allclose(found["scores"], trained["scores"], atol=1e-5)
    exporting.same_ranking(
        found["scores"],
        found["label_ids"],
        trained["scores"],
        trained["label_ids"],
        1e-5,
    )
    assert found["label_names"].shape == trained["label_names"].shape
