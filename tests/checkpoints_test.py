"""Checkpoints are whole or not there, and keep what they should."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxml.training import checkpoints


def _checkpoints(folder, value=0.0, keep=2):
    variable = tf.Variable(value)
    saved = checkpoints.Checkpoints(
        folder, tf.train.Checkpoint(weight=variable), keep
    )
    return variable, saved


def test_restores_what_was_saved(tmp_path):
    variable, saved = _checkpoints(tmp_path, 3.0)
    epoch = {"steps": 2, "loss_sum": 0.5}
    history = [{"step": 7, "epoch": 1, "P@1": 50.0}]
    saved.save(7, {"P@1": 50.0}, False, epoch, history)
    variable.assign(0.0)
    meta = saved.restore(7)
    assert float(variable) == 3.0
    del meta["files"]
    assert meta == {
        "step": 7,
        "metrics": {"P@1": 50.0},
        "is_best": False,
        "epoch": epoch,
        "history": history,
    }


def test_keeps_the_newest_and_the_best(tmp_path):
    _, saved = _checkpoints(tmp_path)
    for step in range(1, 6):
        saved.save(step, {}, is_best=step in (1, 2))
    assert saved.steps() == [2, 4, 5]
    assert (saved.best_step(), saved.latest_step()) == (2, 5)


def test_an_unfinished_checkpoint_is_not_there(tmp_path):
    variable, saved = _checkpoints(tmp_path, 3.0)
    saved.save(1, {}, is_best=False)
    for name in (
        "step_00000002",  # without its marker, as an older one half removed
        ".step_00000002.writing-0123abcd",
        ".step_00000000.removing-0123abcd",
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.index").write_bytes(b"half")
    assert saved.steps() == [1]
    assert (saved.latest_step(), saved.best_step()) == (1, None)
    variable.assign(4.0)
    saved.save(2, {}, is_best=False)
    variable.assign(0.0)
    saved.restore(2)
    assert float(variable) == 4.0
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["step_00000001", "step_00000002"]


def test_an_evaluation_is_added_to_a_checkpoint_that_is_there(tmp_path):
    """Its weights are not written again, so that no moment is without them."""
    variable, saved = _checkpoints(tmp_path, 3.0)
    saved.save(1, {}, is_best=False)
    index = tmp_path / "step_00000001" / "model.index"
    before = index.stat().st_mtime_ns
    saved.save(1, {"P@1": 2.0}, is_best=True)
    assert index.stat().st_mtime_ns == before
    assert (saved.best_step(), saved.restore(1)["metrics"]) == (1, {"P@1": 2.0})
    # What another process has left there gives way.
    variable.assign(5.0)
    _, other = _checkpoints(tmp_path, 5.0)
    other.save(1, {}, is_best=False)
    saved.restore(1)
    assert float(variable) == 5.0


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    _, saved = _checkpoints(tmp_path)
    saved.save(1, {}, is_best=False)
    other = checkpoints.Checkpoints(
        tmp_path, tf.train.Checkpoint(other=tf.Variable([1.0]))
    )
    for restore in (other.restore, other.restore_model):
        with pytest.raises(ValueError, match="does not fit"):
            restore(1)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
@pytest.mark.parametrize(
    "name", ["model.index", "model.data-00000-of-00001", "checkpoint.json"]
)
def test_a_damaged_checkpoint_is_refused(tmp_path, name, damage):
    """Wherever the byte is that was flipped."""
    _, saved = _checkpoints(tmp_path)
    saved.save(1, {}, is_best=False)
    path = tmp_path / "step_00000001" / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
        with pytest.raises((ValueError, FileNotFoundError), match=name[:5]):
            saved.restore(1)
        return
    for place in np.linspace(0, len(content) - 1, 9, dtype=int):
        half = bytearray(content)
        half[place] ^= 1
        path.write_bytes(half if damage == "flip" else content[:place])
        with pytest.raises(ValueError, match=name):
            saved.restore(1)


def _weighted(folder, values):
    weight = keras.Variable(values)
    saved = checkpoints.Checkpoints(
        folder,
        tf.train.Checkpoint(weight=weight),
        weights={"kernel": weight},
    )
    return weight, saved


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, value, dtype):
    good = np.full((3, 2), 1e4)
    weight, saved = _weighted(tmp_path, tf.cast(good, dtype))
    saved.save(1, {}, is_best=False)
    bad = good.copy()
    bad[1, 1] = value
    weight.assign(tf.cast(bad, dtype))
    with pytest.raises(FloatingPointError, match="kernel.*step 1.*learning_r"):
        saved.save(2, {}, is_best=False)
    assert saved.steps() == [1]
    saved.restore(1)
    np.testing.assert_allclose(tf.cast(weight, "float64"), good, rtol=0.01)


def test_weights_that_are_not_finite_are_not_restored(tmp_path):
    weight, saved = _weighted(tmp_path, [np.nan])
    unchecked = checkpoints.Checkpoints(
        tmp_path, tf.train.Checkpoint(weight=weight)
    )
    unchecked.save(1, {}, is_best=False)
    with pytest.raises(ValueError, match="step_00000001: .*not finite: kernel"):
        saved.restore(1)


@pytest.mark.parametrize(
    "name", ["a[1]", "a*?", "a b'\"$", "\u00e4\u4e00", "a\nb", "back\\s", "{x}"]
)
def test_any_folder_name_will_do(tmp_path, name):
    """TensorFlow takes the name of a checkpoint for a pattern."""
    variable, saved = _checkpoints(tmp_path / name, 3.0)
    saved.save(1, {}, is_best=False)
    variable.assign(0.0)
    saved.restore(1)
    assert float(variable) == 3.0
    # Moved, it is read as well.
    shutil.copytree(tmp_path / name, tmp_path / "plain")
    variable, saved = _checkpoints(tmp_path / "plain", 0.0)
    saved.restore(1)
    assert float(variable) == 3.0


def test_a_missing_checkpoint_is_an_error(tmp_path):
    _, saved = _checkpoints(tmp_path / "none")
    assert saved.latest_step() is None
    with pytest.raises(FileNotFoundError, match="step_00000003"):
        saved.restore(3)


def test_meta_is_plain_json(tmp_path):
    _, saved = _checkpoints(tmp_path)
    saved.save(1, {"P@1": 1.5}, is_best=True)
    text = (tmp_path / "step_00000001" / "checkpoint.json").read_text()
    assert json.loads(text)["metrics"] == {"P@1": 1.5}
