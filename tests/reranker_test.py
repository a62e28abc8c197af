"""The re-ranker against its definition, and its solver against a peer."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from sklearn import svm

from tfxml.data import inputs, instances
from tfxml.data.feeding import in_memory
from tfxml.mach import hashing
from tfxml.models import (
    extreme_classifier,
    reranker,
    row_forms,
    sparse_rows,
    weight_table,
)
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import mach_head, sigmoid
from tfxml.training.solvers import (
    feature_scales,
    label_classifiers,
    label_pairs,
    largest,
    weight_places,
)

N, D, L, H, F, S = 7, 13, 23, 6, 4, 9
HEADS = ["sigmoid", "mach"]


def _model(form, head="sigmoid", weight=0.3):
    """Returns a model whose labels have 0 to 9 re-ranker weights."""
    rng = np.random.default_rng(4)
    if head == "mach":
        hashes = [hashing.from_seed(5, r, 8, L) for r in range(3)]
        head = mach_head.MachHead(L, hashes=hashes, input_dim=H)
    else:
        head = sigmoid.SigmoidHead(L, H, block_size=9)
    model = extreme_classifier.ExtremeClassifier(
        [bag_encoder.BagEncoder(D, (H,))],
        head,
        D,
        form,
        reranker.Reranker(L, D, F, S, weight),
    )
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    model.reranker.assign(_table(rng))
    return model


def _batch(form, seed=0):
    """Returns dense rows and targets, and the model's inputs for them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.4)
    y = rng.random((N, L)) < 0.15
    x[2] = 0  # an instance without features
    y[3] = False  # and one without labels
    rows = [np.flatnonzero(row) for row in x]
    ids = tf.ragged.constant([r.tolist() for r in rows], dtype=tf.int32)
    values = tf.ragged.constant(
        [row[r].tolist() for row, r in zip(x, rows, strict=True)],
        dtype=tf.float32,
    )
    labels = tf.ragged.constant(
        [np.flatnonzero(row).tolist() for row in y], dtype=tf.int32
    )
    found = inputs.features(ids, values)
    if form == "padded":
        return x, y, inputs.padded(found), labels.to_tensor(-1)
    return x, y, found, labels


def _table(rng):
    """Returns a table of 0 to 9 weights a label."""
    sizes = rng.integers(0, 2 * F, L)
    sizes[:3] = 0, 9, 0
    while sizes.sum() > L * F:
        sizes[rng.integers(3, L)] = 0
    labels = np.repeat(np.arange(L), sizes)
    features = [rng.choice(D, size, False) for size in sizes]
    kernel = rng.normal(size=len(labels))
    bias = rng.normal(size=L)
    return weight_places.place(
        labels, np.concatenate(features), kernel, bias, D, F
    )


def _dense(table):
    """Returns the weights of a table, [L, D]."""
    dense = np.zeros((L, D + 1))
    for label in range(L):
        run = slice(table.splits[label], table.splits[label + 1])
        np.add.at(dense[label], table.features[run], table.kernel[run])
    assert not dense[:, D].any()
    return dense[:, :D]


def _margins(model, x):
    """Returns the margins of all labels, [N, L]."""
    layer = model.reranker
    splits, features, kernel = (
        weight.numpy()
        for weight in (layer.splits, layer.features, layer.kernel)
    )
    dense = _dense(weight_table.Table(splits, None, features, kernel, None))
    return x @ dense.T + layer.bias.numpy()


def _candidates(model, rows, k=S):
    """Returns the head's logits and candidates, [N, k] each."""
    logits, label_ids = model.head.top_k(model.encode(rows), k)
    return logits.numpy(), label_ids.numpy()


@pytest.mark.parametrize("k", [1, 5, S, S + 4, L])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("form", row_forms.FORMS)
def test_candidates_are_ranked_again_and_the_rest_keeps_its_order(
    form, head, k
):
    model = _model(form, head)
    x, _, rows, _ = _batch(form)
    head_logits, candidates = _candidates(model, rows, L)
    margins = 5 * _margins(model, x)  # as logits
    scores, label_ids = model.top_k(rows, k)
    for row in range(N):
        of_head = head_logits[row]
        mixed = 0.3 * margins[row, candidates[row]] + 0.7 * of_head
        order = np.argsort(-mixed[:S], kind="stable")
        wanted = np.concatenate(
            [candidates[row][:S][order], candidates[row][S:]]
        )
        np.testing.assert_array_equal(label_ids[row], wanted[:k])
        logits = np.concatenate(
            [mixed[:S][order], np.minimum(of_head[S:], mixed[:S].min())]
        )
        np.testing.assert_allclose(
            scores[row], 1 / (1 + np.exp(-logits[:k])), atol=1e-4
        )


def test_a_weight_of_0_is_the_head():
    model = _model("compact", weight=0.0)
    _, _, rows, _ = _batch("compact")
    scores, label_ids = model.top_k(rows, 5)
    head_logits, candidates = _candidates(model, rows)
    head_scores = 1 / (1 + np.exp(-head_logits))
    np.testing.assert_array_equal(label_ids, candidates[:, :5])
    np.testing.assert_allclose(scores, head_scores[:, :5], atol=1e-6)


