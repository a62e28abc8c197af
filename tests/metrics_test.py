import itertools
import math

import napkinxc.metrics
import numpy as np
import pytest
import scipy.sparse

from tfxml.evaluation import filtered_pairs, metrics, ranked_lists, tables

KS = (1, 3, 5, 10)
NAMES = ("P", "nDCG", "PSP", "PSnDCG", "Recall")


def make_problem(seed, num_rows, num_labels, width, max_true, min_predicted):
    """Returns ranked lists, true label lists, counts and 1 / p_l."""
    rng = np.random.default_rng(seed)
    top_ids = np.full([num_rows, width], -1, np.int32)
    truth = []
    for row in range(num_rows):
        size = rng.integers(min_predicted, width + 1)
        top_ids[row, :size] = rng.permutation(num_labels)[:size]
        size = rng.integers(0, max_true + 1)
        truth.append(sorted(rng.permutation(num_labels)[:size].tolist()))
    label_counts = rng.integers(0, 6, num_labels)
    return top_ids, truth, label_counts, rng.uniform(1, 20, num_labels)


def ragged(truth):
    splits = np.cumsum([0, *map(len, truth)])
    ids = np.array(list(itertools.chain(*truth)), np.int32)
    return splits, ids


def evaluate(top_ids, truth, label_counts, weights, ks):
    accumulator = metrics.RankingMetrics(ks, label_counts, weights)
    accumulator.update(top_ids, *ragged(truth))
    return accumulator


def oracle(top_ids, truth, weights, ks):
    """The definitions, one instance and one rank at a time."""
    result = {}
    for k in ks:
        precision = ndcg = recall = 0.0
        ps = best_ps = psndcg = best_psndcg = 0.0
        for row, true in zip(top_ids.tolist(), truth, strict=True):
            if not true:
                continue
            best = sorted((weights[label] for label in true), reverse=True)[:k]
            norm = sum(1 / math.log2(i + 2) for i in range(len(best)))
            for rank, label in enumerate(row[:k]):
                if label in true:
                    precision += 1 / k
                    recall += 1 / len(true)
                    ndcg += 1 / math.log2(rank + 2) / norm
                    ps += weights[label]
                    psndcg += weights[label] / math.log2(rank + 2) / norm
            best_ps += sum(best)
            best_psndcg += sum(
                weight / math.log2(rank + 2) / norm
                for rank, weight in enumerate(best)
            )
        result[f"P@{k}"] = 100 * precision / len(truth)
        result[f"nDCG@{k}"] = 100 * ndcg / len(truth)
        result[f"Recall@{k}"] = 100 * recall / len(truth)
        result[f"PSP@{k}"] = 100 * ps / best_ps if best_ps else 0
        result[f"PSnDCG@{k}"] = 100 * psndcg / best_psndcg if best_psndcg else 0
    return result


@pytest.mark.parametrize("num_rows", [1, 40])
@pytest.mark.parametrize("num_labels", [10, 37])
@pytest.mark.parametrize("max_true", [0, 1, 4, 10])
@pytest.mark.parametrize("min_predicted", [0, 10])
@pytest.mark.parametrize("ks", [(1,), (10,), (2, 7), KS])
def test_equals_the_definitions(
    num_rows, num_labels, max_true, min_predicted, ks
):
    top_ids, truth, counts, weights = make_problem(
        0, num_rows, num_labels, 10, max_true, min_predicted
    )
    result = evaluate(top_ids, truth, counts, weights, ks).result()
    assert list(result) == [f"{name}@{k}" for name in NAMES for k in ks]
    assert result == pytest.approx(oracle(top_ids, truth, weights, ks))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("min_predicted", [0, 12])
def test_equals_napkinxc(seed, min_predicted):
    top_ids, truth, counts, weights = make_problem(
        seed, 60, 30, 12, 8, min_predicted
    )
    predictions = [[i for i in row if i >= 0] for row in top_ids.tolist()]
    result = evaluate(top_ids, truth, counts, weights, KS).result()
    peer = napkinxc.metrics
    for name, values in {
        "P": peer.precision_at_k(truth, predictions, k=10),
        "nDCG": peer.ndcg_at_k(truth, predictions, k=10),
        "Recall": peer.recall_at_k(truth, predictions, k=10),
        "PSP": peer.psprecision_at_k(truth, predictions, weights, k=10),
    }.items():
        for k in KS:
            assert result[f"{name}@{k}"] == pytest.approx(100 * values[k - 1])
    for k in KS:
        value = peer.psndcg_at_k(truth, predictions, weights, k=k)[-1]
        assert result[f"PSnDCG@{k}"] == pytest.approx(100 * value)


