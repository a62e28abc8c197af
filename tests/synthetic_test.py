"""The generated data set against its definition."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfxml.data.synthetic import synthetic_source

INDICES = tf.range(200, dtype=tf.int64)


@pytest.fixture(scope="module")
def source():
    return synthetic_source.SyntheticSource(2000, 1000)


def lists(rows):
    """Returns what `rows` or `marginals` returns as lists of lists."""
    tensors = tf.nest.flatten(rows, expand_composites=False)
    return [tensor.to_list() for tensor in tensors]


def test_rows_are_well_formed(source):
    found, labels = source.rows(tf.range(2000, dtype=tf.int64))
    ids, values = found["feature_ids"], found["feature_values"]
    dtypes = [t.dtype for t in (ids, values, labels)]
    assert dtypes == [tf.int32, tf.float32, tf.int32]
    for tensor, size in ((ids, source.num_features), (labels, 1000)):
        assert tensor.row_splits.dtype == tf.int64
        assert tensor.nrows() == 2000
        for row in tensor.to_list():
            assert row == sorted(set(row))
            assert not row or (row[0] >= 0 and row[-1] < size)
    np.testing.assert_array_equal(ids.row_splits, values.row_splits)
    norms = [np.linalg.norm(row) for row in values.to_list()]
    np.testing.assert_allclose(norms, 1.0, rtol=1e-6)
    assert 25 < tf.reduce_mean(tf.cast(ids.row_lengths(), tf.float32)) < 40
    assert 2.5 < tf.reduce_mean(tf.cast(labels.row_lengths(), tf.float32)) < 4.5


@pytest.mark.parametrize("method", ["rows", "marginals"])
@pytest.mark.parametrize(
    "how, batch_size",
    [("eager", 1), ("eager", 7), ("function", 7), ("dataset", 64)],
)
def test_a_row_depends_on_its_index_alone(source, method, how, batch_size):
    make = getattr(source, method)
    whole = lists(make(INDICES))
    order = np.random.default_rng(0).permutation(200)[:150]
    batches = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
    if how == "dataset":
        made = batches.map(make, num_parallel_calls=2)
    elif how == "function":
        signature = [tf.TensorSpec([None], tf.int64)]
        made = map(tf.function(make, input_signature=signature), batches)
    else:
        made = map(make, batches.take(20))
    rows = [sum(parts, []) for parts in zip(*map(lists, made), strict=True)]
    for part, expected in zip(rows, whole, strict=True):
        assert part == [expected[i] for i in order[: len(part)]]


def test_an_empty_batch_has_no_rows(source):
    for tensor in tf.nest.flatten(source.rows(tf.zeros([0], tf.int64))):
        assert tensor.nrows() == 0


def test_sources_of_one_model_are_ranges_of_instances(source):
    test = synthetic_source.SyntheticSource(50, 1000, first_instance=100)
    indices = tf.range(50, dtype=tf.int64)
    assert lists(test.rows(indices)) == lists(source.rows(indices + 100))


def test_another_seed_gives_another_set(source):
    other = synthetic_source.SyntheticSource(2000, 1000, seed=1)
    for a, b in zip(
        lists(source.rows(INDICES)), lists(other.rows(INDICES)), strict=True
    ):
        same = sum(x == y for x, y in zip(a, b, strict=True))
        assert same < 20  # rows without labels may agree


def test_optimal_precision_is_its_definition(source):
    _, p = source.marginals(INDICES)
    best = [sorted(row, reverse=True) for row in p.to_list()]
    measured = source.optimal_precision(INDICES, [1, 3, 5, 100])
    assert list(measured) == ["P@1", "P@3", "P@5", "P@100"]
    for k in (1, 3, 5, 100):
        expected = np.mean([sum(row[:k]) / k for row in best])
        assert measured[f"P@{k}"] == pytest.approx(expected, abs=1e-12)


def test_realised_precision_is_its_definition(source):
    hits = []
    for ids, p, labels in zip(
        *lists(source.marginals(INDICES)),
        source.rows(INDICES)[1].to_list(),
        strict=True,
    ):
        ranked = [ids[i] for i in np.argsort(p)[::-1][:5]]
        hits.append([label in labels for label in ranked])
    measured = source.realised_precision(INDICES, [1, 3, 5])
    for k in (1, 3, 5):
        expected = np.mean([sum(row[:k]) / k for row in hits])
        assert measured[f"P@{k}"] == pytest.approx(expected, abs=1e-12)


def test_the_optimum_is_reached_on_the_labels():
    # More instances than one chunk of the streaming pass.
    source = synthetic_source.SyntheticSource(20_000, 1000)
    indices = tf.range(20_000, dtype=tf.int64)
    ks = [1, 3, 5]
    expected = source.optimal_precision(indices, ks)
    realised = source.realised_precision(indices, ks)
    p = source.marginals(indices)[1].to_tensor().numpy()
    p = np.sort(p, axis=1)[:, ::-1]
    for k in ks:
        variance = (p[:, :k] * (1 - p[:, :k])).sum()
        error = np.sqrt(variance) / (k * 20_000)
        assert abs(realised[f"P@{k}"] - expected[f"P@{k}"]) < 3 * error


def test_the_default_set_is_neither_trivial_nor_hopeless():
    source = synthetic_source.SyntheticSource(4000, 1000, first_instance=16_000)
    optimum = source.optimal_precision(range(4000), [1, 3, 5])
    assert 0.75 < optimum["P@1"] < 0.9
    assert optimum["P@1"] > optimum["P@3"] > optimum["P@5"] > 0.4


def test_label_counts_are_those_of_the_rows():
    source = synthetic_source.SyntheticSource(5000, 1000, first_instance=7)
    labels = source.rows(tf.range(5000, dtype=tf.int64))[1].flat_values
    counts = source.label_counts()
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, np.bincount(labels, minlength=1000))


def test_label_counts_are_zipf_like():
    counts = np.sort(
        synthetic_source.SyntheticSource(16_000, 1000).label_counts()
    )
    assert (counts > 0).mean() > 0.99
    counts, ranks = counts[::-1][10:500], np.arange(11, 501)
    slope = np.polyfit(np.log(ranks), np.log(counts), 1)[0]
    assert -1.3 < slope < -0.7


def test_labels_have_distinct_names(source):
    names = [source.label_name(i) for i in range(1000)]
    assert len(set(names)) == 1000
    assert names[17 * 4 + 2] == "topic-17/label-2"
    assert names[980] == "general-0"


def memory(field):
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{field}:")[1].split()[0]) * 1024


def test_millions_of_labels_need_no_memory():
    clear = pathlib.Path("/proc/self/clear_refs")
    source = synthetic_source.SyntheticSource(2**40, 49_000_000)
    make = tf.function(
        source.rows, input_signature=[tf.TensorSpec([None], tf.int64)]
    )
    starts = np.linspace(0, 2**40 - 512, 20).astype(np.int64)
    make(starts[0] + np.arange(512))
    if clear.exists():
        clear.write_text("5", encoding="ascii")  # resets the peak, VmHWM
        before = memory("VmRSS")
    found, labels = zip(
        *[make(start + np.arange(512)) for start in starts], strict=True
    )
    if clear.exists():
        # One byte for each topic would be 12 MB, one int32 a label 196 MB.
        assert memory("VmHWM") - before < 10e6

    ids, labels = (
        np.concatenate([part.flat_values for part in parts])
        for parts in ([rows["feature_ids"] for rows in found], labels)
    )
    assert source.num_features == 100_000 + 8 * 12_005_000
    assert 90_000_000 < ids.max() < source.num_features
    assert 48_980_000 < labels.max() < 49_000_000
    assert len(np.unique(labels)) > 10_000
    assert source.label_name(48_019_999) == "topic-12004999/label-3"


@pytest.mark.parametrize(
    "name, value",
    [
        ("num_instances", 0),
        ("num_instances", 1.5),
        ("num_labels", 7),
        ("num_labels", 2**31),
        ("seed", -1),
        ("first_instance", -1),
        ("dependence", -0.1),
        ("dependence", 1.1),
        ("dependence", float("nan")),
        ("labels_per_topic", 0),
        ("features_per_topic", 1),
    ],
)
def test_arguments_are_checked(name, value):
    arguments = {"num_instances": 10, "num_labels": 100, name: value}
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        synthetic_source.SyntheticSource(**arguments)


def test_features_must_fit_int32():
    with pytest.raises(ValueError, match="features_per_topic=64.*features"):
        synthetic_source.SyntheticSource(10, 200_000_000, features_per_topic=64)


@pytest.mark.parametrize("indices", [[-1], [0, 2000]])
def test_indices_outside_of_the_source_are_refused(source, indices):
    indices = tf.constant(indices, tf.int64)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`indices`"):
        source.rows(indices)
    dataset = tf.data.Dataset.from_tensors(indices).map(source.rows)
    with pytest.raises(tf.errors.InvalidArgumentError, match="`indices`"):
        next(iter(dataset))


def test_indices_are_a_vector(source):
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        source.rows(tf.constant(3, tf.int64))


@pytest.mark.parametrize("ks", [[0], [1001], [1, 2.5]])
def test_ks_are_checked(source, ks):
    with pytest.raises(ValueError, match="`ks` must be an integer"):
        source.optimal_precision(INDICES, ks)


def test_precision_needs_an_instance(source):
    with pytest.raises(ValueError, match="`indices` must not be empty"):
        source.optimal_precision(tf.zeros([0], tf.int64), [1])


@pytest.mark.parametrize("label_id", [-1, 1000])
def test_label_ids_are_checked(source, label_id):
    with pytest.raises(ValueError, match="`label_id`"):
        source.label_name(label_id)
