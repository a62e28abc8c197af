"""Compiled loops against the model in TensorFlow, and against a sort."""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tfxml.cpu import best as best_lib
from tfxml.cpu import (
    centroid_loops,
    label_estimates,
    margins,
    ranking,
    sums,
    threads,
)
from tfxml.cpu import predictor as cpu_predictor
from tfxml.data import inputs
from tfxml.mach import hashing, mach_choices
from tfxml.models import extreme_classifier, reranker, row_forms
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import centroid, mach_head, sigmoid
from tfxml.training.solvers import weight_places

N, D, L, S = 40, 50, 90, 12


def _rows(seed=0):
    """Returns rows of features, one of them empty, as arrays."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(N, D)) * (rng.random((N, D)) < 0.3)
    dense[7] = 0
    splits = np.cumsum([0, *(np.count_nonzero(row) for row in dense)])
    ids = np.nonzero(dense)[1].astype(np.int32)
    values = dense[np.nonzero(dense)].astype(np.float32)
    return row_forms.RaggedRows(ids, values, splits)


def _ragged(rows):
    ids = tf.RaggedTensor.from_row_splits(rows.feature_ids, rows.splits)
    return inputs.features(ids, ids.with_values(tf.constant(rows.values)))


def _encoders(kind):
    if kind == "none":
        return []
    if kind == "one":
        return [bag_encoder.BagEncoder(D, [16], seed=1, table_shards=2)]
    if kind == "deep":
        return [bag_encoder.BagEncoder(D, [16, 16, 16], residual=True, seed=1)]
    return [
        bag_encoder.BagEncoder(
            23, [16], seed=one, feature_hash=hashing.from_seed(3, one, 23, D)
        )
        for one in range(2)
    ]


def _mach(estimator, decode_by="auto"):
    def head(dim, is_linear, dropped):
        hashes = [hashing.from_seed(5, r, 17, L) for r in range(4)]
        return mach_head.MachHead(
            L,
            hashes=hashes,
            input_dim=dim,
            estimator=estimator,
            decode_by=decode_by,
            is_linear=is_linear,
            dropped=dropped,
        )

    return head


def _sigmoid(dim, is_linear, dropped):
    return sigmoid.SigmoidHead(
        L, dim, block_size=40, is_linear=is_linear, dropped=dropped
    )


def _centroids(dim, is_linear, dropped):
    head = centroid.CentroidHead(L, D, 20, dropped)
    rng = np.random.default_rng(9)
    num_pages = 2 * np.ones(D, int) - (rng.random(D) < 0.5)
    num_pages[5] = 0
    splits = np.cumsum([0, *num_pages]).astype(np.int32)
    labels, weights = (np.asarray(one) for one in (head.labels, head.kernel))
    for feature in range(D):
        run = slice(splits[feature], splits[feature + 1])
        few = rng.permutation(L)[: max(labels[run].size - 3, 0)]
        labels[run].reshape(-1)[: len(few)] = few
        weights[run].reshape(-1)[: len(few)] = rng.normal(size=len(few))
    head.assign(centroid.Table(splits, labels, weights))
    return head


HEADS = {
    "sigmoid": _sigmoid,
    "centroid": _centroids,
    **{f"mach {one}": _mach(one) for one in mach_choices.ESTIMATORS},
    "mach by threshold": _mach("logit", "threshold"),
}
CASES = [
    (head, encoder)
    for head, encoder in itertools.product(
        HEADS, ("none", "one", "deep", "hashed")
    )
    if (head != "centroid" or encoder == "none")
    and (head != "sigmoid" or encoder != "hashed")
]


def _model(head, encoder, is_reranked=False, dropped=()):
    encoders = _encoders(encoder)
    dim = encoders[0].output_dim if encoders else D
    form = "ragged" if head == "centroid" else "compact"
    second = reranker.Reranker(L, D, 20, S, weight=0.4) if is_reranked else None
    model = extreme_classifier.ExtremeClassifier(
        encoders, HEADS[head](dim, not encoders, dropped), D, form, second
    )
    rng = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    if is_reranked:
        labels, features = np.nonzero(rng.random((L, D)) < 0.35)
        kernel = rng.normal(size=len(labels))
        second.assign(
            weight_places.place(
                labels, features, kernel, rng.normal(size=L), D, 20
            )
        )
    return model


def _check(model, rows, k, **kwargs):
    scores, label_ids = cpu_predictor.CpuPredictor(model, **kwargs).top_k(
        rows, k
    )
    wanted_scores, wanted_ids = model.top_k(_ragged(rows), k)
    np.testing.assert_allclose(scores, wanted_scores, atol=5e-6)
    np.testing.assert_array_equal(label_ids, wanted_ids)


@pytest.mark.parametrize("is_reranked", [False, True])
@pytest.mark.parametrize(("head", "encoder"), CASES)
def test_loops_answer_as_the_model_does(head, encoder, is_reranked):
    model = _model(head, encoder, is_reranked)
    for k in (1, 5, 30, L + 1):
        _check(model, _rows(), min(k, L))


@pytest.mark.parametrize("head", HEADS)
def test_dropped_labels_are_no_answer(head):
    encoder = "none" if head == "centroid" else "one"
    dropped = (0, 3, 39, 40, 89)
    model = _model(head, encoder, True, dropped)
    for k in (5, L - 5):
        _check(model, _rows(), k)
    found = cpu_predictor.CpuPredictor(model).top_k(_rows(), L)[1]
    assert found.shape == (N, L - 5)
    assert not np.isin(found, dropped).any()


@pytest.mark.parametrize("num_threads", [1, 3, 100])
def test_the_number_of_threads_does_not_matter(num_threads):
    _check(_model("sigmoid", "one", True), _rows(), 5, num_threads=num_threads)


def test_a_row_does_not_depend_on_the_rows_beside_it(monkeypatch):
    model = cpu_predictor.CpuPredictor(_model("mach logit", "one", True))
    rows = _rows()
    together = model.top_k(rows, 5)
    monkeypatch.setattr(cpu_predictor, "ROWS_AT_ONCE", 16)
    monkeypatch.setattr(ranking.HashedLabels, "rows_at_once", 7)
    for one, other in zip(model.top_k(rows, 5), together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    first = rows.splits[:2]
    alone = model.top_k(
        row_forms.RaggedRows(
            rows.feature_ids[: first[1]], rows.values[: first[1]], first
        ),
        5,
    )
    np.testing.assert_array_equal(alone[1][0], together[1][0])


def test_no_rows_give_empty_lists():
    rows = row_forms.RaggedRows([], [], [0])
    scores, label_ids = cpu_predictor.CpuPredictor(
        _model("sigmoid", "one")
    ).top_k(rows, 5)
    assert scores.shape == label_ids.shape == (0, 5)


@pytest.mark.parametrize("head", ["sigmoid", "centroid"])
def test_candidates_are_those_of_the_model(head):
    encoder = "none" if head == "centroid" else "one"
    model = _model(head, encoder, True)
    np.testing.assert_array_equal(
        cpu_predictor.CpuPredictor(model).candidates(_rows(), 20),
        model.candidates(_ragged(_rows()), 20),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_ids": np.array([0, D])}, r"in \[0, 50\)"),
        ({"feature_ids": np.array([-1, 3])}, r"in \[0, 50\)"),
        ({"feature_ids": np.array([0.0, 3.0])}, "float64 from"),
        ({"splits": np.array([0, 1])}, "ascend"),
        ({"splits": np.array([0, 3, 2])}, "ascend"),
        ({"splits": np.array([1, 2])}, "ascend"),
        ({"splits": np.zeros(0, int)}, "ascend"),
        ({"values": np.ones(3)}, "3 values"),
        ({"values": np.array([1, np.nan])}, "must be finite"),
        ({"values": np.array([1, -np.inf])}, "must be finite"),
    ],
)
def test_rows_that_do_not_fit_are_refused(changes, message):
    rows = row_forms.RaggedRows(np.array([0, 3]), np.ones(2), np.array([0, 2]))
    model = cpu_predictor.CpuPredictor(_model("sigmoid", "one"))
    with pytest.raises(ValueError, match=message):
        model.top_k(rows._replace(**changes), 5)


@pytest.mark.parametrize("find", ["top_k", "candidates"])
def test_fewer_than_one_label_is_refused(find):
    model = cpu_predictor.CpuPredictor(_model("sigmoid", "one"))
    with pytest.raises(ValueError, match="`k` must be at least 1"):
        getattr(model, find)(_rows(), 0)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of overflows
@pytest.mark.parametrize("head", ["sigmoid", "mach logit"])
def test_scores_that_are_not_numbers_are_refused(head):
    model = cpu_predictor.CpuPredictor(_model(head, "deep"))
    rows = _rows()
    values = np.where(rows.values == 0, 0, np.float32(3e38))
    with pytest.raises(FloatingPointError, match="too large"):
        model.top_k(rows._replace(values=values), 5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of overflows
def test_margins_that_are_not_numbers_are_refused():
    model = _model("sigmoid", "one", True)
    for weight in model.reranker.weights:
        if weight.dtype == "float32":
            weight.assign(np.full(weight.shape, -3e38))
    with pytest.raises(FloatingPointError, match="too large"):
        cpu_predictor.CpuPredictor(model).top_k(_rows(), 5)


def test_large_weights_are_read_where_they_are_and_stay_as_they_are():
    model = _model("sigmoid", "one", True, dropped=(3,))
    before = [weight.numpy() for weight in model.weights]
    cpu = cpu_predictor.CpuPredictor(model)
    for array, weight in (
        (cpu._reranker._kernel, model.reranker.kernel),
        (cpu._reranker._features, model.reranker.features),
    ):
        own = np.asarray(memoryview(tf.convert_to_tensor(weight.value)))
        assert np.shares_memory(array, own)
    cpu.top_k(_rows(), 5)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    answers = cpu.top_k(_rows(), 5)
    del model, weight, own  # the memory stays
    for found, answer in zip(cpu.top_k(_rows(), 5), answers, strict=True):
        np.testing.assert_array_equal(found, answer)


@pytest.mark.parametrize("head", HEADS)
def test_weights_that_are_not_finite_are_refused(head):
    model = _model(head, "none" if head == "centroid" else "one", True)
    cpu_predictor.CpuPredictor(model)
    for weight in (model.head.weights[-1], model.reranker.weights[-1]):
        good = weight.numpy()
        weight.assign(np.full(weight.shape, np.inf))
        with pytest.raises(ValueError, match="finite weights"):
            cpu_predictor.CpuPredictor(model)
        weight.assign(good)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("labels", (3, 4), L, "ids below 90"),
        ("labels", (3, 4), -1, "ids below 90"),
        ("splits", 9, -1, "splits that ascend"),
        ("splits", D, 10**6, "splits that ascend"),
    ],
)
def test_centroids_out_of_range_are_refused(name, place, value, message):
    model = _model("centroid", "none")
    weight = getattr(model.head, name)
    values = weight.numpy()
    values[place] = value
    weight.assign(values)
    with pytest.raises(ValueError, match=message):
        cpu_predictor.CpuPredictor(model)


@pytest.mark.parametrize(
    ("name", "place", "value", "message"),
    [
        ("features", 8, D + 1, "ids below 51"),
        ("splits", 5, 10**6, "splits that ascend"),
    ],
)
def test_a_re_ranker_out_of_range_is_refused(name, place, value, message):
    model = _model("sigmoid", "one", True)
    weight = getattr(model.reranker, name)
    values = weight.numpy()
    values[place] = value
    weight.assign(values)
    with pytest.raises(ValueError, match=message):
        cpu_predictor.CpuPredictor(model)


@pytest.mark.parametrize("has_equals", [False, True])
@pytest.mark.parametrize(
    ("size", "k"), [(1, 1), (5, 5), (30, 1), (300, 20), (5000, 7), (900, 400)]
)
def test_the_best_are_those_that_a_sort_puts_first(size, k, has_equals):
    rng = np.random.default_rng(size + k)
    scores = rng.normal(size=(6, size)).astype(np.float32)
    if has_equals:
        scores = np.maximum(np.round(scores), 0)
    wanted = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    for num_blocks in (1, min(3, size)):
        best, ids = best_lib.nothing(len(scores), k)
        for block in np.array_split(np.arange(size), num_blocks):
            some = np.ascontiguousarray(scores[:, block])
            best_lib.keep_best(some, block.astype(np.uint32), best, ids)
        np.testing.assert_array_equal(ids, wanted)
        np.testing.assert_array_equal(
            best, np.take_along_axis(scores, wanted, axis=1)
        )


@pytest.mark.parametrize("has_equals", [False, True])
@pytest.mark.parametrize(
    ("num_rows", "num_labels", "repetitions", "k"),
    [(8, 300, 4, 5), (11, 1000, 3, 40), (3, 47, 1, 47), (21, 16, 9, 16)],
)
def test_means_in_lanes_are_those_of_a_sum_and_a_sort(
    num_rows, num_labels, repetitions, k, has_equals
):
    rng = np.random.default_rng(num_labels)
    terms = rng.normal(size=(num_rows, 20 * repetitions)).astype(np.float32)
    if has_equals:
        terms = np.round(terms)
    buckets = rng.integers(0, 20, (repetitions, num_labels))
    buckets += 20 * np.arange(repetitions)[:, None]
    sums = np.zeros((num_rows, num_labels), np.float32)
    for row_buckets in buckets:  # in the order in which float32 adds them
        sums += terms[:, row_buckets]
    means = sums * np.float32(1 / repetitions)
    best, ids = best_lib.nothing(num_rows, k)
    label_estimates.keep_best_means(terms, buckets.astype(np.uint16), best, ids)
    wanted = np.argsort(-means, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_array_equal(
        best, np.take_along_axis(means, wanted, axis=1)
    )


@pytest.mark.parametrize("scale", [0, 1e-6, 1, 1e9, 1e30])
@pytest.mark.parametrize("offset", [0, -5, 1e4])
@pytest.mark.parametrize("repetitions", [1, 7, 100])
def test_means_of_any_size_are_ranked_in_spite_of_codes(
    repetitions, offset, scale
):
    rng = np.random.default_rng(repetitions)
    num_buckets, num_labels, num_rows = 30, 500, 37
    size = num_buckets * repetitions
    terms = np.full((num_rows, size + 1), -np.inf, np.float32)
    terms[:, :-1] = offset + scale * rng.normal(size=(num_rows, size))
    buckets = rng.integers(0, num_buckets, (repetitions, num_labels))
    buckets += num_buckets * np.arange(repetitions)[:, None]
    buckets[:, [3, 499]] = size  # dropped labels
    sums = np.zeros((num_rows, num_labels), np.float32)
    for row_buckets in buckets:  # in the order in which float32 adds them
        sums += terms[:, row_buckets]
    means = sums * np.float32(1 / repetitions)
    best, ids = best_lib.nothing(num_rows, 20)
    label_estimates.keep_best_means(terms, buckets.astype(np.uint16), best, ids)
    wanted = np.argsort(-means, axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(ids, wanted)


def test_weights_that_are_looked_up_are_those_that_are_read():
    """Rows of one feature, of labels with many: each is found by its hashes."""
    num_features, num_labels = 3000, 7
    rng = np.random.default_rng(3)
    has_weight = rng.random((num_labels, num_features)) < 0.4
    has_weight[4] = False
    weights = np.where(has_weight, rng.normal(size=has_weight.shape), 0)
    biases = rng.normal(size=num_labels)
    second = reranker.Reranker(
        num_labels, num_features, has_weight.sum() // num_labels + 1, num_labels
    )
    labels, features = np.nonzero(has_weight)
    second.assign(
        weight_places.place(
            labels,
            features,
            weights[labels, features],
            biases,
            num_features,
            second.mean_features,
        )
    )
    rows = row_forms.RaggedRows(
        np.arange(num_features, dtype=np.uint32),
        np.full(num_features, 2, np.float32),
        np.arange(num_features + 1),
    )
    every = np.tile(np.arange(num_labels, dtype=np.int32), (num_features, 1))
    form, pool = second.form(), threads.Threads(2)
    wanted = (2 * weights + biases[:, None]).T
    forms_of_runs = form, dataclasses.replace(form, shifts=None)
    for one in forms_of_runs:
        finder = margins.Reranker(one)
        for row in (0, 1, 2999):  # alone: few features for each label
            few = rows._replace(splits=rows.splits[row : row + 2])
            found = finder.margins(few, every[row : row + 1], pool)
            np.testing.assert_allclose(found[0], wanted[row], atol=1e-6)
        found = finder.margins(rows, every, pool)
        np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("num_labels", [1, 200, 300, 70_000, 2**31 - 1])
def test_places_in_order_of_labels_are_those_of_a_stable_sort(num_labels):
    labels = np.random.default_rng(0).integers(0, num_labels, 1000)
    labels = labels.astype(np.int32)
    places, ordered = sums.in_order(labels)
    wanted = np.argsort(labels, kind="stable")
    np.testing.assert_array_equal(places, wanted)
    np.testing.assert_array_equal(ordered, labels[wanted])


def test_scores_of_both_signs_zeros_and_what_is_no_number_are_ranked():
    scores = np.float32(
        [[-0.0, 0.0, -1.5, np.inf, -np.inf, np.nan, 1e-45, -3e38, -1e-45]]
    )
    best, ids = best_lib.nothing(1, 8)
    best_lib.keep_best(scores, np.arange(9, dtype=np.uint32), best, ids)
    np.testing.assert_array_equal(ids[0, :7], [3, 6, 0, 1, 8, 2, 7])
    np.testing.assert_array_equal(best[0, :7], scores[0, ids[0, :7]])
    assert ids[0, 7] == best_lib.NO_LABEL  # neither -inf nor NaN


@pytest.mark.parametrize("most_listed", [0, 30, 10_000])
def test_cosines_are_those_of_dense_matrices(most_listed):
    rng = np.random.default_rng(most_listed)
    index = np.round(rng.normal(size=(D, L)), 1).astype(np.float32)
    index[rng.random((D, L)) < 0.8] = 0
    dropped = np.array([3, L - 1])
    index[:, dropped] = 0
    rows = _rows()
    dense = np.zeros((N, D), np.float32)
    for row in range(N):
        some = slice(rows.splits[row], rows.splits[row + 1])
        dense[row, rows.feature_ids[some]] = rows.values[some]
    cosines = dense @ index
    cosines[:, dropped] = -np.inf
    best, ids = best_lib.nothing(N, 10)
    centroid_loops.keep_best(
        rows.splits,
        rows.feature_ids.astype(np.uint32),
        rows.values,
        np.cumsum([0, *np.count_nonzero(index, axis=1)]),
        np.nonzero(index)[1].astype(np.uint8),
        index[np.nonzero(index)],
        dropped,
        np.arange(L, dtype=np.uint32),
        most_listed,
        best,
        ids,
    )
    wanted = np.argsort(-cosines, axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(ids, wanted)
    np.testing.assert_allclose(
        best, np.take_along_axis(cosines, wanted, axis=1), atol=1e-5
    )


def test_a_machine_with_an_accelerator_or_others_takes_tensorflow(monkeypatch):
    model, here = _model("mach logit", "one"), tf.distribute.get_strategy()
    assert cpu_predictor.suits(model, here)
    by_threshold = _model("mach by threshold", "one")
    assert not cpu_predictor.suits(by_threshold, here)
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind=None: [kind]
    )
    assert not cpu_predictor.suits(model, here)
