"""What is counted and said of labels and features."""

import numpy as np
import pytest

from tfxml.data import data_errors, instances, remarks


def of_rows(rows, num_features=4, num_labels=4):
    """Returns the census of rows of (labels, features)."""
    labels = [ids for ids, _ in rows]
    features = [ids for _, ids in rows]
    run = instances.Instances(
        instances.splits_from_lengths(list(map(len, features))),
        np.array(sum(features, []), np.int32),
        np.ones(sum(map(len, features)), np.float32),
        instances.splits_from_lengths(list(map(len, labels))),
        np.array(sum(labels, []), np.int32),
    )
    return remarks.census(run, num_features, num_labels)


GOOD = [([0], [0]), ([1], [1]), ([2, 3], [2, 3])]
NAMES = ["a", "b", "c", "d"]


def test_nothing_is_said_of_good_data():
    train = of_rows(GOOD)
    assert remarks.of_training(train, "x") == []
    assert remarks.of_evaluation("test", train, train) == []


@pytest.mark.parametrize(
    "rows, said",
    [
        (GOOD[:2], ["2 of 4 labels have no training row"]),
        (GOOD + [([], [0])], ["1 of 4 rows of train have no label"]),
        (GOOD + [([0], [])], ["1 of 4 rows of train have no feature"]),
        (
            [([0, 1], [0]), ([0], [1]), ([0, 2, 3], [0])],
            ["every training row has a"],
        ),
    ],
)
def test_of_training(rows, said):
    assert remarks.of_training(of_rows(rows), "x", NAMES) == said


def test_a_training_split_without_a_label_is_refused():
    with pytest.raises(
        data_errors.DataError, match="^x: found 2 training rows without any"
    ):
        remarks.of_training(of_rows([([], [0]), ([], [1])]), "x")


def test_of_evaluation():
    train = of_rows(GOOD[:1])
    evaluated = of_rows([*GOOD, ([1], []), ([], [0])])
    assert remarks.of_evaluation("dev", evaluated, train, NAMES) == [
        "1 of 5 rows of dev have no label",
        "1 of 5 rows of dev have no feature",
        "dev has 3 labels that training never had, 4 times: b, c, d",
        "dev has 3 features that training never had",
    ]
    said = remarks.of_evaluation("dev", evaluated, train)
    assert "label 1, label 2, label 3" in said[2]
