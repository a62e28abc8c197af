"""The losses from sparse positives against their dense definitions."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.models import (
    blocks,
    contract,
    dropout_seeds,
    losses,
    sparse_labels,
)
from tfxml.models.heads import sigmoid
from tfxml.models.losses import (
    asymmetric_loss,
    focal_loss,
    fused,
    label_smoothing,
    propensity_loss,
    regression_losses,
    sigmoid_cross_entropy,
)

LOSS = sigmoid_cross_entropy.SigmoidCrossEntropy()

N, H, B = 5, 3, 7


def _case(seed):
    rng = np.random.default_rng(seed)
    targets = (rng.random((N, B)) < 0.3).astype(np.float64)
    weights = rng.random(N)
    weights[1] = 0.0
    rows, columns = np.nonzero(targets)
    positives = contract.Positives(
        tf.constant(rows, tf.int32),
        tf.constant(columns, tf.int32),
        tf.constant(weights[rows], tf.float32),
    )
    return rng, targets, weights, positives


def _dense_loss(logits, targets, weights):
    """-sum_i w_i sum_j y log s(z) + (1 - y) log(1 - s(z)), by definition."""
    p = 1 / (1 + np.exp(-logits))
    terms = targets * np.log(p) + (1 - targets) * np.log(1 - p)
    return -(weights[:, None] * terms).sum()


@pytest.mark.parametrize("seed", range(3))
def test_loss_from_logits_equals_the_definition(seed):
    rng, targets, weights, positives = _case(seed)
    logits = tf.Variable(rng.normal(size=(N, B)) * 3, dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = LOSS.trained_value(
            logits, positives, tf.constant(weights, tf.float32)
        )
    z = logits.numpy().astype(np.float64)
    expected = weights[:, None] * (1 / (1 + np.exp(-z)) - targets)
    np.testing.assert_allclose(
        loss, _dense_loss(z, targets, weights), rtol=1e-5
    )
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_fused_loss_and_gradients_equal_the_definition(seed):
    rng, targets, weights, positives = _case(seed)
    encoded = tf.Variable(rng.normal(size=(N, H)), dtype=tf.float32)
    kernel = tf.Variable(rng.normal(size=(B, H)), dtype=tf.float32)
    bias = tf.Variable(rng.normal(size=B), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = 2.0 * fused.of_product(
            LOSS,
            tf.convert_to_tensor(encoded),
            tf.convert_to_tensor(kernel),
            tf.convert_to_tensor(bias),
            positives,
            tf.constant(weights, tf.float32),
        )
    gradients = tape.gradient(loss, [encoded, kernel, bias])
    e, k, b = (v.numpy().astype(np.float64) for v in (encoded, kernel, bias))
    z = e @ k.T + b
    d_logits = 2 * weights[:, None] * (1 / (1 + np.exp(-z)) - targets)
    np.testing.assert_allclose(
        loss, 2 * _dense_loss(z, targets, weights), rtol=1e-5
    )
    expected = (d_logits @ k, d_logits.T @ e, d_logits.sum(axis=0))
    for gradient, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-5)


def test_large_logits_stay_finite():
    logits = tf.constant([[200.0, -200.0]])
    positives = contract.Positives(
        tf.constant([0]), tf.constant([1]), tf.constant([1.0])
    )
    loss = LOSS.trained_value(logits, positives, tf.constant([1.0]))
    assert float(loss) == pytest.approx(400.0)


# --- each loss, as its paper defines it -------------------------------------

# Of a float64 matrix of logits z and one of targets y, [N, B]: the loss of
# each row.


def _log_p(z, y):
    """The logarithm of the probability of what is so."""
    p = 1 / (1 + np.exp(-z))
    return np.log(np.where(y == 1, p, 1 - p))


def _focal(z, y):
    log_p = _log_p(z, y)
    return (-((1 - np.exp(log_p)) ** 1.5) * log_p).sum(axis=1)


def _asymmetric(gamma_on, gamma_off, margin):
    def rows(z, y):
        p = 1 / (1 + np.exp(-z))
        shifted = np.maximum(p - margin, 0)
        on = (1 - p) ** gamma_on * np.log(p)
        off = shifted**gamma_off * np.log(1 - shifted)
        return -np.where(y == 1, on, off).sum(axis=1)

    return rows


PRIORS = np.array([0.4, 0.2, 0.05, 0.5, 0.01, 0.3, 0.25])


def _inverse(priors):
    return 1 / np.sqrt(priors)


def _propensity(z, y):
    factors = np.where(y == 1, 2 * _inverse(PRIORS) - 1, 1)
    return -(factors * _log_p(z, y)).sum(axis=1)


def _smoothed(share):
    def rows(z, y):
        targets = 0.8 * y + 0.2 * share
        on, off = _log_p(z, np.ones_like(y)), _log_p(z, np.zeros_like(y))
        return -(targets * on + (1 - targets) * off).sum(axis=1)

    return rows


def _hinge(power):
    def rows(z, y):
        return (np.maximum(0, 1 - (2 * y - 1) * z) ** power).sum(axis=1)

    return rows


def _error(distance):
    return lambda z, y: distance(np.abs(z - y)).sum(axis=1)


def _softmax(z, y):
    log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    number = np.maximum(y.sum(axis=1), 1)
    return -(y * log_p).sum(axis=1) / number


def _categorical_hinge(z, y):
    best = np.where(y == 1, -np.inf, z).max(axis=1, keepdims=True)
    hinges = y * np.maximum(0, 1 + best - z)
    return hinges.sum(axis=1) / np.maximum(y.sum(axis=1), 1)


def _huber(distance):
    return np.where(
        distance <= 0.7, distance**2 / 2, 0.7 * (distance - 0.7 / 2)
    )


DEFINITIONS = {
    "focal": (focal_loss.FocalLoss(1.5), _focal),
    "asymmetric": (
        asymmetric_loss.AsymmetricLoss(1, 3, 0.1),
        _asymmetric(1, 3, 0.1),
    ),
    "asymmetric, as cross-entropy": (
        asymmetric_loss.AsymmetricLoss(0, 0, 0),
        lambda z, y: -_log_p(z, y).sum(axis=1),
    ),
    "propensity": (
        propensity_loss.PropensityLoss(_inverse).of_outputs(PRIORS),
        _propensity,
    ),
    "propensity, not known": (
        propensity_loss.PropensityLoss(),
        lambda z, y: -_log_p(z, y).sum(axis=1),
    ),
    "label_smoothing": (
        label_smoothing.LabelSmoothing(0.2).of_outputs(PRIORS),
        _smoothed(PRIORS),
    ),
    "label_smoothing, not known": (
        label_smoothing.LabelSmoothing(0.2),
        _smoothed(0.5),
    ),
    "hinge": (losses.LOSSES["hinge"](), _hinge(1)),
    "squared_hinge": (losses.LOSSES["squared_hinge"](), _hinge(2)),
    "softmax_cross_entropy": (
        losses.LOSSES["softmax_cross_entropy"](),
        _softmax,
    ),
    "categorical_hinge": (
        losses.LOSSES["categorical_hinge"](),
        _categorical_hinge,
    ),
    "squared_error": (losses.LOSSES["squared_error"](), _error(np.square)),
    "absolute_error": (losses.LOSSES["absolute_error"](), _error(np.abs)),
    "huber": (regression_losses.Huber(0.7), _error(_huber)),
}


@pytest.mark.parametrize("scale", [1.0, 4.0])
@pytest.mark.parametrize("name", list(DEFINITIONS))
def test_value_and_gradient_are_those_of_the_definition(name, scale):
    loss, rows = DEFINITIONS[name]
    rng, targets, weights, positives = _case(3)
    start = (scale * rng.normal(size=(N, B))).astype(np.float32)
    logits = tf.Variable(start)
    with tf.GradientTape() as tape:
        value = loss.trained_value(
            logits, positives, tf.constant(weights, tf.float32)
        )
    z = start.astype(np.float64)
    np.testing.assert_allclose(value, weights @ rows(z, targets), rtol=2e-5)
    slopes, step = np.zeros((N, B)), 1e-6
    for place in np.ndindex(N, B):
        moved = np.zeros((N, B))
        moved[place] = step
        up, down = rows(z + moved, targets), rows(z - moved, targets)
        slopes[place] = weights @ (up - down) / (2 * step)
    np.testing.assert_allclose(tape.gradient(value, logits), slopes, atol=1e-5)


PRIOR_LOSSES = [
    name for name in DEFINITIONS if name not in ("asymmetric", "focal")
]


@pytest.mark.parametrize("name", PRIOR_LOSSES)
def test_no_constant_logits_cost_less_than_the_prior_bias(name):
    """Of 400 instances whose labels are drawn by the priors alone."""
    loss, rows = DEFINITIONS[name]
    if loss.is_multiclass:  # of which one label an instance is drawn
        shares = PRIORS / PRIORS.sum()
        chosen = np.random.default_rng(0).choice(B, 400, p=shares)
        targets = np.eye(B)[chosen]
    else:
        shares = PRIORS
        rank = (np.arange(400) + 0.5) / 400
        targets = (rank[:, None] < PRIORS).astype(float)
    bias = loss.prior_bias(targets.mean(axis=0)).astype(np.float64)

    def cost(constant):
        return rows(np.tile(constant, (400, 1)), targets).mean()

    if name == "categorical_hinge":  # it starts at zeros
        assert not bias.any()
        return
    for step in (0.02, -0.02):
        for place in range(B):
            moved = bias.copy()
            moved[place] += step
            assert cost(moved) >= cost(bias) - 1e-4


def test_a_block_tells_its_loss_the_frequencies():
    loss = propensity_loss.PropensityLoss(_inverse)
    block = blocks.OutputBlock(B, loss, H, PRIORS)
    factors = 2 * _inverse(PRIORS) - 1
    np.testing.assert_allclose(block.loss.on_weights, factors, rtol=1e-6)
    np.testing.assert_allclose(
        block.bias,
        np.log(PRIORS / (1 - PRIORS)) + np.log(factors),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", list(losses.LOSSES))
def test_large_logits_cost_and_pull_finitely(name):
    logits = tf.constant([[120.0, -120.0, 0.0]])
    positives = contract.Positives(
        tf.constant([0]), tf.constant([1]), tf.constant([1.0])
    )
    loss, weights = losses.LOSSES[name](), tf.constant([1.0])
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        value = loss.trained_value(variable, positives, weights)
    assert np.isfinite(value) and value > 0
    assert np.isfinite(tape.gradient(value, variable)).all()


# --- sampled softmax --------------------------------------------------------


def _sampling_head(num_sampled, num_labels=300, block_size=128):
    head = sigmoid.SigmoidHead(
        num_labels,
        H,
        block_size=block_size,
        loss=losses.LOSSES["sampled_softmax"](num_sampled),
    )
    rng = np.random.default_rng(0)
    for weight in head.trainable_weights:
        weight.assign(rng.normal(size=weight.shape))
    rows = [[7, 250], [3], [], [299, 0, 128]]
    labels = tf.ragged.constant(rows, dtype=tf.int32)
    return head, tf.constant(rng.normal(size=(4, H)), tf.float32), labels


@pytest.mark.parametrize("is_padded", [False, True])
def test_sampled_softmax_estimates_the_whole(is_padded):
    """Its mean over many draws: the value, and each weight's gradient."""
    head, encoded, labels = _sampling_head(num_sampled=250)
    if is_padded:
        labels = labels.to_tensor(-1)
    weights = tf.constant([1.0, 0.5, 1.0, 2.0])
    positives = sparse_labels.positives_of(labels, weights)

    @tf.function
    def of_seed(seed):
        with tf.GradientTape() as tape, dropout_seeds.given(seed):
            value = head.loss_sum(encoded, positives, weights)
        found = tape.gradient(value, head.trainable_weights)
        return value, [tf.convert_to_tensor(one) for one in found]

    with tf.GradientTape() as tape:
        whole = head.loss_sum(encoded, positives, weights)
    wanted = tape.gradient(whole, head.trainable_weights)
    draws = [of_seed(tf.constant([3, number])) for number in range(200)]
    mean = np.mean([value for value, _ in draws])
    np.testing.assert_allclose(mean, whole, rtol=0.01)
    for number, gradient in enumerate(wanted):
        found = np.mean([each[number] for _, each in draws], axis=0)
        missed = np.linalg.norm(found - gradient)
        assert missed < 0.06 * np.linalg.norm(gradient)


def test_sampled_softmax_reaches_few_rows():
    head, encoded, labels = _sampling_head(num_sampled=5, block_size=1000)
    weights = tf.ones([4])
    positives = sparse_labels.positives_of(labels, weights)
    with tf.GradientTape() as tape, dropout_seeds.given(tf.constant([1, 2])):
        value = head.loss_sum(encoded, positives, weights)
    gradient = tape.gradient(value, head.blocks[0].kernel)
    assert isinstance(gradient, tf.IndexedSlices)
    assert set(positives.columns.numpy()) < set(gradient.indices.numpy())
    assert len(set(gradient.indices.numpy())) <= 11
