"""The second look at a shortlist, against NumPy from the definition."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data import in_memory, instances, label_features
from tfxml.mach import hashing
from tfxml.models import (
    classifier,
    encoders,
    mach,
    refiner,
    sigmoid,
    sparse_rows,
)

N, D, L, H, F, S = 7, 13, 23, 6, 4, 9
HEADS = ["sigmoid", "mach"]


def _model(form, head="sigmoid", share=0.3):
    rng = np.random.default_rng(4)
    if head == "mach":
        hashes = [hashing.from_seed(5, r, 8, L) for r in range(3)]
        head = mach.MachHead(L, hashes, H)
    else:
        head = sigmoid.SigmoidHead(L, H, block_size=9)
    features = np.full((L, F), D)
    for label in range(L):
        own = rng.choice(D, rng.integers(0, F + 1), False)
        features[label, : len(own)] = np.sort(own)
    model = classifier.ExtremeClassifier(
        [encoders.Encoder(D, (H,))],
        head,
        D,
        form,
        refiner.Refiner(L, D, F, S, share, features),
    )
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
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
    if form == "padded":
        return (
            x,
            y,
            ids.to_tensor(0),
            values.to_tensor(0.0),
            labels.to_tensor(-1),
        )
    return x, y, ids, values, labels


def _own_logits(model, x):
    """Returns [N, L], every label's own classifier."""
    kernel, bias = model.refiner.kernel.numpy(), model.refiner.bias.numpy()
    logits = np.tile(bias, (len(x), 1)).astype(np.float64)
    for label, features in enumerate(model.refiner.features.numpy()):
        for place, feature in enumerate(features):
            if feature < D:
                logits[:, label] += x[:, feature] * kernel[label, place]
    return logits


def _shortlist(model, ids, values, k=S):
    return [
        one.numpy() for one in model.head.top_k(model.encode(ids, values), k)
    ]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("form", sparse_rows.FORMS)
def test_loss_is_that_of_positives_and_shortlist(form, head):
    model = _model(form, head)
    x, y, ids, values, labels = _batch(form)
    weights = np.random.default_rng(1).random(N)
    weights[5] = 0
    found = model.refiner_loss_sum(
        ids, values, labels, tf.constant(weights, tf.float32)
    )
    p = 1 / (1 + np.exp(-_own_logits(model, x)))
    _, shortlist = _shortlist(model, ids, values)
    expected = 0.0
    for row in range(N):
        for label in set(shortlist[row]) | set(np.flatnonzero(y[row])):
            right = p[row, label] if y[row, label] else 1 - p[row, label]
            expected -= weights[row] * np.log(right)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("form", sparse_rows.FORMS)
def test_gradient_is_the_slope_of_the_loss(form):
    model = _model(form)
    x, _, ids, values, labels = _batch(form)
    weights = tf.ones([N])
    with tf.GradientTape() as tape:
        loss = model.refiner_loss_sum(ids, values, labels, weights)
    kernel = model.refiner.kernel
    slope = tf.convert_to_tensor(tape.gradient(loss, kernel.value)).numpy()
    before = kernel.numpy()
    for place in [(0, 0), (3, 1), (11, 2), (20, 0)]:
        sides = []
        for change in (1e-2, -1e-2):
            moved = before.copy()
            moved[place] += change
            kernel.assign(moved)
            loss = model.refiner_loss_sum(ids, values, labels, weights)
            sides.append(float(loss))
        kernel.assign(before)
        np.testing.assert_allclose(
            slope[place], (sides[0] - sides[1]) / 2e-2, atol=2e-2
        )


@pytest.mark.parametrize("k", [1, 5, S, S + 4, L])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("form", sparse_rows.FORMS)
def test_shortlist_is_ranked_by_both_and_the_rest_stays(form, head, k):
    model = _model(form, head)
    x, _, ids, values, _ = _batch(form)
    head_scores, shortlist = _shortlist(model, ids, values, L)
    own = _own_logits(model, x)
    scores, label_ids = model.top_k(ids, values, k)
    for row in range(N):
        of_head = np.log(head_scores[row] / (1 - head_scores[row]))
        mixed = 0.3 * own[row, shortlist[row]] + 0.7 * of_head
        order = np.argsort(-mixed[:S], kind="stable")
        wanted = np.concatenate([shortlist[row][:S][order], shortlist[row][S:]])
        np.testing.assert_array_equal(label_ids[row], wanted[:k])
        logits = np.concatenate(
            [mixed[:S][order], np.minimum(of_head[S:], mixed[:S].min())]
        )
        np.testing.assert_allclose(
            scores[row], 1 / (1 + np.exp(-logits[:k])), atol=1e-4
        )


def test_a_share_of_0_is_the_head():
    model = _model("compact", share=0.0)
    _, _, ids, values, _ = _batch("compact")
    scores, label_ids = model.top_k(ids, values, 5)
    head_scores, shortlist = _shortlist(model, ids, values)
    np.testing.assert_array_equal(label_ids, shortlist[:, :5])
    np.testing.assert_allclose(scores, head_scores[:, :5], atol=1e-6)


def test_config_makes_the_same_model_again():
    model = _model("compact")
    again = classifier.ExtremeClassifier.from_config(model.get_config())
    weights = model.named_variables()
    for name, weight in again.named_variables().items():
        weight.assign(weights[name].numpy())
    _, _, ids, values, _ = _batch("compact")
    for one, other in zip(
        model.top_k(ids, values, L), again.top_k(ids, values, L), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("number", [1, 3, D])
def test_strongest_features(number, monkeypatch):
    monkeypatch.setattr(label_features, "_ROWS", 3)
    monkeypatch.setattr(label_features, "_PENDING", 20)
    rng = np.random.default_rng(2)
    x = rng.integers(1, 5, (20, D)) * (rng.random((20, D)) < 0.3)
    y = rng.random((20, L)) < 0.1
    source = in_memory.InMemorySource(_instances(x, y), D, L)
    sums = y.T.astype(int) @ x
    for label, found in enumerate(label_features.strongest(source, number)):
        order = sorted(range(D), key=lambda d: (-sums[label, d], d))
        wanted = sorted(d for d in order[:number] if sums[label, d] > 0)
        assert found.tolist() == wanted + [D] * (number - len(wanted))


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