def test_hand_checked_example():
    top_ids = np.array([[1, 2, 0], [3, 0, 1], [3, -1, -1]])
    truth = [[0, 1], [], [3]]
    weights = np.array([4.0, 3.0, 2.0, 1.0])
    result = evaluate(top_ids, truth, np.ones(4, int), weights, (1, 3)).result()
    assert result == pytest.approx(
        {
            "P@1": 200 / 3,
            "P@3": 300 / 9,
            "nDCG@1": 200 / 3,
            "nDCG@3": 63.9907,
            "PSP@1": 80,  # (3 + 1) / (4 + 1)
            "PSP@3": 100,  # (3 + 4 + 1) / (4 + 3 + 1)
            "PSnDCG@1": 80,
            "PSnDCG@3": 88.1337,
            "Recall@1": 50,
            "Recall@3": 200 / 3,
        },
        abs=1e-4,
    )


def test_a_rank_without_prediction_keeps_its_place():
    top_ids = np.array([[-1, 1, -1, 0]], np.int32)
    weights = np.array([2.0, 5.0, 3.0])
    result = evaluate(top_ids, [[0, 1]], np.ones(3, int), weights, (1, 2, 4))
    expected = oracle(top_ids, [[0, 1]], weights, (1, 2, 4))
    assert expected["P@1"] == 0 and expected["P@2"] == 50
    assert result.result() == pytest.approx(expected)


def test_ranks_beyond_the_largest_k_do_not_matter():
    top_ids = np.array([[2, 0, 1, 1], [1, 2, 0, 0]], np.int32)
    counts, weights = np.ones(3, int), np.ones(3)
    wide = evaluate(top_ids, [[1], [2]], counts, weights, (1, 2))
    narrow = evaluate(top_ids[:, :2], [[1], [2]], counts, weights, (1, 2))
    assert wide.result() == narrow.result()
    assert wide.result()["P@2"] == 25


@pytest.mark.parametrize(
    "dtype", [pytest.param(np.int32, marks=pytest.mark.slow), np.int64]
)
def test_many_labels_in_several_blocks(dtype):
    # Rows times labels is far beyond 2^31; labels times K beyond one block.
    num_rows, num_labels, width = 15_000, 2_000_000, 100
    rng = np.random.default_rng(0)
    starts = rng.integers(0, num_labels, [num_rows, 1])
    top_ids = (starts + np.arange(width)).astype(dtype) % num_labels
    picked = rng.random([num_rows, 150]).argsort(axis=1)[:, :4]
    true = np.sort((starts + picked) % num_labels).astype(dtype)
    weights = rng.uniform(1, 20, num_labels)
    accumulator = metrics.RankingMetrics(
        (1, 100), np.arange(num_labels), weights
    )
    accumulator.update(top_ids, np.arange(num_rows + 1) * 4, true.ravel())
    result = accumulator.result()
    assert true.size * width > ranked_lists._BLOCK_SIZE
    for k in (1, 100):
        hits = [
            label
            for top, labels in zip(
                top_ids[:, :k].tolist(), true.tolist(), strict=True
            )
            for label in set(top) & set(labels)
        ]
        best = np.sort(weights[true])[:, -k:].sum()
        assert len(hits) > 100
        assert result[f"P@{k}"] == pytest.approx(100 * len(hits) / k / num_rows)
        assert result[f"PSP@{k}"] == pytest.approx(
            100 * weights[hits].sum() / best
        )


@pytest.mark.parametrize("cuts", [[0, 50], [0, 0, 7, 8, 50], [0, 25, 50]])
def test_merged_parts_equal_one_pass(cuts):
    top_ids, truth, counts, weights = make_problem(1, 50, 40, 10, 6, 3)
    whole = evaluate(top_ids, truth, counts, weights, KS)
    merged = metrics.RankingMetrics(KS, counts, weights)
    states = []
    for start, stop in itertools.pairwise(cuts):
        part = evaluate(
            top_ids[start:stop], truth[start:stop], counts, weights, KS
        )
        merged.merge(part.state())
        states.append(part.state())
    assert merged.result() == pytest.approx(whole.result(), rel=1e-12)
    for row, whole_row in zip(
        merged.result_by_decile(), whole.result_by_decile(), strict=True
    ):
        assert row == pytest.approx(whole_row, rel=1e-12)
    # As an all-reduce would have it: states added in one float type.
    reduced = metrics.RankingMetrics(KS, counts, weights)
    reduced.merge(
        {name: sum(s[name].astype(float) for s in states) for name in states[0]}
    )
    assert reduced.result() == pytest.approx(whole.result(), rel=1e-12)