def test_a_model_is_built_again_from_its_config():
    model = _model("compact")
    again = extreme_classifier.ExtremeClassifier.from_config(model.get_config())
    weights = model.named_variables()
    for name, weight in again.named_variables().items():
        weight.assign(weights[name].numpy())
    _, _, rows, _ = _batch("compact")
    for one, other in zip(
        model.top_k(rows, L), again.top_k(rows, L), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("form", row_forms.FORMS)
def test_without_weights_the_order_is_the_heads(form):
    model = _model(form)
    model.reranker = reranker.Reranker(L, D, F, S)
    _, _, rows, _ = _batch(form)
    _, candidates = _candidates(model, rows)
    np.testing.assert_array_equal(model.top_k(rows, S)[1], candidates)


def test_a_table_holds_its_weights_and_no_others():
    rng = np.random.default_rng(3)
    sizes = np.array([0, 1, 4000, 7, 0, 300])
    labels = np.repeat(np.arange(6), sizes)
    features = np.concatenate([rng.choice(9000, n, False) for n in sizes])
    kernel = rng.normal(size=len(labels)).astype(np.float32)
    wanted = np.zeros((6, 9000), np.float32)
    wanted[labels, features] = kernel
    order = rng.permutation(len(labels))
    table = weight_places.place(
        labels[order], features[order], kernel[order], np.zeros(6), 9000, 800
    )
    assert len(table.features) == weight_table.capacity(6, 800)
    layer = reranker.Reranker(6, 9000, 800, 6)
    layer.assign(table)
    every = np.arange(9000, dtype=np.int32)[:, None]
    rows = sparse_rows.PaddedRows(every, tf.ones([9000, 1]))
    margins = layer.margins(rows, np.broadcast_to(np.arange(6), (9000, 6)))
    np.testing.assert_array_equal(margins, wanted.T)


def _features_that_hash_alike():
    """Returns two features of one group, with equal second and third hashes."""
    features = np.random.default_rng(0).integers(2**31 - 1, size=1 << 20)
    features = np.unique(features)
    first, second, third = weight_table.hashes_of(features)
    # A label with three weights has four places, and so two groups.
    keys = (first // 2**19 * 2**11 + second) * 2**20 + third
    order = np.argsort(keys, kind="stable")
    place = np.flatnonzero(np.diff(keys[order]) == 0)[0]
    return features[order[place : place + 2]]


def test_of_features_that_hash_alike_the_smallest_weight_is_left_out():
    one, other = _features_that_hash_alike()
    table = weight_places.place(
        np.zeros(3, int),
        np.array([one, 5, other]),
        np.array([1.0, 2.0, -3.0]),
        np.zeros(1),
        2**31 - 1,
        3,
    )
    held = dict(zip(table.features, table.kernel, strict=True))
    del held[2**31 - 1]  # places without a weight
    assert held == {5: 2.0, other: -3.0}


def _optimum(x, is_positive):
    """Returns the weights and the bias of a peer's SVM, converged."""
    peer = svm.LinearSVC(
        C=1.0,
        loss="squared_hinge",
        dual=True,
        intercept_scaling=1,  # the bias is penalised, as a weight is
        tol=1e-10,
        max_iter=10**6,
    )
    if is_positive.all():  # the peer needs two classes
        return _optimum_of_positives(x)
    peer.fit(x, is_positive)
    return peer.coef_[0], peer.intercept_[0]


def _optimum_of_positives(x):
    """Returns the optimum for positives alone, by projected gradient."""
    rows = np.hstack([x, np.ones((len(x), 1))]).astype(np.float64)
    hessian = rows @ rows.T + 0.5 * np.eye(len(x))
    duals = np.zeros(len(x))
    step = 1 / np.linalg.eigvalsh(hessian)[-1]
    for _ in range(20_000):
        duals = np.maximum(duals - step * (hessian @ duals - 1), 0)
    weights = duals @ rows
    return weights[:-1], weights[-1]


@pytest.mark.parametrize(
    ("num_rows", "mean_features"), [(20, 2), (20, 40), (4500, 40)]
)
def test_labels_learn_from_positives_and_candidates(num_rows, mean_features):
    """Each label's weights are the optimum of its problem, by a peer."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(num_rows, D)) * (rng.random((num_rows, D)) < 0.5)
    x = x.astype(np.float32)
    y = rng.random((num_rows, L)) < 0.1
    y[:, 4] = False  # a label that no instance has
    candidates = rng.random((num_rows, L)).argsort(axis=1)[:, :3]
    source = in_memory.InMemorySource(_instances(x, y), D, L)
    table = label_classifiers.learn(
        source,
        candidates.astype(np.int32),
        label_classifiers.Settings(1.0, 300, mean_features, 0.0, 0),
    )
    wanted, bias = np.zeros((L, D)), np.full(L, -1.0)
    for label in np.flatnonzero(y.any(axis=0)):
        chosen = y[:, label] | (candidates == label).any(axis=1)
        wanted[label], bias[label] = _optimum(x[chosen], y[chosen, label])
    kept = _dense(table)
    np.testing.assert_allclose(table.bias, bias, atol=1e-3)
    is_kept = kept != 0
    np.testing.assert_allclose(kept[is_kept], wanted[is_kept], atol=1e-3)
    left_out = np.abs(wanted[~is_kept])
    if mean_features * L < np.count_nonzero(wanted):
        assert np.count_nonzero(is_kept) == L * mean_features
        assert left_out.max() <= np.abs(kept[is_kept]).min() + 2e-3
    else:
        assert left_out.max() < 1e-3


@pytest.mark.parametrize("most_entries", [1 << 26, 0])
def test_weighted_features_give_the_margins_that_were_learnt(
    most_entries, monkeypatch
):
    """Rows are read once, or for each group of labels."""
    monkeypatch.setattr(label_pairs, "_MOST_ENTRIES", most_entries)
    rng = np.random.default_rng(5)
    x = rng.integers(0, 3, (60, D)).astype(np.float32)
    y = rng.random((60, L)) < 0.2
    candidates = np.tile(np.arange(L, dtype=np.int32), (60, 1))
    source = in_memory.InMemorySource(_instances(x, y), D, L)
    scales = feature_scales.idf(source)
    scaled = in_memory.InMemorySource(_instances(x * scales, y), D, L)
    settings = label_classifiers.Settings(1.0, 300, D, 0.5, 0)
    wanted = label_classifiers.learn(scaled, candidates, settings)
    found = label_classifiers.learn(
        source, candidates, dataclasses.replace(settings, uses_idf=True)
    )
    np.testing.assert_allclose(
        _dense(found), _dense(wanted) * scales, atol=1e-5
    )
    np.testing.assert_allclose(found.bias, wanted.bias, atol=1e-5)


@pytest.mark.parametrize("mean_features", [3, 40])
def test_rows_of_names_are_added_to_the_weights(mean_features):
    rng = np.random.default_rng(6)
    x = (rng.random((60, D)) < 0.3) * rng.random((60, D)).astype(np.float32)
    y = rng.random((60, L)) < 0.2
    y[:, 4] = False  # a label that no instance has
    named = np.delete(np.arange(L), 2)  # one has no name
    of_names = np.zeros((L, D), np.float32)
    of_names[named, rng.integers(0, D, len(named))] = 0.6
    of_names[named, rng.integers(0, D, len(named))] = 0.8
    source = in_memory.InMemorySource(_instances(x, y), D, L)
    names = in_memory.InMemorySource(
        _instances(of_names[named], np.eye(L, dtype=bool)[named]), D, L
    )
    candidates = np.tile(np.arange(L, dtype=np.int32), (60, 1))
    settings = label_classifiers.Settings(1.0, 30, mean_features, 0.0, 0)
    room = L * mean_features - np.count_nonzero(of_names)
    plain = label_classifiers.learn(
        source, candidates, dataclasses.replace(settings, mean_features=D)
    )
    wanted = _dense(plain)
    if np.count_nonzero(wanted) > room:  # the largest have the places left
        least = np.sort(np.abs(wanted).ravel())[-room]
        wanted[np.abs(wanted) < least] = 0
    found = label_classifiers.learn(
        source,
        candidates,
        dataclasses.replace(settings, name=0.5),
        name_rows=names,
    )
    np.testing.assert_allclose(
        _dense(found), wanted + 0.5 * of_names, atol=1e-6
    )
    np.testing.assert_array_equal(found.bias, plain.bias)


def test_names_need_room():
    y = np.eye(L, dtype=bool)
    names = in_memory.InMemorySource(
        _instances(np.ones((L, D), np.float32), y), D, L
    )
    with pytest.raises(ValueError, match="`reranker_features` must leave room"):
        label_classifiers.learn(
            names,
            np.zeros((L, 0), np.int32),
            label_classifiers.Settings(1.0, 1, D - 1, 0.0, 0, name=1.0),
            name_rows=names,
        )


def test_of_equal_weights_the_first_are_kept_however_they_come():
    rng = np.random.default_rng(4)
    weights = rng.integers(-9, 10, 5000).astype(np.float32)
    wanted = np.sort(np.argsort(-np.abs(weights), kind="stable")[:300])
    for sizes in ([5000], [900, 4100], [400] * 12 + [200]):
        kept = largest.Largest(300)
        ends = np.cumsum(sizes)
        for start, end in zip(ends - sizes, ends, strict=True):
            kept.add(
                np.array([0]),
                np.array([0, end - start]),
                np.arange(start, end, dtype=np.int32),
                weights[start:end],
            )
        np.testing.assert_array_equal(np.sort(kept.result()[1]), wanted)


def _instances(x, y):
    def splits(of):
        return np.cumsum([0, *(np.count_nonzero(row) for row in of)])

    return instances.Instances(
        splits(x),
        np.nonzero(x)[1].astype(np.int32),
        x[np.nonzero(x)].astype(np.float32),
        splits(y),
        np.nonzero(y)[1].astype(np.int32),
    )
