"""The threshold decode against scoring every label in NumPy."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tfxml.mach import decode, hashing, mach_choices
from tfxml.mach.threshold import crossings, exact_top_k
from tfxml.models.heads import mach_head


def _oracle(logits, hashes, num_labels, k, estimator):
    """Returns the best labels' scores and ids, [N, K], ties by id.

    Sums are taken in the order of the repetitions, in float32.
    """
    scores = [
        decode.bucket_scores(one, estimator).numpy()
        for one in _repetitions(logits)
    ]
    of_labels = np.stack(
        [
            one[:, label_hash.table(num_labels)]
            for one, label_hash in zip(scores, hashes, strict=True)
        ]
    )  # [R, N, L]
    if estimator in ("mean", "logit"):
        total = of_labels[0]
        for one in of_labels[1:]:
            total = total + one
        estimates = total * np.float32(1 / len(hashes))
    elif estimator == "min":
        estimates = of_labels.min(axis=0)
    else:
        estimates = np.median(of_labels, axis=0)
    order = np.argsort(-estimates, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(estimates, order, axis=1), order


def _hashes(num_repetitions, num_buckets, capacity, seed=0):
    return [
        hashing.from_seed(seed, r, num_buckets, capacity)
        for r in range(num_repetitions)
    ]


def _planted(rng, hashes, num_labels, num_rows, spread=0.5):
    """Returns logits [N, R, B] in which six labels a row stand out."""
    repetitions = np.arange(len(hashes))
    shape = (num_rows, len(hashes), hashes[0].num_buckets)
    logits = rng.normal(-8, spread, shape).astype(np.float32)
    for row in logits:
        for label in rng.integers(0, num_labels, 6):
            buckets = [int(h.buckets(np.array(label))) for h in hashes]
            row[repetitions, buckets] = rng.normal(1, 1.5, len(hashes))
    return logits


def _repetitions(logits):
    return [tf.constant(logits[:, r]) for r in range(logits.shape[1])]


@pytest.mark.parametrize(
    ("estimator", "num_repetitions", "is_graph"),
    [
        *((one, 7, False) for one in mach_choices.ESTIMATORS),
        *(("logit", num_repetitions, False) for num_repetitions in (4, 16)),
        pytest.param("mean", 7, True, marks=pytest.mark.slow),
    ],
)
def test_planted_labels_are_found_and_certified(
    estimator, num_repetitions, is_graph
):
    num_labels, k = 20_000, 5
    hashes = _hashes(num_repetitions, 500, 25_000)
    logits = _planted(np.random.default_rng(1), hashes, num_labels, 9)
    tables = crossings.make(hashes, num_labels)

    def find(*repetitions):
        return exact_top_k.top_k(list(repetitions), tables, k, estimator, 10**6)

    found = (tf.function(find) if is_graph else find)(*_repetitions(logits))
    scores, ids = _oracle(logits, hashes, num_labels, k, estimator)
    is_certified = found.is_certified.numpy()
    # With four repetitions the labels stand out too little in some rows.
    assert is_certified.mean() >= (0.5 if num_repetitions == 4 else 1.0)
    np.testing.assert_array_equal(
        found.label_ids.numpy()[is_certified], ids[is_certified]
    )
    np.testing.assert_array_equal(
        found.scores.numpy()[is_certified], scores[is_certified]
    )
    assert found.labels_scored.numpy().max() < num_labels / 4


@st.composite
def _cases(draw):
    num_labels = draw(st.integers(1, 60))
    num_repetitions = draw(st.integers(2, 9))
    num_buckets = draw(st.integers(1, 40))
    capacity = draw(st.integers(num_labels, 4 * num_labels))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 4)), num_repetitions, num_buckets)
    logits = rng.normal(0, 3, shape)
    if draw(st.booleans()):  # ties
        logits = np.round(logits)
    if draw(st.booleans()):
        logits[rng.random(shape) < 0.1] = -np.inf
    hashes = _hashes(
        num_repetitions, num_buckets, capacity, draw(st.integers(0, 999))
    )
    return logits.astype(np.float32), hashes, num_labels


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    case=_cases(),
    k=st.integers(1, 70),
    estimator=st.sampled_from(mach_choices.ESTIMATORS),
    budget=st.sampled_from([1, 100, 10**6]),
)
def test_a_certified_answer_is_the_brute_force_answer(
    case, k, estimator, budget
):
    logits, hashes, num_labels = case
    if not crossings.can_serve(hashes, num_labels):
        hypothesis.reject()
    tables = crossings.make(hashes, num_labels)
    found = exact_top_k.top_k(
        _repetitions(logits), tables, k, estimator, budget
    )
    scores, ids = _oracle(logits, hashes, num_labels, k, estimator)
    assert found.scores.shape == scores.shape
    is_certified = found.is_certified.numpy()
    np.testing.assert_array_equal(
        found.label_ids.numpy()[is_certified], ids[is_certified]
    )
    np.testing.assert_array_equal(
        found.scores.numpy()[is_certified], scores[is_certified]
    )
    # Without a certificate every score is a label's, and at most the best.
    assert (found.scores.numpy() <= scores).all()


@hypothesis.settings(max_examples=20, deadline=None)
@hypothesis.given(
    case=_cases(),
    k=st.integers(1, 70),
    estimator=st.sampled_from(mach_choices.ESTIMATORS),
    block=st.sampled_from([1, 7, 64]),
)
def test_both_exact_decodes_are_the_brute_force_answer(
    case, k, estimator, block
):
    logits, hashes, num_labels = case
    repetitions = _repetitions(logits)
    answers = [
        decode.top_k(repetitions, hashes, num_labels, k, estimator, block)
    ]
    if crossings.can_serve(hashes, num_labels):
        tables = crossings.make(hashes, num_labels)
        answers.append(
            exact_top_k.exact_top_k(repetitions, hashes, tables, k, estimator)
        )
    scores, ids = _oracle(logits, hashes, num_labels, k, estimator)
    for found_scores, found_ids in answers:
        np.testing.assert_array_equal(found_ids, ids)
        np.testing.assert_array_equal(found_scores, scores)


def test_instances_without_a_certificate_are_widened_in_groups(monkeypatch):
    monkeypatch.setattr(exact_top_k, "_WIDENED_ROWS", 2)
    monkeypatch.setattr(exact_top_k, "_FIRST_PAIRS", 100)
    logits = np.random.default_rng(5).normal(-4, 2, (21, 6, 40))
    logits = logits.astype(np.float32)  # nothing stands out
    hashes = _hashes(6, 40, 5000)
    tables = crossings.make(hashes, 5000)
    found = exact_top_k.top_k(_repetitions(logits), tables, 3, "mean", 100_000)
    narrow = exact_top_k.top_k(_repetitions(logits), tables, 3, "mean", 100)
    assert found.is_certified.numpy().all()
    assert (~narrow.is_certified.numpy()).sum() > 2
    scores, ids = _oracle(logits, hashes, 5000, 3, "mean")
    np.testing.assert_array_equal(found.label_ids, ids)
    np.testing.assert_array_equal(found.scores, scores)


@pytest.mark.parametrize("num_labels", [40, 97])
def test_labels_in_two_buckets_are_all_found(num_labels):
    hashes = _hashes(5, 6, 2 * num_labels, seed=3)
    tables = crossings.make(hashes, num_labels)
    opened = [[0, 3], [], [5, 1, 2], [4], [0]]
    repetitions = np.repeat(np.arange(5), [len(one) for one in opened])
    ends = np.cumsum([len(one) for one in opened])
    instances, labels = crossings.labels_in_two(
        tables,
        crossings.Items(
            tf.zeros(len(repetitions), tf.int32),
            tf.constant(repetitions, tf.int32),
            tf.constant(sum(opened, []), tf.int32),
        ),
        tf.constant(ends[repetitions], tf.int32),
        tf.fill([len(repetitions)], tf.constant(ends[-1], tf.int32)),
    )
    expected = []
    for label in range(num_labels):
        times = sum(
            int(one.buckets(np.array(label))) in buckets
            for one, buckets in zip(hashes, opened, strict=True)
        )
        expected += [label] * (times * (times - 1) // 2)
    assert sorted(labels.numpy().tolist()) == expected
    assert not instances.numpy().any()


def test_equal_scores_are_not_certified_but_decoded():
    hashes = _hashes(4, 10, 300)
    tables = crossings.make(hashes, 300)
    repetitions = [tf.zeros([2, 10])] * 4
    assert not exact_top_k.top_k(
        repetitions, tables, 3, "mean", 1000
    ).is_certified[0]
    _, ids = exact_top_k.exact_top_k(repetitions, hashes, tables, 3, "mean")
    assert ids.numpy().tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
def test_logits_that_are_not_numbers_are_refused(estimator):
    hashes = _hashes(4, 10, 300)
    tables = crossings.make(hashes, 300)
    repetitions = [tf.zeros([2, 10])] * 3 + [tf.fill([2, 10], float("nan"))]
    for find in (
        lambda: exact_top_k.top_k(repetitions, tables, 3, estimator, 1000),
        lambda: decode.top_k(repetitions, hashes, 300, 3, estimator),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match="NaN"):
            find()


def test_hashes_that_differ_in_buckets_or_prime_are_refused():
    mixed = [*_hashes(1, 10, 300), *_hashes(1, 11, 300)]
    version_1 = _hashes(2, 10, 2**31 - 1)
    for hashes in (mixed, version_1, _hashes(1, 10, 300)):
        with pytest.raises(ValueError, match="hashes"):
            crossings.make(hashes, 300)


def _heads(num_labels, estimator):
    """Returns two heads with the same weights, and what they read."""
    hashes = _hashes(6, 60, num_labels * 5 // 4)
    rng = np.random.default_rng(7)
    kernels = rng.normal(0, 2, (6, 60, 8))
    found = []
    for decode_by in ("exhaustive", "threshold"):
        head = mach_head.MachHead(
            num_labels,
            hashes=hashes,
            input_dim=8,
            estimator=estimator,
            decode_by=decode_by,
        )
        for block, kernel in zip(head.blocks, kernels, strict=True):
            block.kernel.assign(kernel)
            block.bias.assign(np.full(60, -4.0))
        found.append(head)
    return found, [tf.constant(rng.normal(size=(5, 8)), tf.float32)]


@pytest.mark.parametrize("estimator", mach_choices.ESTIMATORS)
def test_a_head_answers_the_same_by_either_decode(estimator):
    (exhaustive, by_threshold), encoded = _heads(2000, estimator)
    assert by_threshold.decodes_by_threshold()
    assert not exhaustive.decodes_by_threshold()
    wanted, found = (
        head.top_k(encoded, 5) for head in (exhaustive, by_threshold)
    )
    np.testing.assert_array_equal(found[1], wanted[1])
    np.testing.assert_array_equal(found[0], wanted[0])


def test_a_saved_model_holds_the_threshold_decode(tmp_path):
    (exhaustive, by_threshold), encoded = _heads(2000, "logit")
    module = tf.Module()
    module.kernels = [block.kernel.value for block in by_threshold.blocks]
    module.biases = [block.bias.value for block in by_threshold.blocks]
    module.best = tf.function(
        lambda one: by_threshold.top_k([one], 5),
        input_signature=[tf.TensorSpec([None, 8])],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    wanted = exhaustive.top_k(encoded, 5)
    scores, ids = loaded.best(encoded[0])
    np.testing.assert_array_equal(ids, wanted[1])
    np.testing.assert_allclose(scores, wanted[0], rtol=1e-6)


def test_auto_chooses_by_the_number_of_labels():
    hashes = {n: _hashes(3, 30, n) for n in (1000, 1_000_000)}
    chosen = {
        n: mach_head.MachHead(
            n, hashes=ones, input_dim=4
        ).decodes_by_threshold()
        for n, ones in hashes.items()
    }
    assert chosen == {1000: False, 1_000_000: True}


def test_a_threshold_decode_without_fitting_hashes_is_refused():
    head = mach_head.MachHead(
        300,
        hashes=_hashes(4, 10, 2**31 - 1),
        input_dim=4,
        decode_by="threshold",
    )
    with pytest.raises(ValueError, match="decode_by"):
        head.top_k([tf.zeros([1, 4])], 5)
