"""One contract for all heads, against NumPy from the definition."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data import inputs
from tfxml.mach import decode, hashing, mach_choices
from tfxml.models import (
    blocks,
    calibration,
    contract,
    extreme_classifier,
    label_buckets,
    row_forms,
    sparse_labels,
)
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import mach_head, sigmoid
from tfxml.models.losses import sigmoid_cross_entropy

N, H, L, R, B = 9, 6, 23, 3, 8


def _sigmoid_head(**kwargs):
    return sigmoid.SigmoidHead(L, H, block_size=10, seed=1, **kwargs)


def _mach_head(estimator="logit", **kwargs):
    hashes = [hashing.from_seed(5, r, B, L) for r in range(R)]
    return mach_head.MachHead(
        L, hashes=hashes, input_dim=H, estimator=estimator, **kwargs
    )


HEADS = {sigmoid.SigmoidHead: _sigmoid_head, mach_head.MachHead: _mach_head}


def _randomize(head, rng):
    for variable in head.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))


def _labels(rng):
    sets = [sorted(rng.choice(L, rng.integers(0, 5), False)) for _ in range(N)]
    return tf.ragged.constant(sets, dtype=tf.int32), sets


def _scored(head, encoded, k):
    """Returns the head's best labels with the scores that users see."""
    estimates, label_ids = head.top_k(encoded, k)
    return calibration.scores(estimates, head.link), label_ids


def _dense_kernel(block):
    return block.kernel.numpy().astype(np.float64), block.bias.numpy()


def _repetition_probabilities(head, encoded):
    """Returns [R, N, B] by definition."""
    stack = []
    for repetition in head.blocks:
        kernel, bias = _dense_kernel(repetition)
        stack.append(1 / (1 + np.exp(-(encoded @ kernel.T + bias))))
    return np.stack(stack)


def _sigmoid_logits(head, encoded):
    kernels, biases = zip(*map(_dense_kernel, head.blocks), strict=True)
    return encoded @ np.concatenate(kernels).T + np.concatenate(biases)


def _cross_entropy(p, y, weights):
    terms = y * np.log(p) + (1 - y) * np.log(1 - p)
    return -(weights[:, None] * terms).sum()


def _loss(head, encoded, label_ids, weights):
    return head.loss_sum(
        [tf.constant(encoded, tf.float32)],
        sparse_labels.positives_of(label_ids, tf.constant(weights, tf.float32)),
        tf.constant(weights, tf.float32),
    )


@pytest.mark.parametrize("seed", range(3))
def test_sigmoid_loss(seed):
    rng = np.random.default_rng(seed)
    head = _sigmoid_head()
    _randomize(head, rng)
    encoded, weights = rng.normal(size=(N, H)), rng.random(N)
    ragged, sets = _labels(rng)
    y = np.zeros((N, L))
    for row, labels in enumerate(sets):
        y[row, labels] = 1
    p = 1 / (1 + np.exp(-_sigmoid_logits(head, encoded)))
    np.testing.assert_allclose(
        _loss(head, encoded, ragged, weights),
        _cross_entropy(p, y, weights),
        rtol=1e-5,
    )


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_mach_loss_combines_labels_of_one_bucket_by_or(seed, is_padded):
    rng = np.random.default_rng(seed)
    head = _mach_head()
    _randomize(head, rng)
    encoded, weights = rng.normal(size=(N, H)), rng.random(N)
    ragged, sets = _labels(rng)
    probabilities = _repetition_probabilities(head, encoded)
    expected = 0.0
    for one, p in zip(head.hashes, probabilities, strict=True):
        y = np.zeros((N, B))
        for row, labels in enumerate(sets):
            for label in labels:
                bucket = (one.a * int(label) + one.b) % one.prime % B
                y[row, bucket] = 1
        expected += _cross_entropy(p, y, weights)
    label_ids = ragged.to_tensor(-1) if is_padded else ragged
    np.testing.assert_allclose(
        _loss(head, encoded, label_ids, weights), expected, rtol=1e-5
    )


