"""Batches in parts, on the device that takes them, are the batches."""

import numpy as np
import padded_cases
import pytest
import tensorflow as tf

from tfxml.data.feeding import on_device, pipeline
from tfxml.training import loop

STEPS = 12  # more than two epochs
SPLIT = padded_cases.source()
OTHER = "/job:localhost/replica:0/task:0/device:CPU:1"


def _dataset(is_padded, context=None):
    return pipeline.training(
        SPLIT,
        padded_cases.BATCHES,
        seed=0,
        first_step=0,
        num_steps=STEPS,
        shard=pipeline.shard_of(context) if context else pipeline.WHOLE,
        is_padded=is_padded,
    )


def _distributed(strategy, is_padded):
    return on_device.distribute(
        strategy, lambda context: _dataset(is_padded, context)
    )


def _ahead(where, is_padded):
    """Returns the batches as the default strategy or another gets them."""
    if where == "prefetched":
        return on_device.prefetched(_dataset(is_padded), "CPU:1")
    strategy = tf.distribute.get_strategy()
    if where == "one_device":
        strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    return _distributed(strategy, is_padded)


def _tensors(batch):
    return tf.nest.flatten(batch, expand_composites=True)


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("where", ["default", "one_device", "prefetched"])
def test_whole_batches_are_those_of_the_host(where, is_padded):
    found = [on_device.whole(one) for one in _ahead(where, is_padded)]
    wanted = list(_dataset(is_padded))
    assert len(found) == len(wanted) == STEPS
    for one, other in zip(found, wanted, strict=True):
        assert list(map(type, one)) == list(map(type, other))
        for mine, theirs in zip(_tensors(one), _tensors(other), strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "is_padded", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_two_replicas_get_their_shares(is_padded, mirrored):
    for number, element in enumerate(_distributed(mirrored, is_padded)):
        shares = mirrored.experimental_local_results(element)
        instances = [on_device.whole(one).instances for one in shares]
        assert [one.device[-5:] for one in instances] == ["CPU:0", "CPU:1"]
        for replica, found in enumerate(instances):
            shard = pipeline.Shard(2, replica, 1)
            context = tf.distribute.InputContext(2, replica, 2)
            assert pipeline.shard_of(context) == shard
            batches = list(_dataset(is_padded, context))
            np.testing.assert_array_equal(found, batches[number].instances)


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("where", ["one_device", "prefetched"])
def test_every_tensor_is_on_the_device(where, is_padded):
    for element in _ahead(where, is_padded):
        tensors = tf.nest.flatten(element)
        assert len(tensors) == (6 if is_padded else 10)
        assert all(isinstance(tensor, tf.Tensor) for tensor in tensors)
        assert {tensor.device for tensor in tensors} == {OTHER}


def _trained(where, form):
    """Returns the weights after some steps, and their loss."""
    is_padded = form == "padded"
    strategy = tf.distribute.get_strategy()
    if where == "one_device":
        strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    recipe = padded_cases.config("mach_encoders", form=form)
    with strategy.scope():
        model, optimizer, step = padded_cases.parts(recipe, SPLIT)
    train_steps = loop.make_train_steps(strategy, model, optimizer, step, 0)
    batches = iter(_ahead(where, is_padded))
    loss = train_steps(batches, tf.constant(STEPS))
    return float(loss), [w.numpy() for w in model.trainable_variables]


@pytest.mark.parametrize(
    "form",
    ["compact", "dense", pytest.param("padded", marks=pytest.mark.slow)],
)
@pytest.mark.parametrize(
    "where", ["one_device", pytest.param("prefetched", marks=pytest.mark.slow)]
)
def test_training_ends_with_the_same_weights(where, form):
    loss, weights = _trained(where, form)
    expected_loss, expected = _trained("default", form)
    assert loss == pytest.approx(expected_loss, rel=1e-6)
    for mine, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)
