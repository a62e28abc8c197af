"""Bootstrap intervals, against the metrics' own sums and the normal law."""

import numpy as np
import pytest

from tfxml.evaluation import metrics, resampling

KS = (1, 3, 5)


def _random(number, num_labels, seed=0):
    """Returns ranked ids, splits and ids of true labels, label counts."""
    rng = np.random.default_rng(seed)
    top_ids = np.stack([rng.permutation(num_labels)[:7] for _ in range(number)])
    top_ids[rng.random(number) < 0.1, 4:] = -1
    lengths = rng.integers(0, 6, number)
    label_ids = np.concatenate(
        [np.sort(rng.choice(num_labels, n, False)) for n in lengths]
    )
    splits = np.concatenate([[0], np.cumsum(lengths)])
    return top_ids, splits, label_ids, rng.integers(0, 30, num_labels)


@pytest.mark.parametrize("number", [1, 40, 300])
def test_shares_add_up_to_the_metrics(number):
    top_ids, splits, label_ids, counts = _random(number, 20)
    weights = metrics.inverse_propensities(counts, 100)
    wanted = metrics.RankingMetrics(KS, counts, weights)
    wanted.update(top_ids, splits, label_ids)
    shares = resampling.shares(top_ids, splits, label_ids, weights, KS)
    values = shares.values()
    assert len(values) == 9
    result = wanted.result()
    for key, value in values.items():
        assert value == pytest.approx(result[key], abs=1e-9), key


def test_the_interval_of_a_share_is_the_normal_one():
    rng = np.random.default_rng(3)
    number, share = 2000, 0.3
    hits = rng.random((number, 1)) < share
    shares = resampling.Shares(
        ("P@1",), hits.astype(float), np.ones(hits.shape)
    )
    (interval,) = resampling.intervals(shares).values()
    mean = hits.mean()
    half = 100 * 1.96 * np.sqrt(mean * (1 - mean) / number)
    assert interval.low == pytest.approx(100 * mean - half, abs=0.2)
    assert interval.high == pytest.approx(100 * mean + half, abs=0.2)
    assert resampling.intervals(shares) == resampling.intervals(shares)


def test_a_difference_is_over_the_same_instances():
    """Hard instances are so for both: the difference is sure nevertheless."""
    rng = np.random.default_rng(4)
    hard = rng.random(1000)
    first, second = (
        resampling.Shares(
            ("a",), (hard < limit).astype(float)[:, None], np.ones((1000, 1))
        )
        for limit in (0.52, 0.5)
    )
    (apart,) = (
        resampling.intervals(first)["a"].low
        - resampling.intervals(second)["a"].high,
    )
    difference = resampling.differences(first, second)["a"]
    assert apart < 0 < difference.low < difference.high
    assert resampling.differences(first, first)["a"] == (0, 0)
    with pytest.raises(ValueError, match="`second` must be of the same 1000"):
        resampling.differences(
            first, resampling.Shares(("a",), hard[:9, None], hard[:9, None])
        )


def test_instances_without_labels():
    shares = resampling.shares(
        np.array([[1, 0]]), np.array([0, 0]), np.zeros(0, int), np.ones(2), [1]
    )
    assert shares.values() == {"P@1": 0, "nDCG@1": 0, "PSP@1": 0}
    assert set(resampling.intervals(shares).values()) == {(0, 0)}
