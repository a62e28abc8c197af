"""Names of labels as training instances."""

import dataclasses
import re

import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.data import arrays, instances
from tfxml.data.feeding import in_memory, joined
from tfxml.recipe import chooser, recipe_request
from tfxml.run import datasets, train_and_evaluate, workdir

NAMES = [f"name{i}" for i in range(200)]
CONFIG = config_lib.Config(head="centroid", min_df=1)


def _source(rng, number, with_weights):
    num_features, num_labels = rng.integers(0, 6, number), np.arange(number) % 3
    tokens = rng.integers(0, 4, number)
    run = instances.Instances(
        instances.splits_from_lengths(num_features),
        rng.integers(0, 50, num_features.sum()).astype(np.int32),
        rng.random(num_features.sum()).astype(np.float32),
        instances.splits_from_lengths(num_labels),
        rng.integers(0, 9, num_labels.sum()).astype(np.int32),
        rng.random(number).astype(np.float32) if with_weights else None,
        instances.splits_from_lengths(tokens),
        rng.integers(1, 50, tokens.sum()).astype(np.int32),
    )
    return in_memory.InMemorySource(run, 50, 9)


@pytest.fixture(scope="module")
def both():
    rng = np.random.default_rng(0)
    return _source(rng, 11, True), _source(rng, 7, False)


@pytest.mark.parametrize("are_copies", [False, True])
def test_rows_of_both_in_any_order(both, are_copies):
    first, second = both
    source = joined.JoinedSource(first, second, 0.25)
    assert source.num_instances == 18
    order = np.random.default_rng(1).permutation(18)
    tensors = tuple(map(tf.identity, source.tensors)) if are_copies else None

    @tf.function
    def read(indices):
        return source.rows(indices, tensors), source.weights(indices, tensors)

    (inputs, labels), weights = read(tf.constant(order, tf.int64))
    every = [one.rows(tf.range(one.num_instances)) for one in both]
    for name, rows in {**inputs, "labels": labels}.items():
        parts = [
            given.to_list()
            for found in every
            for given in [{**found[0], "labels": found[1]}[name]]
        ]
        wanted = parts[0] + parts[1]
        assert rows.to_list() == [wanted[i] for i in order]
    wanted = np.r_[first.instances.weights, np.full(7, 0.25)][order]
    np.testing.assert_array_equal(weights, wanted.astype(np.float32))


def test_counts_and_lengths_are_of_both(both):
    source = joined.JoinedSource(*both, 1.0)
    ids = np.concatenate([one.instances.label_ids for one in both])
    np.testing.assert_array_equal(
        source.label_counts(), np.bincount(ids, minlength=9)
    )
    lengths = [np.diff(one.instances.feature_splits) for one in both]
    np.testing.assert_array_equal(source.row_lengths(), np.concatenate(lengths))
    most = source.max_lengths()
    assert most.features == max(map(np.max, lengths))
    assert most.tokens == max(
        np.diff(one.instances.token_splits).max() for one in both
    )


def _texts(rng, number, label_of, labels):
    """Returns texts, each with the word of its label's name, and the labels."""
    chosen = rng.choice(labels, number)
    noise = rng.integers(0, 200, (number, 5))
    texts = [
        " ".join([NAMES[label_of(i)], *(f"w{j}" for j in words)])
        for i, words in zip(chosen, noise, strict=True)
    ]
    return texts, [[NAMES[i]] for i in chosen]


def _data(label_of=lambda i: i, number=48):
    """Returns data in whose training split half of the labels are rare."""
    rng = np.random.default_rng(2)
    texts, labels = _texts(rng, number, label_of, np.arange(12))
    # Each name is in a text at least, so that it is in the vocabulary.
    texts += [" ".join(NAMES)]
    labels += [[NAMES[0]]]
    return texts, labels, *_texts(rng, 100, label_of, np.arange(12, 24))


def test_labels_that_no_instance_has_are_found_by_their_names(tmp_path):
    texts, labels, test_texts, test_labels = _data()
    data = dataclasses.replace(
        arrays.of(texts, labels, NAMES),
        test=arrays.of(test_texts, test_labels, NAMES).train,
    )
    reached = {}
    for weight in (0.0, 1.0):
        path = tmp_path / str(weight)
        reached[weight] = train_and_evaluate.train(
            CONFIG.replace(label_name_weight=weight), str(path), data
        )
        # Propensities are those of the instances.
        counts = np.load(path / "label_counts.npy", allow_pickle=False)
        assert counts.sum() == len(labels)
    assert reached[0.0]["P@1"] == 0
    assert reached[1.0]["P@1"] == 100


@pytest.mark.parametrize("misleads", [False, True])
def test_a_trial_tells_whether_names_pay(misleads, tmp_path, capsys):
    """They do where texts hold them, not where they hold another label's."""
    rng = np.random.default_rng(3)
    shift = 5 if misleads else 0
    # Many labels have no instance, or one.
    texts, labels = _texts(
        rng, 260, lambda i: (i + shift) % 200, np.arange(200)
    )
    words_alone = frozenset({"ngrams"})
    request = recipe_request.Request(words_alone, seconds=0.01)
    train_and_evaluate.train(
        config_lib.Config(min_df=1),
        str(tmp_path / "run"),
        arrays.of(texts, labels, NAMES),
        recipe=chooser.Chooser(request),
    )
    config, _ = workdir.Workdir(tmp_path / "run").read()
    pays = config.label_name_weight or config.reranker_name
    assert bool(pays) != misleads
    told = capsys.readouterr().out
    assert "names of labels as instances, weight 1: P@1" in told
    line = re.search(r"also learning from the names of \d+ labels", told)
    assert bool(line) == bool(config.label_name_weight)


def test_names_in_the_reranker_raise_the_labels_that_a_text_names(tmp_path):
    """No instance has the labels; all of them are candidates."""
    texts, labels, test_texts, test_labels = _data()
    data = dataclasses.replace(
        arrays.of(texts, labels, NAMES),
        test=arrays.of(test_texts, test_labels, NAMES).train,
    )
    config = CONFIG.replace(
        reranker_passes=2, num_candidates=200, reranker_weight=1.0
    )
    reached = [
        train_and_evaluate.train(
            config.replace(reranker_name=weight), str(tmp_path / name), data
        )["P@1"]
        for name, weight in (("without", 0.0), ("with", 3.0))
    ]
    assert reached[0] == 0 and reached[1] > 90
    rows = datasets.training_data(config.replace(reranker_name=3.0), data)
    assert rows.training_rows.num_instances == len(texts)  # not learnt from


@pytest.mark.parametrize("option", ["label_name_weight", "reranker_name"])
def test_data_without_text_are_refused(option):
    rows = np.eye(8, dtype=np.float32)
    with pytest.raises(ValueError, match=f"`{option}` must be 0"):
        datasets.training_data(
            CONFIG.replace(**{option: 1.0}),
            arrays.of(rows, [[NAMES[i]] for i in range(8)]),
        )
