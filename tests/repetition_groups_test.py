"""MACH repetitions trained apart, then merged."""

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import evaluate, merge
from tfxml.data import requests
from tfxml.run import (
    flags,
    request_predictor,
    restore,
    train_and_evaluate,
)
from tfxml.run import placement as placement_lib

APART = config_lib.Config(
    head="mach",
    synthetic_labels=60,
    synthetic_train=330,
    synthetic_test=91,
    hidden_units=(16,),
    batch_size=63,
    num_epochs=2,
    steps_per_loop=4,
    num_repetitions=4,
    num_encoders=4,
    num_buckets=20,
    learning_rate=0.02,
)


def _model(path):
    run = restore.restore(str(path), tf.distribute.get_strategy())
    return {k: v.numpy() for k, v in run.model.named_variables().items()}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param(
            {"num_encoders": 2, "dropout": 0.5}, marks=pytest.mark.slow
        ),
        pytest.param(
            {"hidden_units": (), "num_encoders": 1}, marks=pytest.mark.slow
        ),
    ],
    ids=["a encoder a repetition", "a encoder a group", "linear"],
)
def test_merged_groups_equal_repetitions_trained_together(changes, tmp_path):
    config = APART.replace(**changes)
    train_and_evaluate.train(config, str(tmp_path / "whole"))
    for group in (1, 0):
        train_and_evaluate.train(
            config,
            str(tmp_path / "parts"),
            placement=placement_lib.Placement(group, 2),
        )
    merge.merge(str(tmp_path / "parts"))
    runs.assert_near(
        _model(tmp_path / "whole"), _model(tmp_path / "parts"), atol=1e-5
    )
    ours = evaluate.evaluate(str(tmp_path / "parts")).result()
    theirs = evaluate.evaluate(str(tmp_path / "whole")).result()
    assert ours == pytest.approx(theirs, abs=1e-4)
    answers = []
    request = requests.Request(
        None, np.array([3, 7], np.int32), np.array([1, 1], np.float32), "a"
    )
    for name in ("whole", "parts"):
        run = restore.restore(
            str(tmp_path / name), tf.distribute.get_strategy()
        )
        answers.append(
            request_predictor.RequestPredictor(run, k=3).predict([request])[0]
        )
    assert answers[0]["label_ids"] == answers[1]["label_ids"]


@pytest.mark.slow
def test_groups_as_commands(tmp_path):
    """Two processes that never talk, and a third that joins them."""
    recipe = tmp_path / "recipe.cfg"
    recipe.write_text(flags.to_flagfile(APART))

    where = f"--workdir={tmp_path / 'run'}"
    words = ["tfxml.train", f"--flagfile={recipe}", where]
    merge_words = runs.command("tfxml.merge", where)
    runs.run(runs.command(*words, "--repetition_group=0/2"))
    too_early = runs.finished(merge_words)
    assert too_early.returncode == 1
    assert (
        "FATAL `workdir` must hold repetition_group_0_of_G" in too_early.stderr
    )
    runs.run(runs.command(*words, "--repetition_group=1/2"))
    runs.run(merge_words)
    train_and_evaluate.train(APART, str(tmp_path / "whole"))
    runs.assert_near(
        _model(tmp_path / "whole"), _model(tmp_path / "run"), atol=1e-5
    )


@pytest.mark.parametrize(
    "changes, placement, words",
    [
        ({"head": "sigmoid"}, (0, 2), "head=mach"),
        ({"num_encoders": 1}, (0, 2), "num_encoders above 1"),
        ({"global_clipnorm": 1.0}, (0, 2), "global_clipnorm"),
        ({}, (0, 3), "3 divides 4, the number of parts"),
    ],
)
def test_repetitions_that_cannot_be_apart_are_refused(
    changes, placement, words, tmp_path
):
    config = APART.replace(**changes)
    with pytest.raises(ValueError, match=words):
        train_and_evaluate.train(
            config, str(tmp_path), placement=placement_lib.Placement(*placement)
        )


@pytest.mark.slow
def test_groups_of_other_configs_are_not_joined(tmp_path):
    for group, rate in enumerate((0.02, 0.01)):
        train_and_evaluate.train(
            APART.replace(learning_rate=rate),
            str(tmp_path),
            placement=placement_lib.Placement(group, 2),
        )
    with pytest.raises(ValueError, match="learning_rate: 0.02 and 0.01"):
        merge.merge(str(tmp_path))
