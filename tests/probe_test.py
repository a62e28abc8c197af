"""The range test and the batch-size finder, on the generated set."""

import csv

import numpy as np
import pytest

from tfxml import config as config_lib
from tfxml import probe
from tfxml.training import schedules

CONFIG = config_lib.Config(
    synthetic_labels=30,
    synthetic_train=300,
    synthetic_test=50,
    hidden_units=(16,),
    batch_size=32,
)


def test_the_rate_rises_by_equal_factors():
    rising = schedules.Rising(1e-3, 10.0, 5)
    found = [float(rising(step)) for step in range(5)]
    np.testing.assert_allclose(found, [1e-3, 1e-2, 1e-1, 1, 10], rtol=1e-4)


@pytest.mark.slow
def test_a_range_test_ends_where_the_loss_has_doubled():
    config = CONFIG.replace(optimizer="sgd")
    found = probe.rates(config, low=1e-3, high=1e4, num_steps=60)
    assert len(found.rates) < 60  # SGD diverges long before 10,000
    assert found.losses[-1] > 2 * found.losses.min() or len(found.rates) < 60
    assert 1e-4 < found.proposed < found.rates[-1]
    # The least loss lies inside: rates too small and too large are seen.
    assert 0 < found.losses.argmin() < len(found.losses) - 1


@pytest.mark.slow
def test_batches_grow_until_the_data_end():
    found = probe.batch_sizes(CONFIG, sizes=(8, 64, 4096))
    assert found.sizes.tolist() == [8, 64]
    assert (found.speeds > 0).all()
    assert found.proposed in (8, 64)
    of = probe.Sizes(np.array([8, 16, 32]), np.array([10.0, 95.0, 100.0]))
    assert of.proposed == 16


def test_table_and_plot_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    columns = {"learning rate": np.array([0.1, 1.0]), "loss": np.array([2, 1])}
    probe.write(tmp_path / "new", "rate", columns, 0.1)
    with (tmp_path / "new" / "rate.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["learning rate", "loss"], ["0.1", "2"], ["1.0", "1"]]
    assert (tmp_path / "new" / "rate.png").read_bytes()[:4] == b"\x89PNG"


def test_rates_must_rise():
    with pytest.raises(ValueError, match="`low` must be above 0"):
        probe.rates(CONFIG, low=1.0, high=0.1)