@pytest.mark.parametrize("k", [1, 5, L, L + 10])
def test_sigmoid_top_k(k):
    rng = np.random.default_rng(k)
    head = _sigmoid_head()
    _randomize(head, rng)
    encoded = rng.normal(size=(N, H))
    logits = _sigmoid_logits(head, encoded)
    order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
    scores, ids = _scored(head, [tf.constant(encoded, tf.float32)], k)
    np.testing.assert_array_equal(ids, order)
    expected = 1 / (1 + np.exp(-np.take_along_axis(logits, order, axis=1)))
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def _mach_scores(head, encoded, estimator):
    """Returns [N, L] label scores by definition."""
    tables = np.stack([one.table(L) for one in head.hashes])
    p = _repetition_probabilities(head, encoded)
    of_labels = np.stack(
        [p[r][:, tables[r]] for r in range(len(tables))]
    )  # [R, N, L]
    if estimator == "mean":
        mass = p.sum(axis=2).mean(axis=0)[:, None]
        return (B * of_labels.mean(axis=0) - mass) / (B - 1)
    if estimator == "min":
        return of_labels.min(axis=0)
    if estimator == "median":
        return np.median(of_labels, axis=0)
    mean_logit = np.log(of_labels / (1 - of_labels)).mean(axis=0)
    return 1 / (1 + np.exp(-mean_logit))


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
@pytest.mark.parametrize("k", [1, 5, L + 10])
def test_mach_top_k(estimator, k):
    rng = np.random.default_rng(k)
    head = _mach_head(estimator)
    _randomize(head, rng)
    encoded = rng.normal(size=(N, H))
    wanted = _mach_scores(head, encoded, estimator)
    scores, ids = _scored(head, [tf.constant(encoded, tf.float32)], k)
    best = -np.sort(-wanted, axis=1)[:, :k]
    np.testing.assert_allclose(scores, best, atol=2e-5)
    # Labels that share all deciding buckets tie: their scores must agree.
    np.testing.assert_allclose(
        np.take_along_axis(wanted, ids.numpy(), axis=1), best, atol=2e-5
    )
    assert all(len(set(row)) == len(row) for row in ids.numpy())


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
def test_decode_in_label_blocks_equals_one_block(estimator):
    rng = np.random.default_rng(0)
    hashes = [hashing.from_seed(1, r, B, L) for r in range(R)]
    logits = [
        tf.constant(rng.normal(size=(N, B)), tf.float32) for _ in range(R)
    ]
    whole = decode.top_k(logits, hashes, L, 7, estimator)
    parts = decode.top_k(logits, hashes, L, 7, estimator, label_block_size=5)
    np.testing.assert_array_equal(whole[1], parts[1])
    np.testing.assert_array_equal(whole[0], parts[0])


def test_decode_in_label_blocks_is_compiled_by_xla():
    rng = np.random.default_rng(0)
    hashes = [hashing.from_seed(1, r, B, L) for r in range(R)]
    logits = [
        tf.constant(rng.normal(size=(N, B)), tf.float32) for _ in range(R)
    ]

    @tf.function(jit_compile=True)
    def compiled():
        return decode.top_k(logits, hashes, L, 7, "logit", label_block_size=5)

    scores, ids = decode.top_k(logits, hashes, L, 7, "logit")
    np.testing.assert_array_equal(compiled()[1], ids)
    np.testing.assert_allclose(compiled()[0], scores, atol=1e-5)


