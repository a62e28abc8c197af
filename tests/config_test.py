"""The config is schema, defaults and flags; bad words are fatal."""

import dataclasses
import json
import subprocess
import sys

import pytest
from absl import flags as absl_flags

from tfxml import config as config_lib
from tfxml.run import flags


def _parse(*words):
    values = absl_flags.FlagValues()
    flags.define_config(values)
    values(["program", *words])
    return flags.read_config(values)


def test_flags_have_the_defaults_of_the_config():
    assert _parse() == config_lib.Config()


def test_flags_reach_the_config():
    config = _parse(
        "--head=mach", "--hidden_units=64,32", "--noresidual", "--seed=7"
    )
    assert (config.head, config.hidden_units) == ("mach", (64, 32))
    assert (config.residual, config.seed) == (False, 7)


def test_no_hidden_units_is_a_linear_model():
    assert _parse("--hidden_units=").hidden_units == ()


@pytest.mark.parametrize(
    "config",
    [
        config_lib.Config(),
        config_lib.Config(
            head="mach", hidden_units=(), learning_rate=1e-4, residual=True
        ),
    ],
)
def test_flagfile_and_json_give_the_config_again(config, tmp_path):
    path = tmp_path / "flags.cfg"
    path.write_text(flags.to_flagfile(config))
    assert _parse(f"--flagfile={path}") == config
    assert config_lib.Config.from_json(config.to_json()) == config
    json.loads(config.to_json())


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        ({"head": "softmax"}, "mach"),
        ({"dropout": 1.0}, "below 1"),
        ({"num_epochs": 0}, "at least 1"),
        ({"hidden_units": (0,)}, "positive widths"),
        ({"metric_ks": (101,)}, r"\[1, 100\]"),
        ({"metric_ks": (5, 1)}, "ascending"),
        ({"num_encoders": 3, "head": "mach"}, "divisor of num_repetitions=16"),
        ({"best_metric": "P@2"}, "P@1"),
        ({"early_stopping": 2}, "validation_fraction"),
        ({"eval_split": "validation"}, "validation_fraction"),
        ({"synthetic_dependence": 1.5}, r"\[0, 1\]"),
        ({"reranker_cost": 0.0}, "above 0"),
        ({"reranker_weight": 1.1}, r"\[0, 1\]"),
        ({"reranker_centroid": -1.0}, "at least 0"),
        ({"centroid_labels": 0}, "at least 1"),
        ({"centroid_power": -0.1}, "at least 0"),
        ({"conv_widths": (2, 10**30)}, "64 bits"),
        ({"label_capacity": -(10**30)}, "64 bits"),
        ({"table_shards": 10**9}, "at most 10000"),
        ({"num_repetitions": 10**9}, "at most 10000"),
        ({"transformer_layers": 10**9}, "at most 10000"),
    ],
    ids=str,
)
def test_wrong_values_say_what_is_needed(words, needed):
    with pytest.raises(ValueError, match=needed) as error:
        config_lib.Config(**words)
    assert f"Received: {next(iter(words))}=" in str(error.value)


@pytest.mark.parametrize(
    "words", [{"num_epochs": 1.5}, {"head": 1}, {"residual": 1}], ids=str
)
def test_wrong_types_are_errors(words):
    with pytest.raises(TypeError, match=next(iter(words))):
        config_lib.Config(**words)


def test_the_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config_lib.Config().seed = 3


def test_differences_name_the_fields():
    changed = config_lib.Config().replace(seed=3)
    assert config_lib.differences(config_lib.Config(), changed) == [
        "seed: 0 and 3"
    ]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("--num_epoch=3", "--num_epochs"),
        ("--dropout=1.5", "below 1"),
        ("--flagfile=missing.cfg", "missing.cfg"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("--num_epochs=three", "num_epochs"),
                ("--head=softmax", "mach"),
                ("--strategy=mirored", "mirrored"),
                ("stray", "stray"),
                ("--hidden_units=a", "whole numbers"),
            )
        ),
    ],
)
def test_the_command_line_refuses(word, message, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tfxml.train", f"--workdir={tmp_path}", word],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
