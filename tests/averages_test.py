"""Accumulated gradients and averaged weights, against their definitions."""

import shutil

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.run import restore, train_and_evaluate
from tfxml.training import averages

USUAL = config_lib.Config(
    synthetic_labels=40,
    synthetic_train=230,
    synthetic_test=30,
    hidden_units=(8,),
    dropout=0.0,
    batch_size=64,
    num_epochs=3,
    learning_rate=0.5,
    optimizer="sgd",
    keep_checkpoints=9,
)
PIECES = {"batch_size": 16, "accumulate_steps": 4}


def _trained(path, strategy=None, **words):
    train_and_evaluate.train(
        USUAL.replace(**words), str(path), strategy=strategy
    )
    return runs.tensors(path, "model/")


# --- accumulated gradients --------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        {"form": "compact"},  # gradients of rows
        pytest.param(
            {"form": "compact", "optimizer": "lazy_adam", "epsilon": 1e-2},
            marks=pytest.mark.slow,
        ),
        pytest.param({"form": "padded"}, marks=pytest.mark.slow),
        pytest.param({"form": "dense"}, marks=pytest.mark.slow),
        pytest.param(
            {"head": "mach", "num_repetitions": 3, "num_buckets": 9},
            marks=pytest.mark.slow,
        ),
        pytest.param({"batch_nonzeros": 900}, marks=pytest.mark.slow),
        pytest.param({"length_window": 2}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_batches_of_one_step_are_one_batch(words, tmp_path):
    words = {"num_epochs": 1, **words}
    pieces = dict(PIECES)
    if "batch_nonzeros" in words:
        pieces["batch_nonzeros"] = words["batch_nonzeros"] // 4
    whole = _trained(tmp_path / "whole", **words)
    found = _trained(tmp_path / "pieces", **{**words, **pieces})
    runs.assert_near(found, whole, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["compact", "padded"])
def test_accumulated_over_replicas_is_one_batch(form, tmp_path, mirrored):
    whole = _trained(tmp_path / "whole", form=form)
    found = _trained(tmp_path / "pieces", mirrored, form=form, **PIECES)
    runs.assert_near(found, whole, atol=1e-6)


# --- averaged weights -------------------------------------------------------


def _weights_after(path, steps):
    """Returns the model's weights of a checkpoint."""
    reader = tf.train.load_checkpoint(
        str(path / "checkpoints" / f"step_{steps:08}" / "model")
    )
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.startswith("model/")
    }


@pytest.fixture(scope="module")
def every_step(tmp_path_factory):
    """Returns the weights of each step of a run without averages."""
    path = tmp_path_factory.mktemp("plain") / "run"
    _trained(path, checkpoint_steps=1, steps_per_loop=1, keep_checkpoints=99)
    return [_weights_after(path, steps) for steps in range(1, 13)]


def _mean(weights, shares):
    return {
        name: sum(
            share * one[name].astype(np.float64)
            for one, share in zip(weights, shares, strict=True)
        )
        for name in weights[0]
    }


def _exponential(decay, number):
    """Returns how much each step counts, by definition."""
    shares = np.zeros(number)
    for step in range(number):
        here = min(decay, step / (step + 9))
        shares *= here
        shares[step] = 1 - here
    return shares


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        {"weight_average": "ema", "average_decay": 0.4},
        {"weight_average": "swa", "swa_start": 1},
    ],
    ids=["ema", "swa"],
)
@pytest.mark.parametrize("where", ["one", "mirrored"])
def test_averages_are_what_is_saved(
    words, where, every_step, tmp_path, request
):
    strategy = None if where == "one" else request.getfixturevalue("mirrored")
    found = _trained(tmp_path / "run", strategy, **words)
    shares = _exponential(0.4, 12)
    if words["weight_average"] == "swa":  # 4 steps an epoch
        shares = np.isin(np.arange(1, 13), (8, 12)) / 2
    runs.assert_near(found, _mean(every_step, shares), atol=1e-6)
    last = every_step[-1]
    assert max(np.abs(found[name] - last[name]).max() for name in last) > 1e-3
    raw = runs.tensors(tmp_path / "run", "averages/")
    for name, weight in last.items():
        held = raw[name.replace("model/", "averages/")]
        np.testing.assert_allclose(held, weight, atol=1e-6)
    run = restore.restore(str(tmp_path / "run"), tf.distribute.get_strategy())
    for name, weight in run.model.named_variables().items():
        saved = [v for key, v in found.items() if f"/{name}/" in key]
        if saved:
            np.testing.assert_array_equal(weight, saved[0])


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [3, 4])
@pytest.mark.parametrize(
    "words",
    [
        {"weight_average": "ema", "average_decay": 0.6},
        {"weight_average": "swa", "swa_start": 1},
        {"weight_average": "ema", "form": "compact", "optimizer": "lazy_adam"},
    ],
    ids=str,
)
def test_it_resumes_bit_for_bit(words, epochs, tmp_path):
    """From an end of an epoch, from within one, and with more epochs."""
    words = {**words, **PIECES, "decay": "constant", "num_epochs": epochs}
    words |= {"checkpoint_steps": 3, "steps_per_loop": 3}
    whole = _trained(tmp_path / "whole", **words)
    everything = runs.tensors(tmp_path / "whole")
    if epochs == 4:
        _trained(tmp_path / "more", **{**words, "num_epochs": 3})
        _trained(tmp_path / "more", **words)
        runs.assert_near(runs.tensors(tmp_path / "more"), everything)
        return
    steps = sorted((tmp_path / "whole" / "checkpoints").glob("step_*"))
    # Of steps 3, 4, 7, 8, 11 and 12: within epochs, and at an end of one.
    for number in (1, 4, 5):
        cut = shutil.copytree(tmp_path / "whole", tmp_path / str(number))
        (cut / "result.json").unlink()
        for folder in steps[number:]:
            shutil.rmtree(cut / "checkpoints" / folder.name)
        found = _trained(cut, **words)
        runs.assert_near(found, whole)
        runs.assert_near(runs.tensors(cut), everything)


def test_the_shares_of_epochs_are_a_mean():
    rule = averages.ByEpoch(4, 1)
    shares = [float(rule.share(tf.constant(n, tf.int64))) for n in range(1, 17)]
    assert np.flatnonzero(shares).tolist() == [7, 11, 15]
    np.testing.assert_allclose(np.array(shares)[[7, 11, 15]], [1, 1 / 2, 1 / 3])
    assert [rule.has_begun(n) for n in (0, 7, 8, 12)] == [False] * 2 + [
        True
    ] * 2


def test_epochs_that_never_come_are_refused():
    with pytest.raises(ValueError, match="`swa_start` must be below num_epoc"):
        config_lib.Config(weight_average="swa", num_epochs=5)
