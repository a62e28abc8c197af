"""Runs that get more labels, in real folders."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import grow
from tfxml.data import inputs
from tfxml.run import restore, train_and_evaluate, workdir

NUM_FEATURES = 12
CONFIG = config_lib.Config(
    head="mach",
    num_repetitions=6,
    num_buckets=30,
    label_capacity=40,
    hidden_units=(24,),
    dropout=0.0,
    batch_size=32,
    num_epochs=3,
    learning_rate=0.05,
)


def _write(folder, num_labels, first_label=0, num_features=NUM_FEATURES):
    """Writes a set in which feature i stands for the labels i, i + D, ..."""
    folder.mkdir()
    rng = np.random.default_rng(num_labels)
    for name in ("train", "test"):
        rows = []
        for label in rng.integers(first_label, num_labels, 300):
            feature, other = label % NUM_FEATURES, label // NUM_FEATURES
            rows.append(f"{label} {feature}:{1 + 2 * other}")
        text = f"{len(rows)} {num_features} {num_labels}\n" + "\n".join(rows)
        (folder / f"{name}.txt").write_text(text + "\n")
    names = [f"label {i}" for i in range(num_labels)]
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    return str(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    base = tmp_path_factory.mktemp("grow")
    train_and_evaluate.train(
        CONFIG, str(base / "run"), _write(base / "old", 20)
    )
    return str(base / "run")


def _scores(path, num_labels):
    """Returns all labels' scores of instances with one feature each."""
    run = restore.restore(path, tf.distribute.get_strategy())
    ids = tf.ragged.constant([[i] for i in range(NUM_FEATURES)], tf.int32)
    values = tf.ones_like(ids, tf.float32)
    scores, labels = run.model.top_k(inputs.features(ids, values), num_labels)
    order = np.argsort(labels.numpy(), axis=1)
    return np.take_along_axis(scores.numpy(), order, axis=1)


def test_old_labels_keep_their_scores(trained, tmp_path):
    new = _write(tmp_path / "new", 30)
    grow.grow(trained, str(tmp_path / "grown"), new)
    before, after = _scores(trained, 20), _scores(tmp_path / "grown", 30)
    assert after.shape == (NUM_FEATURES, 30)
    np.testing.assert_array_equal(after[:, :20], before)


def test_a_grown_run_learns_its_new_labels(trained, tmp_path):
    new, grown = _write(tmp_path / "new", 30), str(tmp_path / "grown")
    grow.grow(trained, grown, new, num_epochs=10)
    before = _share_in_top_3(grown)
    train_and_evaluate.train(workdir.Workdir(grown).read()[0], grown, new)
    assert _share_in_top_3(grown) > before + 0.3


def _share_in_top_3(path):
    """Returns how many new labels are among the 3 best of their feature."""
    order = np.argsort(-_scores(path, 30), axis=1)[:, :3]
    return np.mean([new in order[new % NUM_FEATURES] for new in range(20, 30)])


@pytest.mark.parametrize(
    ("num_labels", "num_features", "found"),
    [(19, 12, "19 labels"), (42, 12, "can take 41"), (30, 13, "13 features")],
)
def test_data_that_do_not_fit_are_refused(
    num_labels, num_features, found, trained, tmp_path
):
    new = _write(tmp_path / "new", num_labels, num_features=num_features)
    with pytest.raises(ValueError, match=found):
        grow.grow(trained, str(tmp_path / "grown"), new)


def test_labels_in_another_order_are_refused(trained, tmp_path):
    new = _write(tmp_path / "new", 30)
    names = [f"label {i}" for i in reversed(range(30))]
    (tmp_path / "new" / "labels.txt").write_text("\n".join(names) + "\n")
    with pytest.raises(ValueError, match="other names"):
        grow.grow(trained, str(tmp_path / "grown"), new)
