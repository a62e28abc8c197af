"""The planner against numbers worked out by hand."""

import dataclasses
import subprocess
import sys

import pytest

from tfxml import config, plan
from tfxml.mach import planner

# Published settings, with a encoder for each repetition.
WIKI = planner.Plan(30_938, 101_938, 500, 32, 2000, num_encoders=32)
SMALL = planner.Plan(
    num_labels=1000,
    num_features=100,
    hidden=10,
    num_repetitions=4,
    num_buckets=50,
    batch_size=8,
)


def test_a_small_model_counted_by_hand():
    assert SMALL.encoder_parameters == 100 * 10 + 10
    assert SMALL.head_parameters == 4 * 50 * (10 + 1)
    assert SMALL.parameters == 1010 + 2200
    # Weights and two moments; the head's gradient; 8 x 200 logits; 24 a label.
    assert SMALL.training_bytes == 4 * (3 * 3210 + 2200 + 1600) + 24_000
    # Six tables of 50 + 1 starts and 1250 / 50 places.
    assert SMALL.serving_bytes == 4 * (3210 + 6 * (51 + 25))
    assert SMALL.step_flop == 6 * 8 * 10 * 200
    assert SMALL.collision_probability == pytest.approx(499_500 / 50**4)


def test_its_sigmoid_head_counted_by_hand():
    other = planner.sigmoid_of(SMALL)
    assert other.parameters == 1010 + 1000 * 11
    assert other.training_bytes == 4 * (3 * 12_010 + 11_000 + 8000) + 24_000
    assert other.serving_bytes == 4 * 12_010
    assert other.collision_probability == 0


def test_published_settings_hold_more_than_a_sigmoid_head():
    """52 M parameters a repetition; 51 M + 15.5 M with a sigmoid head."""
    assert WIKI.parameters == 32 * (101_939 * 500 + 2000 * 501)
    assert planner.sigmoid_of(WIKI).parameters == 101_939 * 500 + 30_938 * 501
    assert "sigmoid" in plan.verdict(WIKI, 2**40).split(":")[0]


def test_hashed_features_shrink_the_table_alone():
    hashed = dataclasses.replace(SMALL, feature_buckets=16)
    assert hashed.encoder_parameters == 17 * 10
    assert hashed.head_parameters == SMALL.head_parameters


@pytest.mark.parametrize(
    ("num_labels", "num_buckets", "delta", "expected"),
    [
        # ln(49e6^2 / 0.02) / ln(1e4) = 39.327 / 9.210 = 4.27
        (49_000_000, 10_000, 0.01, 5),
        # ln(1e6 / 2) / ln(10) = 13.122 / 2.303 = 5.70
        (1000, 10, 1.0, 6),
        # ln(1e4 / 0.002) / ln(1e6) = 15.425 / 13.816 = 1.12
        (100, 1_000_000, 0.001, 2),
    ],
)
def test_repetitions_that_tell_labels_apart(
    num_labels, num_buckets, delta, expected
):
    found = planner.least_repetitions(num_labels, num_buckets, delta)
    assert found == expected


@pytest.mark.parametrize("memory", [2**31, 2**34, 2**36])
def test_a_proposal_fits(memory):
    found = planner.propose(49_000_000, 98_000_000, memory, 1e12)
    assert found.training_bytes <= memory
    assert found.step_flop <= 1e12
    assert found.collision_probability <= 0.01
    assert "Use MACH" in plan.verdict(found, memory)


def test_more_memory_is_used():
    small, large = (
        planner.propose(2_800_000, 300_000, memory, 1e15)
        for memory in (2**32, 2**38)
    )
    assert small.parameters < large.parameters


def test_what_fits_nowhere_is_refused():
    with pytest.raises(ValueError, match="memory"):
        planner.propose(49_000_000, 98_000_000, 10**8, 1e15)
    with pytest.raises(ValueError, match="step_flop"):
        planner.propose(49_000_000, 98_000_000, 2**40, 1e9)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 * 2**30),
        ("16GB", 16 * 10**9),
        ("1e9", 10**9),
        ("512 MiB", 512 * 2**20),
    ],
)
def test_sizes(text, size):
    assert plan.parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "many", "24 gibibytes", "-1GB", "1.2.3GiB", ".", "1e400GiB"],
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="memory"):
        plan.parse_memory(text)


def test_its_flags_make_a_config():
    found = planner.propose(49_000_000, 98_000_000, 2**34, 1e12)
    values = dict(one.lstrip("-").split("=") for one in plan.to_flags(found))
    made = config.Config(
        head=values.pop("head"),
        hidden_units=(int(values.pop("hidden_units")),),
        **{name: int(value) for name, value in values.items()},
    )
    assert made.num_buckets == found.num_buckets


def test_the_command_prints_a_plan():
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tfxml.plan",
            "--num_labels=4e3",
            "--num_features=5e3",
            "--memory=1GiB",
            "--gflops=100",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Use the sigmoid head" in done.stdout
    assert "| parameters |" in done.stdout
