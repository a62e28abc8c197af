"""The second look at a candidates, against NumPy from the definition."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data import inputs, instances
from tfxml.data.feeding import in_memory
from tfxml.mach import hashing
from tfxml.models import (
    extreme_classifier,
    reranker,
    sparse_rows,
    weight_table,
)
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import mach_head, sigmoid
from tfxml.training.solvers import (
    label_classifiers,
    label_pairs,
    label_problems,
    largest,
    linear_svm,
    weight_places,
)

N, D, L, H, F, S = 7, 13, 23, 6, 4, 9
HEADS = ["sigmoid", "mach"]


def _model(form, head="sigmoid", share=0.3):
    """Returns a model whose labels have 0 to 9 weights of their own."""
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
        reranker.Reranker(L, D, F, S, share),
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
    """Returns [N, L], every label's own classifier."""
    own = model.reranker
    weights = [w.numpy() for w in (own.splits, own.features, own.kernel)]
    splits, features, kernel = weights
    dense = _dense(weight_table.Table(splits, None, features, kernel, None))
    return x @ dense.T + own.bias.numpy()


def _candidates(model, rows, k=S):
    return [one.numpy() for one in model.head.top_k(model.encode(rows), k)]


@pytest.mark.parametrize("k", [1, 5, S, S + 4, L])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("form", sparse_rows.FORMS)
def test_candidates_is_ranked_by_both_and_the_rest_stays(form, head, k):
    model = _model(form, head)
    x, _, rows, _ = _batch(form)
    head_logits, candidates = _candidates(model, rows, L)
    own = 5 * _margins(model, x)  # a margin as a logit
    scores, label_ids = model.top_k(rows, k)
    for row in range(N):
        of_head = head_logits[row]
        mixed = 0.3 * own[row, candidates[row]] + 0.7 * of_head
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


def test_a_share_of_0_is_the_head():
    model = _model("compact", share=0.0)
    _, _, rows, _ = _batch("compact")
    scores, label_ids = model.top_k(rows, 5)
    head_logits, candidates = _candidates(model, rows)
    head_scores = 1 / (1 + np.exp(-head_logits))
    np.testing.assert_array_equal(label_ids, candidates[:, :5])
    np.testing.assert_allclose(scores, head_scores[:, :5], atol=1e-6)


def test_config_makes_the_same_model_again():
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


@pytest.mark.parametrize("form", sparse_rows.FORMS)
def test_before_it_has_learnt_the_order_is_the_heads(form):
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
    found = weight_places.place(
        labels[order], features[order], kernel[order], np.zeros(6), 9000, 800
    )
    assert len(found.features) == weight_table.capacity(6, 800)
    own = reranker.Reranker(6, 9000, 800, 6)
    own.assign(found)
    every = np.arange(9000, dtype=np.int32)[:, None]
    rows = sparse_rows.PaddedRows(every, tf.ones([9000, 1]))
    margins = own.margins(rows, np.broadcast_to(np.arange(6), (9000, 6)))
    np.testing.assert_array_equal(margins, wanted.T)


def test_of_features_that_hash_alike_the_smallest_weight_is_left_out(
    monkeypatch,
):
    # All even features have the same hashes.
    monkeypatch.setattr(weight_table, "MULTIPLIERS", (2**31,) * 3)
    found = weight_places.place(
        np.zeros(3, int),
        np.array([2, 4, 6]),
        np.array([1.0, -3.0, 2.0]),
        np.zeros(1),
        9,
        3,
    )
    held = found.features[found.features < 9]
    assert sorted(held) == [4]
    assert found.kernel[found.features == 4] == -3


@pytest.mark.parametrize("at_once", [1, 7, 1000])
@pytest.mark.parametrize("number", [2, 40])
def test_labels_learn_from_positives_and_candidates(
    number, at_once, monkeypatch
):
    """Each label's weights are those of a problem of its own."""
    monkeypatch.setattr(label_pairs, "_PAIRS_PER_GROUP", at_once)
    monkeypatch.setattr(label_pairs, "_ROWS_PER_READ", 6)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20, D)) * (rng.random((20, D)) < 0.5)
    x = x.astype(np.float32)
    y = rng.random((20, L)) < 0.1
    y[:, 4] = False  # a label that no instance has
    listed = np.stack([rng.choice(L, 5, False) for _ in range(20)])
    source = in_memory.InMemorySource(_instances(x, y), D, L)
    settings = label_classifiers.Settings(1.0, 300, number, 0.0, 0)
    found = label_classifiers.learn(source, listed.astype(np.int32), settings)
    rows, columns = np.nonzero(x)
    matrix = label_problems.Rows(
        np.searchsorted(rows, np.arange(21)), columns, x[rows, columns], D
    )
    wanted, bias = np.zeros((L, D)), np.full(L, -1.0)
    for label in np.flatnonzero(y.any(axis=0)):
        own = y[:, label] | (listed == label).any(axis=1)
        pairs = label_problems.Pairs(
            np.array([0, own.sum()]), np.flatnonzero(own), y[own, label]
        )
        solved = linear_svm.solve(
            matrix,
            pairs,
            linear_svm.Settings(1, 300),
            np.array([3], np.uint64),
        )
        wanted[label, solved.feature_ids] = solved.weights
        bias[label] = solved.biases[0]
    dense = _dense(found)
    np.testing.assert_allclose(found.bias, bias, atol=1e-2)
    is_kept = dense != 0
    np.testing.assert_allclose(dense, wanted * is_kept, atol=1e-2)
    left_out = np.abs(np.where(is_kept, 0, wanted))
    if number == 2:  # the largest of all labels
        assert np.count_nonzero(is_kept) == L * number
        assert left_out.max() <= np.abs(dense[is_kept]).min() + 1e-2
    else:
        assert left_out.max() < 1e-2


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
