"""Runs whose hashes another version of the code has written."""

import json

import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import train
from tfxml.data import inputs
from tfxml.mach import hashing
from tfxml.run import restore, workdir

TINY = config_lib.Config(
    head="mach",
    synthetic_labels=60,
    synthetic_train=130,
    synthetic_test=40,
    hidden_units=(8,),
    batch_size=64,
    num_epochs=1,
    num_repetitions=3,
    num_buckets=20,
    label_capacity=hashing.LARGEST_PRIME,
)


@pytest.fixture
def run(tmp_path):
    """Returns a run as version 1 left it: no primes, and no capacity."""
    train.train(TINY, str(tmp_path))
    _edit(tmp_path / "hashes.json", _to_version_1)
    _edit(tmp_path / "config.json", lambda c: c.pop("label_capacity"))
    return tmp_path


def _edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _to_version_1(content):
    content["version"] = 1
    for one in content["hashes"]:
        assert one.pop("prime") == 2**31 - 1


def _best(path):
    found = restore.restore(str(path), tf.distribute.get_strategy())
    ids = tf.ragged.constant([[1, 5], [3]], tf.int32)
    rows = inputs.features(ids, tf.ones_like(ids, tf.float32))
    return found, found.model.top_k(rows, 60)


def test_version_1_is_read_with_its_own_hashes(run):
    found, (_, labels) = _best(run)
    recorded = json.loads((run / "hashes.json").read_text())["hashes"]
    hashes = [hashing.UniversalHash(**one) for one in recorded]
    assert list(found.model.head.hashes) == hashes
    _edit(run / "config.json", lambda c: c.update(label_capacity=75))
    assert (labels.numpy() == _best(run)[1][1].numpy()).mean() < 0.9


@pytest.mark.slow
def test_training_goes_on_only_with_the_hashes_it_began_with(run):
    with pytest.raises(ValueError, match="label_capacity: 2147483647"):
        train.train(
            config_lib.Config.from_json((run / "config.json").read_text()),
            str(run),
        )
    train.train(TINY, str(run))


def test_a_version_to_come_is_refused(run):
    _edit(run / "hashes.json", lambda c: c.update(version=99))
    with pytest.raises(ValueError, match="version 99"):
        workdir.Workdir(run).read()
