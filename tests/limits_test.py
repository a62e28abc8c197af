"""Data and sizes with which no run can begin: said at once, in their words."""

import json

import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import data_errors
from tfxml.run import datasets, limits, train_and_evaluate

CONFIG = config_lib.Config(
    hidden_units=(), num_epochs=1, batch_size=8, min_df=1
)


def _write(folder, rows, num_labels=5):
    for split, lines in rows.items():
        text = "\n".join([f"{len(lines)} 7 {num_labels}", *lines]) + "\n"
        (folder / f"{split}.txt").write_text(text)
    return str(folder)


ROWS = [f"{i % 5} {i % 7}:1" for i in range(20)]


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ({"train": [], "test": ROWS}, "0 training instances"),
        ({"train": ROWS[:1], "test": ROWS}, "1 training instances"),
        ({"train": ROWS[:2], "test": ROWS}, "2 training instances"),
        ({"train": ROWS, "test": []}, "no instance in test"),
        ({"train": [" 1:1"] * 9, "test": ROWS}, "no label in all 9 training"),
    ],
)
def test_too_few_rows(rows, found, tmp_path):
    data_dir = _write(tmp_path, rows)
    with pytest.raises(ValueError, match=found) as raised:
        datasets.training_data(CONFIG, data_dir)
    assert data_dir in str(raised.value)


def test_a_folder_without_a_training_split(tmp_path):
    data_dir = _write(tmp_path, {"test": ROWS})
    with pytest.raises(data_errors.DataError, match="the test split alone"):
        datasets.training_data(CONFIG, data_dir)


@pytest.mark.parametrize("split", ["trn", "tst"])
def test_all_rows_skipped(split, tmp_path):
    good = json.dumps({"title": "one two", "target_ind": [0]})
    bad = json.dumps({"title": "one two", "target_ind": [9]})
    (tmp_path / "lbl.json").write_text('{"title": "x"}\n')
    for name in ("trn", "tst"):
        line = bad if name == split else good
        (tmp_path / f"{name}.json").write_text(f"{line}\n" * 5)
    config = CONFIG.replace(bad_rows="skip")
    with pytest.raises(
        data_errors.DataError, match="that can be read"
    ) as error:
        datasets.training_data(config, str(tmp_path))
    assert error.value.path == str(tmp_path)


def test_texts_without_a_word(tmp_path):
    row = json.dumps({"title": "a . b", "target_ind": [0]})
    (tmp_path / "lbl.json").write_text('{"title": "x"}\n')
    for name in ("trn", "tst"):
        (tmp_path / f"{name}.json").write_text(f"{row}\n" * 5)
    with pytest.raises(data_errors.DataError, match="--min_df texts"):
        datasets.training_data(CONFIG, str(tmp_path))


def test_a_label_id_beyond_all_memory_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "memory_bytes", lambda: 8 << 30)
    data_dir = _write(
        tmp_path, {"train": ROWS, "test": ROWS}, num_labels=2_000_000_000
    )
    with pytest.raises(ValueError, match="label id of 1,999,999,999.*59.6 GiB"):
        datasets.training_data(CONFIG, data_dir)


@pytest.mark.skipif(
    bool(tf.config.list_physical_devices("GPU")),
    reason="weights lie in the memory of the GPU",
)
def test_weights_beyond_all_memory_are_named(tmp_path, monkeypatch):
    data_dir = _write(tmp_path, {"train": ROWS, "test": ROWS})
    config = CONFIG.replace(hidden_units=(10_000_000_000,))
    with pytest.raises(ValueError, match="`hidden_units` must be such that"):
        datasets.training_data(config, data_dir)
    # An optimizer with moments takes as much for each of them.
    config = CONFIG.replace(hidden_units=(1 << 18,))
    num_features = datasets.training_data(config, data_dir).facts.num_features
    there = 2 * 4 * num_features << 18
    monkeypatch.setattr(limits, "memory_bytes", lambda: there)
    for optimizer in ("sgd", "adagrad"):
        limits.check_weights(config.replace(optimizer=optimizer), num_features)
    with pytest.raises(ValueError, match="optimizer=adam, where there are"):
        limits.check_weights(config.replace(optimizer="adam"), num_features)


@pytest.mark.parametrize("fraction", [1e-9, 0.04])
def test_a_tiny_validation_fraction_holds_one_out(fraction, tmp_path):
    data_dir = _write(tmp_path, {"train": ROWS, "test": ROWS})
    for folder, size in ((data_dir, 20), ("", 30)):
        config = CONFIG.replace(
            validation_fraction=fraction,
            synthetic_train=30,
            synthetic_labels=20,
        )
        data = datasets.training_data(config, folder)
        assert data.evaluation.num_instances == 1
        assert data.train.num_instances == size - 1


def test_a_large_validation_fraction_leaves_nothing(tmp_path):
    config = CONFIG.replace(validation_fraction=0.99, synthetic_train=30)
    with pytest.raises(ValueError, match="`synthetic_train` must leave"):
        train_and_evaluate.train(config, str(tmp_path / "run"))


def test_propensities_that_overflow_are_refused_before_training(tmp_path):
    config = CONFIG.replace(propensity_a=1e30, synthetic_train=30)
    with pytest.raises(ValueError, match="`propensity_a` must give"):
        train_and_evaluate.train(config, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_memory_is_that_of_the_container(tmp_path, monkeypatch):
    here = limits.memory_bytes()
    assert 1 << 28 < here < 1 << 50
    for text, wanted in (("1000", 1000), ("max", here), ("9" * 30, here)):
        (tmp_path / "limit").write_text(text + "\n")
        paths = str(tmp_path / "none"), str(tmp_path / "limit")
        monkeypatch.setattr(limits, "_CGROUPS", paths)
        if wanted != here:
            assert limits.memory_bytes() == wanted
        else:
            assert limits.memory_bytes() >= here
