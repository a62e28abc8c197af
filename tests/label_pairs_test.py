"""Which instances a label learns from, by definition."""

import numpy as np
import pytest

from tfxml.data import instances
from tfxml.data.feeding import in_memory, subset
from tfxml.training.solvers import label_pairs


def _problem(num_rows, num_labels, size):
    """Returns true labels as dense rows, their source, and candidates."""
    rng = np.random.default_rng(num_rows)
    truth = rng.random((num_rows, num_labels)) < 0.1
    truth[1] = False
    whole = instances.Instances(
        np.zeros(num_rows + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        np.cumsum([0, *truth.sum(axis=1)]),
        np.nonzero(truth)[1].astype(np.int32),
    )
    order = rng.random(truth.shape).argsort(axis=1)
    return (
        truth,
        in_memory.InMemorySource(whole, 5, num_labels),
        order[:, :size].astype(np.int32),
    )


@pytest.mark.parametrize(
    "sizes", [(50, 30, 7), (5000, 300, 40), (3, 4, 0), (9, 6, 6)]
)
def test_a_label_has_its_positives_and_the_candidate_once(sizes):
    truth, source, candidates = _problem(*sizes)
    found = label_pairs.pairs(source, candidates)
    is_pair = truth.copy()
    np.put_along_axis(is_pair, candidates, True, axis=1)
    labels, row_ids = np.nonzero(is_pair.T)
    splits = np.searchsorted(labels, np.arange(sizes[1] + 1))
    np.testing.assert_array_equal(found.splits, splits)
    assert found.marked.itemsize == 4  # bytes of each of very many pairs
    narrow = label_pairs.pairs(source, candidates.astype(np.uint16))
    np.testing.assert_array_equal(narrow.marked, found.marked)
    backwards = np.arange(sizes[1])[::-1]
    _, of_labels = label_pairs.of_labels(
        source, found, backwards, label_pairs.all_rows(source)
    )
    order = np.argsort(-labels, kind="stable")
    np.testing.assert_array_equal(of_labels.row_ids, row_ids[order])
    np.testing.assert_array_equal(
        of_labels.is_positive, truth[row_ids, labels][order]
    )
    np.testing.assert_array_equal(
        np.diff(of_labels.splits[::-1]), -np.diff(splits)
    )


def test_groups_hold_each_label_with_a_positive_once():
    truth, source, candidates = _problem(200, 40, 5)
    truth_counts = truth.sum(axis=0)
    pairs = label_pairs.pairs(source, candidates)
    together = np.concatenate(label_pairs.groups(pairs))
    np.testing.assert_array_equal(
        np.sort(together), np.flatnonzero(truth_counts)
    )


def test_a_group_learns_from_the_same_rows_read_once_or_by_group():
    rng = np.random.default_rng(0)
    sizes, num_labels = rng.integers(0, 5, 9000), 20
    splits = np.cumsum([0, *sizes])
    whole = instances.Instances(
        splits,
        np.concatenate([np.arange(size) for size in sizes]).astype(np.int32),
        rng.normal(size=splits[-1]).astype(np.float32),
        np.arange(9001),
        rng.integers(0, num_labels, 9000).astype(np.int32),
        rng.random(9000).astype(np.float32),
    )
    source = in_memory.InMemorySource(whole, 5, num_labels)
    pairs = label_pairs.pairs(source, np.zeros((9000, 0), np.int64))
    rows = label_pairs.all_rows(source)
    np.testing.assert_array_equal(rows.splits, splits)
    np.testing.assert_array_equal(rows.feature_ids, whole.feature_ids)
    np.testing.assert_array_equal(rows.values, whole.feature_values)
    np.testing.assert_array_equal(rows.weights, whole.weights)
    held = source.instances
    assert np.shares_memory(rows.feature_ids, held.feature_ids)
    assert np.shares_memory(rows.values, held.feature_values)
    labels = np.array([3, 7])
    some, some_pairs = label_pairs.of_labels(source, pairs, labels)
    _, all_pairs = label_pairs.of_labels(source, pairs, labels, rows)
    np.testing.assert_array_equal(all_pairs.splits, some_pairs.splits)
    for whole_row, row in zip(
        all_pairs.row_ids, some_pairs.row_ids, strict=True
    ):
        np.testing.assert_array_equal(
            rows.values[slice(*rows.splits[whole_row : whole_row + 2])],
            some.values[slice(*some.splits[row : row + 2])],
        )
        assert rows.weights[whole_row] == some.weights[row]


def test_rows_of_a_part_of_a_split_are_read():
    rng = np.random.default_rng(0)
    x = rng.random((9000, 4)) < 0.5
    whole = instances.Instances(
        np.cumsum([0, *x.sum(axis=1)]),
        np.nonzero(x)[1].astype(np.int32),
        rng.random(x.sum()).astype(np.float32),
        np.zeros(9001, np.int64),
        np.zeros(0, np.int32),
    )
    chosen = np.arange(0, 9000, 2)
    part = subset.SubsetSource(in_memory.InMemorySource(whole, 4, 3), chosen)
    rows, expected = label_pairs.all_rows(part), instances.select(whole, chosen)
    np.testing.assert_array_equal(rows.splits, expected.feature_splits)
    np.testing.assert_array_equal(rows.feature_ids, expected.feature_ids)
    np.testing.assert_array_equal(rows.values, expected.feature_values)
    np.testing.assert_array_equal(rows.weights, np.ones(4500))


@pytest.mark.parametrize("label", [-1, 30])
def test_labels_out_of_range_are_refused(label):
    _, source, candidates = _problem(50, 30, 7)
    candidates[3, 4] = label
    with pytest.raises(ValueError, match=r"`candidates` must be in \[0, 30\)"):
        label_pairs.pairs(source, candidates)