def test_equal_scores_come_in_the_order_of_label_ids():
    logits = [tf.zeros([2, B])] * R
    hashes = [hashing.from_seed(1, r, B, L) for r in range(R)]
    _, ids = decode.top_k(logits, hashes, L, 6, "logit", label_block_size=4)
    np.testing.assert_array_equal(ids, [range(6)] * 2)


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
def test_mach_with_one_repetition_and_identity_equals_sigmoid(estimator):
    rng = np.random.default_rng(0)
    one = _sigmoid_head()
    other = mach_head.MachHead(
        L, hashes=[hashing.identity(L)], input_dim=H, estimator=estimator
    )
    _randomize(one, rng)
    other.blocks[0].kernel.assign(
        np.concatenate([block.kernel.numpy() for block in one.blocks])
    )
    other.blocks[0].bias.assign(
        np.concatenate([block.bias.numpy() for block in one.blocks])
    )
    encoded, weights = rng.normal(size=(N, H)), rng.random(N)
    label_ids, _ = _labels(rng)
    np.testing.assert_allclose(
        _loss(one, encoded, label_ids, weights),
        _loss(other, encoded, label_ids, weights),
        rtol=1e-6,
    )
    rows = [tf.constant(encoded, tf.float32)]
    pairs = zip(_scored(one, rows, 5), _scored(other, rows, 5), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_bias_starts_at_the_label_prior():
    priors = np.linspace(0.001, 0.5, L)
    head = _sigmoid_head(label_priors=priors)
    biases = np.concatenate([block.bias.numpy() for block in head.blocks])
    np.testing.assert_allclose(1 / (1 + np.exp(-biases)), priors, rtol=1e-4)


def test_bucket_prior_is_the_chance_of_any_of_its_labels():
    priors = np.linspace(0.001, 0.5, L)
    one = hashing.from_seed(2, 0, B, L)
    table = one.table(L)
    expected = [1 - np.prod(1 - priors[table == b]) for b in range(B)]
    np.testing.assert_allclose(
        label_buckets.bucket_priors(one, np.log1p(-priors)), expected
    )


@pytest.mark.parametrize("kind", ["linear", "hidden"])
@pytest.mark.parametrize("head_class", list(HEADS))
def test_forms_of_rows_agree(head_class, kind):
    """Dense, compact and padded rows: one loss, one set of gradients."""
    rng = np.random.default_rng(3)
    num_features = 12
    sets = [
        sorted(rng.choice(num_features, rng.integers(0, 6), False))
        for _ in range(N)
    ]
    ids = tf.ragged.constant(sets, dtype=tf.int32)
    values = ids.with_values(
        tf.constant(rng.normal(size=len(ids.flat_values)), tf.float32)
    )
    label_ids, _ = _labels(rng)
    weights = tf.constant(rng.random(N), tf.float32)
    results = {}
    for form in row_forms.FORMS:
        model = _model(head_class, kind, num_features, form)
        rows, positives = inputs.features(ids, values), label_ids
        if form == "padded":
            rows, positives = inputs.padded(rows), label_ids.to_tensor(-1)
        with tf.GradientTape() as tape:
            loss = model.loss_sum(rows, positives, weights)
        gradients = tape.gradient(loss, model.trainable_variables)
        results[form] = [loss, *map(tf.convert_to_tensor, gradients)]
    for form in ("compact", "padded"):
        for one, other in zip(results["dense"], results[form], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def _model(head_class, kind, num_features, form):
    is_linear = kind == "linear"
    encoder = (
        [] if is_linear else [bag_encoder.BagEncoder(num_features, (5, H))]
    )
    dim = num_features if is_linear else H
    if head_class is mach_head.MachHead:
        hashes = [hashing.from_seed(5, r, B, L) for r in range(R)]
        head = mach_head.MachHead(
            L, hashes=hashes, input_dim=dim, is_linear=is_linear
        )
    else:
        head = sigmoid.SigmoidHead(L, dim, block_size=9, is_linear=is_linear)
    rng = np.random.default_rng(4)
    model = extreme_classifier.ExtremeClassifier(
        encoder, head, num_features, form
    )
    for variable in model.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return model


@pytest.mark.parametrize("num_encoders", [1, 2, 4])
def test_encoders_feed_equal_runs_of_repetitions(num_encoders):
    rng = np.random.default_rng(0)
    hashes = [hashing.from_seed(5, r, B, L) for r in range(4)]
    head = mach_head.MachHead(L, hashes=hashes, input_dim=H)
    _randomize(head, rng)
    encoders = [rng.normal(size=(N, H)) for _ in range(num_encoders)]
    logits = head.bucket_logits([tf.constant(t, tf.float32) for t in encoders])
    of_repetition = {1: [0, 0, 0, 0], 2: [0, 0, 1, 1], 4: [0, 1, 2, 3]}[
        num_encoders
    ]
    for found, repetition, encoder in zip(
        logits, head.blocks, of_repetition, strict=True
    ):
        kernel, bias = _dense_kernel(repetition)
        np.testing.assert_allclose(
            found, encoders[encoder] @ kernel.T + bias, atol=1e-5
        )


def test_encoders_that_do_not_divide_the_repetitions_are_refused():
    with pytest.raises(ValueError, match="divides the 3 repetitions"):
        _mach_head().bucket_logits([tf.zeros([1, H])] * 2)


def test_block_rejects_nothing_it_should_take():
    loss = sigmoid_cross_entropy.SigmoidCrossEntropy()
    block = blocks.OutputBlock(4, loss, 3)
    assert block.call(tf.zeros([0, 3])).shape == (0, 4)
    empty = contract.Positives(
        tf.zeros([0], tf.int32), tf.zeros([0], tf.int32), tf.zeros([0])
    )
    assert float(block.loss_sum(tf.zeros([0, 3]), empty, tf.zeros([0]))) == 0.0


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: _mach_head("max"), "estimator"),
        (lambda: mach_head.MachHead(L, hashes=[], input_dim=H), "hashes"),
        (lambda: bag_encoder.BagEncoder(5, ()), "hidden_units"),
        (lambda: bag_encoder.BagEncoder(5, (3,), dropout=1.0), "dropout"),
        (lambda: hashing.UniversalHash(0, 1, 0), "num_buckets"),
        (lambda: hashing.UniversalHash(3, 0, 0), "`a`"),
    ],
)
def test_errors_name_the_argument(call, word):
    with pytest.raises(ValueError, match=word):
        call()