def test_updates_accumulate_and_state_is_a_copy():
    top_ids, truth, counts, weights = make_problem(2, 20, 15, 10, 5, 5)
    accumulator = evaluate(top_ids[:8], truth[:8], counts, weights, KS)
    state = accumulator.state()
    accumulator.update(top_ids[8:], *ragged(truth[8:]))
    assert state["num_instances"] == 8
    expected = oracle(top_ids, truth, weights, KS)
    assert accumulator.result() == pytest.approx(expected)


@pytest.mark.parametrize("num_labels", [7, 10, 25, 40])
def test_deciles(num_labels):
    ks = (1, 3, 5)
    top_ids, truth, counts, weights = make_problem(3, 80, num_labels, 6, 5, 2)
    deciles = evaluate(top_ids, truth, counts, weights, ks).result_by_decile()
    order = sorted(range(num_labels), key=lambda label: (counts[label], label))
    sizes = [num_labels // 10 + (i < num_labels % 10) for i in range(10)]
    total = sum(map(len, truth))
    assert len(deciles) == 10
    for size, row in zip(sizes, deciles, strict=True):
        labels, order = set(order[:size]), order[size:]
        occurrences = sum(len(labels & set(true)) for true in truth)
        expected = {"num_labels": size, "share": 100 * occurrences / total}
        for k in ks:
            hits = sum(
                len(labels & set(true) & set(top[:k]))
                for top, true in zip(top_ids.tolist(), truth, strict=True)
            )
            expected[f"P@{k}"] = 100 * hits / k / 80
            expected[f"MicroRecall@{k}"] = 100 * hits / max(1, occurrences)
        assert row == pytest.approx(expected)


@pytest.mark.parametrize("num_labels", [7, 25])
def test_deciles_add_up(num_labels):
    top_ids, truth, counts, weights = make_problem(4, 60, num_labels, 7, 5, 4)
    accumulator = evaluate(top_ids, truth, counts, weights, (1, 3, 5))
    deciles, result = accumulator.result_by_decile(), accumulator.result()
    assert sum(row["num_labels"] for row in deciles) == num_labels
    assert sum(row["share"] for row in deciles) == pytest.approx(100)
    for k in (1, 3, 5):
        total = sum(row[f"P@{k}"] for row in deciles)
        assert total == pytest.approx(result[f"P@{k}"])


@pytest.mark.parametrize("a, b", [(0.55, 1.5), (0.5, 0.4), (0.6, 2.6)])
def test_inverse_propensities_equal_napkinxc(a, b):
    rng = np.random.default_rng(0)
    labels = (rng.random([200, 30]) < rng.random(30) ** 3).astype(int)
    labels[:, 4] = 0
    ours = metrics.inverse_propensities(labels.sum(axis=0), 200, a, b)
    theirs = napkinxc.metrics.Jain_et_al_inverse_propensity(
        scipy.sparse.csr_matrix(labels), A=a, B=b
    )
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_inverse_propensities_by_hand():
    # a = b = 1, N = 8: C = 2 (log 8 - 1) = 2.158883; 1 + C / (N_l + 1).
    values = metrics.inverse_propensities(np.array([0, 3]), 8, 1.0, 1.0)
    np.testing.assert_allclose(values, [3.158883, 1.539721], atol=1e-6)


@pytest.mark.parametrize("k", [1, 4, 8])
@pytest.mark.parametrize("row_start", [0, 5, 1_000_000])
def test_remove_pairs(k, row_start):
    top_ids, _, _, _ = make_problem(5, 30, 12, 8, 0, 3)
    before = top_ids.copy()
    rng = np.random.default_rng(0)
    pairs = np.stack(
        [rng.integers(-4, 34, 80) + row_start, rng.integers(0, 12, 80)], 1
    )
    pairs = pairs[pairs[:, 0] >= 0]
    removed = set(map(tuple, pairs.tolist()))
    expected = []
    for row, labels in enumerate(top_ids.tolist(), start=row_start):
        kept = [i for i in labels if i >= 0 and (row, i) not in removed]
        expected.append((kept + [-1] * 8)[:k])
    result = filtered_pairs.remove_from_predictions(
        top_ids, pairs, k, row_start
    )
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(top_ids, before)


@pytest.mark.parametrize("row_start", [0, 3])
def test_remove_label_pairs(row_start):
    _, truth, _, _ = make_problem(6, 25, 12, 8, 6, 3)
    rng = np.random.default_rng(1)
    pairs = np.stack([rng.integers(0, 30, 90), rng.integers(0, 12, 90)], 1)
    removed = set(map(tuple, pairs.tolist()))
    expected = [
        [label for label in labels if (row, label) not in removed]
        for row, labels in enumerate(truth, start=row_start)
    ]
    assert expected != truth
    splits, ids = filtered_pairs.remove_from_labels(
        *ragged(truth), pairs, row_start
    )
    np.testing.assert_array_equal(splits, ragged(expected)[0])
    np.testing.assert_array_equal(ids, ragged(expected)[1])


def test_remove_label_pairs_of_many_rows_and_labels():
    num_rows = 1_000_000
    splits = np.zeros(num_rows + 1, np.int64)
    splits[-1] = 2
    ids = np.array([5, 2**31 - 1], np.int32)
    # A key of row * stride + label with a stride below 2^31 mixes the first
    # pairs up with label 5 of the last row.
    pairs = [[num_rows - 2, 5 + (1 << shift)] for shift in range(31)]
    pairs.append([num_rows - 1, 2**31 - 1])
    splits, ids = filtered_pairs.remove_from_labels(
        splits, ids, np.array(pairs)
    )
    assert ids.tolist() == [5] and splits[-2:].tolist() == [0, 1]


def test_removed_pairs_leave_precision_and_make_perfection_possible():
    truth = [[0, 1, 2], [1]]
    top_ids = np.array([[1, 0, 2, -1], [0, 1, 2, 3]], np.int32)
    pairs = np.array([[0, 1], [1, 0]])
    kept = filtered_pairs.remove_from_predictions(top_ids, pairs, 3)
    splits, ids = filtered_pairs.remove_from_labels(*ragged(truth), pairs)
    ones = np.ones(4, int)
    filtered = metrics.RankingMetrics((1, 3), ones, ones)
    filtered.update(kept, splits, ids)
    unfiltered = evaluate(kept, truth, ones, ones, (1, 3)).result()
    assert filtered.result()["P@3"] == unfiltered["P@3"] == 50
    assert filtered.result()["nDCG@3"] == filtered.result()["Recall@3"] == 100
    assert unfiltered["Recall@3"] == pytest.approx(250 / 3)


def test_pairs_may_be_none():
    top_ids = np.array([[1, 0, -1]])
    pairs = np.zeros([0, 2], np.int64)
    result = filtered_pairs.remove_from_predictions(top_ids, pairs, 2)
    assert result.tolist() == [[1, 0]]


@pytest.mark.parametrize(
    "top_ids, splits, ids, match",
    [
        ([[0, 1]], [0, 1], [0], "`top_ids` must have shape"),
        ([0, 1, 2], [0, 1], [0], "`top_ids` must have shape"),
        ([[0, 1, 4]], [0, 1], [0], "`top_ids` must be at least -1 and below 4"),
        ([[0, 1, -2]], [0, 1], [0], "`top_ids` must be at least -1"),
        ([[0.0, 1.0, 2.0]], [0, 1], [0], "`top_ids` must be integers"),
        ([[0, 1, 2], [1, 2, 1]], [0, 1, 1], [0], "repeat a label .* in row 1"),
        ([[0, 1, 2]], [0, 1, 1], [0], "`label_splits` must rise"),
        ([[0, 1, 2]], [1, 1], [0], "`label_splits` must rise"),
        ([[0, 1, 2]], [0, 2], [0], "`label_splits` must rise"),
        ([[0, 1, 2], [0, 1, 2]], [0, 2, 1], [0], "`label_splits` must rise"),
        (
            [[0, 1, 2]],
            [0, 1],
            [4],
            "`label_ids` must be at least 0 and below 4",
        ),
        ([[0, 1, 2]], [0, 1], [-1], "`label_ids` must be at least 0"),
        ([[0, 1, 2]], [0, 2], [1, 1], "`label_ids` must be distinct .* at 1"),
        ([[0, 1, 2]], [0, 2], [2, 1], "`label_ids` must be distinct"),
    ],
)
def test_update_refuses(top_ids, splits, ids, match):
    accumulator = metrics.RankingMetrics((1, 3), np.ones(4, int), np.ones(4))
    with pytest.raises(ValueError, match=match):
        accumulator.update(top_ids, splits, ids)
    assert accumulator.state()["num_instances"] == 0


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: metrics.RankingMetrics((), [1], [1]), "`ks`"),
        (lambda: metrics.RankingMetrics((0, 1), [1], [1]), "`ks`"),
        (lambda: metrics.RankingMetrics((3, 1), [1], [1]), "`ks`"),
        (lambda: metrics.RankingMetrics((1, 1), [1], [1]), "`ks`"),
        (
            lambda: metrics.RankingMetrics((1,), [1, 2], [1]),
            "`inverse_propensities` must have shape .2.",
        ),
        (
            lambda: metrics.RankingMetrics((1,), [1], [1]).result(),
            "at least one instance",
        ),
        (
            lambda: metrics.RankingMetrics((1,), [1], [1]).merge(
                metrics.RankingMetrics((1, 2), [1], [1]).state()
            ),
            "`state`",
        ),
        (lambda: metrics.inverse_propensities([1], 2), "num_train_instances"),
        (lambda: metrics.inverse_propensities([5], 4), "`label_counts`"),
        (lambda: metrics.inverse_propensities([-1], 4), "`label_counts`"),
        (lambda: metrics.inverse_propensities([1], 4, 0.5, 0), "propensity_b"),
        (lambda: metrics.inverse_propensities([1], 4, 1e30), "propensity_a"),
        (
            lambda: filtered_pairs.remove_from_predictions(
                [[1, 2]], [[0, 1]], 3
            ),
            "`k` must be",
        ),
        (
            lambda: filtered_pairs.remove_from_predictions(
                [[1, 2]], [[0, 1]], 0
            ),
            "`k` must be",
        ),
        (
            lambda: filtered_pairs.remove_from_predictions([[1, 2]], [0, 1], 1),
            "`pairs` must",
        ),
        (
            lambda: filtered_pairs.remove_from_predictions([[1]], [[0, -1]], 1),
            "`pairs` must",
        ),
    ],
)
def test_refuses(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_format_metrics():
    result = {"P@1": 82.5, "P@3": 7.126, "nDCG@10": 100.0, "other": 1.0}
    assert tables.format_metrics(result, ("P@1", "P@3", "nDCG@10")) == (
        "  P@1   P@3  nDCG@10\n82.50  7.13   100.00"
    )
    with pytest.raises(ValueError, match=r"Received: keys=\['P@1', 'P@3'"):
        tables.format_metrics({"nDCG@3": 1.0}, ("P@1", "P@3"))


def test_format_metrics_of_a_result_has_the_fields_columns():
    top_ids, truth, counts, weights = make_problem(7, 9, 12, 5, 4, 5)
    result = evaluate(top_ids, truth, counts, weights, (1, 3, 5)).result()
    keys = tables.headline_keys((1, 3, 5))
    header, values = tables.format_metrics(result, keys).split("\n")
    columns = ["P@1", "P@3", "P@5", "nDCG@3", "nDCG@5", "PSP@1", "PSP@3"]
    assert header.split() == [*columns, "PSP@5"]
    assert values.split()[0] == f"{result['P@1']:.2f}"
    assert len(header) == len(values)


def test_format_deciles():
    deciles = [
        {"num_labels": 10, "share": 1.5, "P@1": 0.25, "MicroRecall@1": 2.0},
        {"num_labels": 9, "share": 98.5, "P@1": 60.0, "MicroRecall@1": 0.5},
    ]
    assert tables.format_deciles(deciles, (1,)) == (
        "decile  num_labels  share    P@1  MicroRecall@1\n"
        "     1          10   1.50   0.25           2.00\n"
        "     2           9  98.50  60.00           0.50"
    )


def test_format_deciles_of_a_result():
    top_ids, truth, counts, weights = make_problem(8, 9, 12, 5, 4, 5)
    accumulator = evaluate(top_ids, truth, counts, weights, (1, 3, 5))
    deciles = accumulator.result_by_decile()
    lines = tables.format_deciles(deciles, (1, 3, 5)).split("\n")
    assert len(lines) == 11 and len(set(map(len, lines))) == 1
    assert lines[10].split()[:2] == ["10", "1"]
