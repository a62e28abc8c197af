"""Batches hold every instance once an epoch, in an order that is pure."""

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data import instances
from tfxml.data.feeding import batching, in_memory, pipeline

D, L = 50, 20
BY_FIVE = batching.ByInstances(23, 5)


def _instances(num_instances, seed=0):
    rng = np.random.default_rng(seed)
    feature_lengths = rng.integers(0, 6, num_instances)
    label_lengths = rng.integers(0, 4, num_instances)

    def distinct(lengths, most):
        rows = [np.sort(rng.choice(most, n, False)) for n in lengths]
        return np.concatenate([np.zeros(0), *rows]).astype(np.int32)

    return instances.Instances(
        instances.splits_from_lengths(feature_lengths),
        distinct(feature_lengths, D),
        rng.random(feature_lengths.sum()).astype(np.float32),
        instances.splits_from_lengths(label_lengths),
        distinct(label_lengths, L),
    )


def _source(num_instances):
    return in_memory.InMemorySource(_instances(num_instances), D, L)


def _ids(dataset):
    return [batch.instances.numpy().tolist() for batch in dataset]


@pytest.mark.parametrize("is_padded", [False, True])
def test_rows_are_those_of_the_split(is_padded):
    source = _source(23)
    found = source.instances
    for batch in pipeline.evaluation(source, 5, is_padded=is_padded):
        for place, row in enumerate(batch.instances.numpy()):
            if row < 0:
                assert batch.weights[place] == 0
                assert not np.any(batch.inputs["feature_values"][place])
                assert np.all(batch.label_ids[place] == -1)
                continue
            start, stop = found.feature_splits[row : row + 2]
            ids = batch.inputs["feature_ids"][place]
            values = batch.inputs["feature_values"][place]
            labels = batch.label_ids[place].numpy()
            if is_padded:
                assert not np.any(values[stop - start :])
                ids, values = ids[: stop - start], values[: stop - start]
                labels = labels[labels >= 0]
            np.testing.assert_array_equal(ids, found.feature_ids[start:stop])
            np.testing.assert_array_equal(
                values, found.feature_values[start:stop]
            )
            start, stop = found.label_splits[row : row + 2]
            np.testing.assert_array_equal(labels, found.label_ids[start:stop])


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize(("num_instances", "batch_size"), [(23, 5), (20, 5)])
def test_every_epoch_holds_every_instance_once(
    num_instances, batch_size, is_padded
):
    source = _source(num_instances)
    cut = batching.ByInstances(num_instances, batch_size)
    steps_per_epoch = cut.steps_per_epoch
    batches = _ids(
        pipeline.training(
            source, cut, 1, 0, 2 * steps_per_epoch, is_padded=is_padded
        )
    )
    epochs = [
        sum(batches[:steps_per_epoch], []),
        sum(batches[steps_per_epoch:], []),
    ]
    epochs = [[i for i in epoch if i >= 0] for epoch in epochs]
    for epoch in epochs:
        assert sorted(epoch) == list(range(num_instances))
        assert epoch != list(range(num_instances))
    assert epochs[0] != epochs[1]


def test_order_is_a_function_of_seed_and_step():
    source = _source(23)
    whole = _ids(pipeline.training(source, BY_FIVE, 1, 0, 15))
    assert _ids(pipeline.training(source, BY_FIVE, 1, 0, 15)) == whole
    assert _ids(pipeline.training(source, BY_FIVE, 1, 7, 15)) == whole[7:]
    assert _ids(pipeline.training(source, BY_FIVE, 2, 0, 15)) != whole


@pytest.mark.parametrize("num_replicas", [2, 3, 8])
@pytest.mark.parametrize("num_pipelines", [1, 2])
def test_shards_make_up_the_global_batches(num_replicas, num_pipelines):
    if num_replicas % num_pipelines:
        pytest.skip("replicas are spread evenly over pipelines")
    source = _source(23)
    whole = _ids(pipeline.training(source, BY_FIVE, 1, 0, 10))
    local = num_replicas // num_pipelines
    shards = [
        _ids(
            pipeline.training(
                source,
                BY_FIVE,
                1,
                0,
                10,
                pipeline.Shard(num_replicas, first * local, local),
            )
        )
        for first in range(num_pipelines)
    ]
    for step, expected in enumerate(whole):
        parts = [
            shard[step * local + replica]
            for shard in shards
            for replica in range(local)
        ]
        assert sum(parts, []) == expected
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_evaluation_keeps_the_order_of_the_split():
    assert sum(_ids(pipeline.evaluation(_source(23), 5)), []) == list(range(23))


def test_padded_batches_have_one_static_shape():
    specs = pipeline.evaluation(_source(23), 5, is_padded=True).element_spec
    assert all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(specs))


def test_instances_join_and_select():
    one, other = _instances(4, seed=1), _instances(3, seed=2)
    joined = instances.concatenate([one, other])
    back = instances.select(joined, np.array([4, 5, 6]))
    for name in vars(other):
        np.testing.assert_array_equal(getattr(back, name), getattr(other, name))
